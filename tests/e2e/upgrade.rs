//! Upgrades, of guests with a real package manager and of machines by newer images: what fails is put back, and whatever
//! cuts a run off, the next one ends right with nothing left over.

use std::time::{Duration, Instant};

use serde_json::Value;

use crate::harness::{Bed, edited};

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

#[test]
fn guests_are_upgraded_by_their_own_package_manager_and_put_back_where_that_fails() {
    let bed = filled(FILE);
    publish(&bed, "2.0", ":");
    let list =
        ["~ upgrade instance dev  (apt, after pre-upgrade-", "bare has no package manager", "there is no terminal"];
    bed.try_anklume(&["upgrade", "guests"]).code(1).says(&list).says_not(&["instance off"]);
    assert_eq!((version(&bed, "dev"), left(&bed)), (format!("1.0\n{GOOD}"), Vec::new()), "nothing was done");
    bed.anklume(&["upgrade", "guests", "--yes"]);
    for machine in ["dev", "web"] {
        assert_eq!(version(&bed, machine), format!("2.0\n{GOOD}"));
    }
    assert_eq!(left(&bed), [""; 0]);
    bed.plan_is_empty();

    a_failing_upgrade_is_put_back(&bed);
    an_unhealthy_machine_is_put_back(&bed);
}

fn a_failing_upgrade_is_put_back(bed: &Bed) {
    bed.guest("pro", "dev", "echo root > /root/f; echo volume > /data/f; sync").ok();
    // The machine's own files and those of its volume are changed by then.
    publish(bed, "3.0", "echo worse > /root/f; echo worse > /data/f; echo it broke >&2; exit 1");
    let pids = ["dev", "web"].map(|machine| bed.pid("pro", machine));
    let said =
        ["failed: upgrade instance dev", "it broke", "dev: its upgrade failed", "it was put back to pre-upgrade-"];
    let run = bed.try_anklume(&["upgrade", "guests", "--batch", "1", "--yes"]).code(1);
    run.says(&said).says(&["not begun: web", "0 upgraded, and not: dev"]);
    assert_eq!(version(bed, "dev"), format!("2.0\n{GOOD}"));
    assert_eq!(bed.guest("pro", "dev", "cat /root/f /data/f").ok().stdout, "root\nvolume\n");
    assert_ne!(bed.pid("pro", "dev"), pids[0], "it is a fresh start");
    assert_eq!(bed.pid("pro", "web"), pids[1], "nothing was done to it");
    assert_eq!(left(bed), [""; 0]);
    let run = bed.try_anklume(&["upgrade", "guests", "--batch", "1", "--keep-going", "--yes"]).code(1);
    run.says(&["not: dev, web"]).says_not(&["not begun"]);
    assert_eq!(version(bed, "web"), format!("2.0\n{GOOD}"));
    assert_eq!(left(bed), [""; 0]);
    bed.wait_for_guests(&GUESTS);
    bed.plan_is_empty();
}

fn an_unhealthy_machine_is_put_back(bed: &Bed) {
    bed.sh("rm /run/bed/www/apt/tiny_3.0.deb").ok();
    publish(bed, "4.0", ":");
    let file = edited(FILE, &[("web: {}", "web: {health: '! grep -q 4 /usr/share/tiny/version'}")]);
    bed.infra(&file);
    let run = bed.try_anklume(&["upgrade", "guests", "--wait", "1", "--yes"]).code(1);
    let said =
        ["failed: web: its `health` command ended with 1; it was put back to pre-upgrade-", "1 upgraded, and not: web"];
    run.says(&said);
    assert_eq!([version(bed, "dev"), version(bed, "web")], [format!("4.0\n{GOOD}"), format!("2.0\n{GOOD}")]);
    assert_eq!(left(bed), [""; 0]);
    bed.plan_is_empty();
    // One that is unhealthy as it is, is none to be blamed for it.
    bed.infra(&edited(&file, &[("! grep -q 4 /usr/share/tiny/version", "false")]));
    let pid = bed.pid("pro", "web");
    bed.try_anklume(&["upgrade", "guests", "web", "--yes"])
        .code(1)
        .says(&["web is not upgraded: it is not healthy as it is"]);
    assert_eq!(bed.pid("pro", "web"), pid);
}

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

