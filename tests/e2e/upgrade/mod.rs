//! Upgrades, of guests with a real package manager and of machines by newer images: what fails is put back, and whatever
//! cuts a run off, the next one ends right with nothing left over.

mod files;
mod guests;
mod killed;
mod rebuild;

use serde_json::Value;

use crate::harness::Bed;

const FILE: &str = "
project_name: up
global: {default_os_image: images:debian/13/apt}
domains:
  pro:
    machines:
      dev: {storage_volumes: {data: {path: /data}}}
      web: {}
      bare: {os_image: images:alpine/3.20}
      off: {state: stopped}
";

const GUESTS: [(&str, &str, &str); 3] =
    [("pro", "dev", "10.120.0.1"), ("pro", "web", "10.120.0.2"), ("pro", "bare", "10.120.0.3")];

/// Publishes a version of a package, and what it does when it is installed.
fn publish(bed: &Bed, version: &str, postinst: &str) {
    bed.sh(&format!("$ANKLUME_BED/make-package /run/bed/www/apt tiny {version} '{postinst}'")).ok();
}

/// A bed with these machines, in which version 1.0 is installed.
fn filled(file: &str) -> Bed {
    let bed = Bed::up();
    publish(&bed, "1.0", ":");
    bed.infra(file);
    bed.apply(&[]);
    bed.wait_for_guests(&GUESTS[..2]);
    for machine in ["dev", "web"] {
        bed.guest("pro", machine, "apt-get -q update && apt-get -qy install tiny").ok();
    }
    bed
}

#[track_caller]
fn version(bed: &Bed, machine: &str) -> String {
    bed.guest("pro", machine, "cat /usr/share/tiny/version; dpkg-query -W -f '${Status}' tiny").ok().stdout
}

/// The names of everything in the project that an upgrade could have left behind, but for the machines.
fn left(bed: &Bed) -> Vec<String> {
    let instances = bed.incus("/1.0/instances?recursion=2&project=pro");
    let name = |one: &Value| one["name"].as_str().unwrap().to_owned();
    let mut all = Vec::new();
    for instance in instances.as_array().unwrap() {
        let name = name(instance);
        all.extend(
            instance["snapshots"].as_array().into_iter().flatten().map(|one| format!("{name}/{}", self::name(one))),
        );
        all.extend((!["dev", "web", "bare", "off"].contains(&name.as_str())).then_some(name));
    }
    let volumes = bed.incus("/1.0/storage-pools/default/volumes/custom?recursion=1&project=pro");
    all.extend(volumes.as_array().into_iter().flatten().map(name).filter(|name| name != "dev-data"));
    all
}

fn name(one: &Value) -> String {
    one["name"].as_str().unwrap().to_owned()
}

const GOOD: &str = "install ok installed";

const ANEW: &str = "
project_name: up
global: {default_os_image: images:debian/13}
domains:
  pro:
    machines:
      dev:
        storage_volumes: {data: {path: /data}}
        devices: {null0: {type: unix-char, source: /dev/null, path: /dev/null0}}
      web: {}
";

/// A newer version of the image appears on the server.
fn newer(bed: &Bed, serial: u32) {
    let publish = "python3 $ANKLUME_BED/make-images /run/bed/images --only debian/13 --serial";
    bed.sh(&format!("{publish} {serial} && rm -f /var/cache/incus/*/i*.json")).ok();
}

fn made_from_the_first_image(file: &str) -> Bed {
    let bed = Bed::up();
    bed.infra(file);
    bed.apply(&[]);
    bed.wait_for_guests(&[("pro", "dev", "10.120.0.1"), ("pro", "web", "10.120.0.2")]);
    bed.guest("pro", "dev", "echo root > /root/f; echo volume > /data/f; sync").ok();
    // Something that a user set by hand.
    bed.sh("incus config set dev user.mine=by-hand --project pro </dev/null").ok();
    bed
}

/// What a machine keeps, whatever its root disk is.
fn kept(bed: &Bed) -> (Value, Value, Value) {
    let mut machine = bed.machine("pro", "dev");
    let config = machine["config"].as_object_mut().unwrap();
    config.retain(|key, _| {
        key == "volatile.eth0.hwaddr" || !["volatile.", "image."].iter().any(|start| key.starts_with(start))
    });
    (machine["config"].take(), machine["devices"].take(), machine["profiles"].take())
}

#[track_caller]
fn serial(bed: &Bed, machine: &str) -> String {
    bed.guest("pro", machine, "cat /etc/image-serial").ok().stdout.trim().to_owned()
}

/// A program that only writes down how it was called.
fn puts_program(bed: &Bed, machine: &str, name: &str, does: &str) {
    let script = format!(
        "mkdir -p /usr/local/bin; printf '%s\\n' '#!/bin/sh' 'echo {name} \"$@\" >> /root/calls' '{does}' > /usr/local/bin/{name}
         chmod 755 /usr/local/bin/{name}"
    );
    bed.guest("pro", machine, &script).ok();
}

#[test]
fn without_a_step_images_guests_and_files_are_upgraded_in_turn_and_nothing_is_made_anew() {
    let file = "project_name: up\nglobal: {default_os_image: images:debian/13}\ndomains: {pro: {machines: {dev: {}, web: {}}}}\n";
    let bed = made_from_the_first_image(&file.replace("dev: {}", "dev: {storage_volumes: {data: {path: /data}}}"));
    puts_program(&bed, "dev", "apk", "");
    newer(&bed, 2);
    let asked =
        ["images:\n", "guests:\n", "files:\n", "~ upgrade instance dev", "not everything is upgraded: images, guests"];
    bed.try_anklume(&["upgrade"]).code(1).says(&asked);
    bed.guest("pro", "dev", "test ! -e /root/calls").ok();
    let said = ["images:debian/13 is newer now", "Every file is as this anklume writes it."];
    bed.anklume(&["upgrade", "--yes"]).says(&said);
    bed.guest("pro", "dev", "cat /root/calls").ok().says(&["apk --wait 300 upgrade"]);
    assert_eq!((serial(&bed, "dev"), left(&bed)), ("1".to_owned(), Vec::new()));

    // Nothing starts where nothing keeps the domains apart.
    bed.sh("nft delete table inet anklume").ok();
    for step in [&["upgrade", "guests", "--yes"][..], &["upgrade", "--rebuild", "dev", "--yes"]] {
        bed.try_anklume(step).code(1).says(&["the isolation between the domains is not in force", "`anklume apply`"]);
    }
    assert_eq!((serial(&bed, "dev"), left(&bed)), ("1".to_owned(), Vec::new()));
}