#[test]
fn a_machine_is_made_anew_from_a_newer_image_and_keeps_all_but_its_root_disk() {
    let bed = made_from_the_first_image(ANEW);
    let before = kept(&bed);
    bed.anklume(&["upgrade", "--rebuild", "dev", "--yes"])
        .says(&["dev is made from the image that is here", "Nothing to make anew"]);
    newer(&bed, 2);
    bed.try_anklume(&["upgrade", "images"]).code(1).says(&["~ refresh image images:debian/13", "there is no terminal"]);
    let list = [
        "pro  dev  is made from images:debian/13",
        "the one of 2025-01-02 is newer",
        "`anklume upgrade --rebuild NAME`",
    ];
    bed.anklume(&["upgrade", "images", "--yes"]).says(&list).says(&["pro  web  is made"]);
    bed.plan_is_empty();

    bed.try_anklume(&["upgrade", "--rebuild", "devv"]).code(1).says(&["did you mean `dev`?"]);
    let list = [
        "~ rebuild instance dev  (from images:debian/13 2025-01-02)",
        "What is on their root disks goes",
        "no terminal",
    ];
    bed.try_anklume(&["upgrade", "--rebuild", "dev"]).code(1).says(&list);
    assert_eq!(serial(&bed, "dev"), "1");
    bed.anklume(&["upgrade", "--rebuild", "dev", "--yes"]);
    assert_eq!([serial(&bed, "dev"), serial(&bed, "web")], ["2", "1"]);
    assert_eq!(kept(&bed), before, "name, marks, MAC address, devices, profiles, and what was set by hand");
    bed.wait_for_guest("pro", "dev", "10.120.0.1");
    bed.guest("pro", "dev", "cat /data/f; test -c /dev/null0; test ! -e /root/f").ok().says(&["volume\n"]);
    assert_eq!(left(&bed), [""; 0]);
    bed.plan_is_empty();
    bed.anklume(&["upgrade", "--rebuild", "dev", "--yes"]).says(&["Nothing to make anew"]);

    // A whole domain; one with snapshots is kept with them.
    bed.sh("incus snapshot create web mine --project pro </dev/null").ok();
    bed.anklume(&["upgrade", "rebuild", "pro", "--yes"])
        .says(&["since it has snapshots"])
        .says_not(&["rebuild instance dev"]);
    assert_eq!(serial(&bed, "web"), "2");
    let stands = left(&bed);
    assert!(
        stands.len() == 2 && stands[0].starts_with("web-before-replace-") && stands[0].ends_with("/mine"),
        "{stands:?}"
    );
    bed.plan_is_empty();
}

#[test]
fn a_machine_that_is_not_healthy_with_a_newer_image_gets_its_old_root_disk_back() {
    let health = ("      web: {}", "        health: grep -q 1 /etc/image-serial\n      web: {}");
    let bed = made_from_the_first_image(&edited(ANEW, &[health]));
    let before = kept(&bed);
    newer(&bed, 2);
    bed.anklume(&["upgrade", "images", "--yes"]);
    let said =
        ["failed: dev: its `health` command ended with 1; the old one is back", "not begun: web", "not made anew: dev"];
    bed.try_anklume(&["upgrade", "--rebuild", "dev", "web", "--wait", "1", "--yes"]).code(1).says(&said);
    it_is_the_old_one(&bed, &before);
    assert_eq!(serial(&bed, "web"), "1");
    // One that cannot even be made.
    bed.write(
        "bin/incus",
        "#!/bin/sh\n[ \"$1 $3\" != 'create dev' ] || { echo 'Error: no room' >&2; exit 1; }\nexec /usr/bin/incus \"$@\"",
    );
    let run = bed.sh("chmod 755 bin/incus; PATH=$PWD/bin:$PATH $ANKLUME upgrade --rebuild dev --yes").code(1);
    run.says(&["no room", "dev: it could not be made; the old one is back"]);
    it_is_the_old_one(&bed, &before);
}

#[track_caller]
fn it_is_the_old_one(bed: &Bed, before: &(Value, Value, Value)) {
    assert_eq!(kept(bed), *before);
    bed.wait_for_guest("pro", "dev", "10.120.0.1");
    assert_eq!(bed.guest("pro", "dev", "cat /root/f /data/f").ok().stdout, "root\nvolume\n");
    assert_eq!((serial(bed, "dev"), left(bed)), ("1".to_owned(), Vec::new()));
    bed.plan_is_empty();
}

/// Cuts a run off after a while: anklume alone, or what it had under way in the guests too.
fn cut_off(bed: &Bed, args: &[&str], after: Duration, with_calls: bool) {
    let run = bed.start_anklume(args);
    let _ = run.pid();
    std::thread::sleep(after);
    run.signal_if_under_way("KILL");
    run.wait();
    if with_calls {
        bed.sh(KILL_CALLS).ok();
    }
}

/// In the bed, what runs in guests is seen too: only the client and its timeout are meant.
const KILL_CALLS: &str = "
for process in /proc/[0-9]*; do
  if tr '\\0' ' ' < $process/cmdline 2>/dev/null | grep -q '^\\(timeout\\|incus\\) .*anklume-upgrade'; then kill -KILL ${process#/proc/} || :; fi
done";

#[track_caller]
fn is_whole(bed: &Bed) {
    assert_eq!(left(bed), [""; 0]);
    bed.plan_is_empty();
    bed.wait_for_guests(&GUESTS[..2]);
    let volume = bed.guest("pro", "dev", "cat /root/f /data/f").ok().stdout;
    assert_eq!(volume, "root\nvolume\n");
}

#[test]
fn an_upgrade_of_guests_that_is_killed_at_any_moment_ends_right_the_second_time() {
    let bed = filled(&edited(FILE, &[("      bare: {os_image: images:alpine/3.20}\n", "")]));
    bed.guest("pro", "dev", "echo root > /root/f; echo volume > /data/f; sync").ok();
    let upgrade = ["upgrade", "guests", "--wait", "10", "--yes"];
    publish(&bed, "1.1", "sleep 0.5");
    let begin = Instant::now();
    bed.anklume(&upgrade);
    let takes = begin.elapsed();
    for part in 1..=4 {
        let new = format!("1.{}", part + 1);
        publish(&bed, &new, "sleep 0.5");
        cut_off(&bed, &upgrade, takes * part / 5, part % 2 == 0);
        bed.anklume(&upgrade);
        assert_eq!([version(&bed, "dev"), version(&bed, "web")], [format!("{new}\n{GOOD}"), format!("{new}\n{GOOD}")]);
        is_whole(&bed);
    }
    // One that fails, and is put back.
    publish(&bed, "2.0", "echo worse > /root/f; echo worse > /data/f; exit 1");
    let begin = Instant::now();
    bed.try_anklume(&upgrade).code(1);
    let takes = begin.elapsed();
    for part in 1..=4 {
        cut_off(&bed, &upgrade, takes * part / 5, part % 2 == 0);
        bed.try_anklume(&upgrade).code(1).says(&["upgraded, and not: dev, web"]);
        assert_eq!([version(&bed, "dev"), version(&bed, "web")], [format!("1.5\n{GOOD}"), format!("1.5\n{GOOD}")]);
        is_whole(&bed);
    }
}

#[test]
fn a_rebuild_that_is_killed_at_any_moment_ends_right_the_second_time() {
    let bed = made_from_the_first_image(ANEW);
    let before = kept(&bed);
    let rebuild = ["upgrade", "--rebuild", "dev", "--wait", "10", "--yes"];
    let of = |number: u32| {
        newer(&bed, number);
        bed.anklume(&["image", "refresh"]);
    };
    of(2);
    let begin = Instant::now();
    bed.anklume(&rebuild);
    let takes = begin.elapsed();
    for part in 1..=4 {
        of(part + 2);
        cut_off(&bed, &rebuild, takes * part / 5, false);
        bed.anklume(&rebuild);
        assert_eq!(serial(&bed, "dev"), (part + 2).to_string());
        assert_eq!((kept(&bed), left(&bed)), (before.clone(), Vec::new()));
        bed.guest("pro", "dev", "cat /data/f").ok().says(&["volume"]);
        bed.plan_is_empty();
    }
    // One that is never healthy, and put back.
    bed.infra(&edited(ANEW, &[("      web: {}", "        health: grep -q 6 /etc/image-serial\n      web: {}")]));
    of(7);
    let rebuild = ["upgrade", "--rebuild", "dev", "--wait", "1", "--yes"];
    let begin = Instant::now();
    bed.try_anklume(&rebuild).code(1);
    let takes = begin.elapsed();
    bed.guest("pro", "dev", "echo root > /root/f; sync").ok();
    for part in 1..=4 {
        cut_off(&bed, &rebuild, takes * part / 5, false);
        bed.try_anklume(&rebuild).code(1).says(&["the old one is back"]);
        assert_eq!(serial(&bed, "dev"), "6");
        assert_eq!(kept(&bed), before);
        is_whole(&bed);
    }
}

const MANAGERS: &str = "
project_name: up
global: {default_os_image: images:alpine/3.20}
domains:
  pro:
    machines: {fedora: {}, suse: {}, rolling: {}, arch: {}, alpine: {}}
";

/// A program that only writes down how it was called.
fn puts_program(bed: &Bed, machine: &str, name: &str, does: &str) {
    let script = format!(
        "mkdir -p /usr/local/bin; printf '%s\\n' '#!/bin/sh' 'echo {name} \"$@\" >> /root/calls' '{does}' > /usr/local/bin/{name}
         chmod 755 /usr/local/bin/{name}"
    );
    bed.guest("pro", machine, &script).ok();
}

/// The package managers of other distributions are not here: their places are taken by programs that write down how they
/// are called.
#[test]
fn each_package_manager_is_called_so_that_it_asks_nothing() {
    let bed = Bed::up();
    bed.infra(MANAGERS);
    bed.apply(&[]);
    puts_program(&bed, "fedora", "dnf", "");
    // It has upgraded itself, and wants to be run again.
    puts_program(
        &bed,
        "suse",
        "zypper",
        "case $2 in update) test -e /root/again || { touch /root/again; exit 103; };; esac",
    );
    puts_program(&bed, "rolling", "zypper", "");
    bed.guest("pro", "rolling", "echo 'ID=\"opensuse-tumbleweed\"' > /etc/os-release").ok();
    puts_program(&bed, "arch", "pacman", "");
    bed.guest("pro", "arch", "mkdir -p /var/lib/pacman; touch /var/lib/pacman/db.lck").ok();
    puts_program(&bed, "alpine", "apk", "");
    let list = ["fedora  (dnf, ", "suse  (zypper, ", "rolling  (zypper, ", "arch  (pacman, ", "alpine  (apk, "];
    bed.anklume(&["upgrade", "guests", "--batch", "5", "--yes"]).says(&list);
    let calls = |machine: &str| bed.guest("pro", machine, "cat /root/calls").ok().stdout;
    assert_eq!(calls("fedora"), "dnf -y --refresh upgrade\n");
    let update = "zypper --non-interactive update --auto-agree-with-licenses\n";
    assert_eq!(calls("suse"), format!("zypper --non-interactive refresh\n{update}{update}"));
    let dist = "zypper --non-interactive dist-upgrade --auto-agree-with-licenses\n";
    assert_eq!(calls("rolling"), format!("zypper --non-interactive refresh\n{dist}"));
    assert_eq!(calls("arch"), "pacman -Syu --noconfirm\n");
    bed.guest("pro", "arch", "test ! -e /var/lib/pacman/db.lck").ok();
    assert_eq!(calls("alpine"), "apk --wait 300 update\napk --wait 300 upgrade\n");

    // A unit that had failed before is none to be blamed for it; another one is.
    bed.guest("pro", "alpine", "mkdir -p /run/systemd/system").ok();
    let units = "case $1 in list-units) echo old.service loaded failed failed Old; [ $(grep -c upgrade /root/calls) -lt 3 ] || echo new.service loaded;; esac";
    puts_program(&bed, "alpine", "systemctl", units);
    bed.anklume(&["upgrade", "guests", "alpine", "--wait", "1", "--yes"]);
    let run = bed.try_anklume(&["upgrade", "guests", "alpine", "--wait", "1", "--yes"]).code(1);
    run.says(&["failed: alpine: failed units: new.service; it was put back"]);
    assert_eq!(calls("alpine").matches("apk --wait 300 upgrade").count(), 2, "as it was before");
    bed.guest("pro", "alpine", "touch /run/reboot-required").ok();
    puts_program(&bed, "alpine", "systemctl", "");
    bed.anklume(&["upgrade", "guests", "alpine", "--yes"]).says(&["`anklume restart alpine`"]);
}
