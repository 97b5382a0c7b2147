//! Row 28: machines move and are copied with their volumes, to other domains and pools, in Incus and in the file.

use serde_json::{Value, json};

use crate::harness::{Bed, edited};

const FILE: &str = "\
project_name: moving
global: {default_os_image: images:alpine/3.20}
domains:
  pro:
    machines:
      # The one with the work.
      dev:
        ip: 10.120.0.20   # for the printer
        storage_volumes: {data: {path: /data}}
        persistent_data: {notes: {path: /notes}}
      web: {}
  home:
    subnet_id: 7
    machines:
      tv: {}
";

/// The file as it stands in the bed.
fn file(bed: &Bed) -> String {
    bed.sh("cat infra.yml").ok().stdout
}

/// What is on the machine's root disk, in its volume and in its directory.
const DATA: &str = "cat /root/f /data/f /notes/f; stat -c %u:%g:%a /root/f";

fn filled(pool: &str) -> Bed {
    let bed = Bed::up();
    bed.sh(&format!("incus storage create {pool} dir </dev/null")).ok();
    bed.infra(FILE);
    bed.apply(&[]);
    bed.wait_for_guest("pro", "dev", "10.120.0.20");
    let write =
        "echo root > /root/f; chown 5:6 /root/f; chmod 640 /root/f; echo volume > /data/f; echo note > /notes/f; sync";
    bed.guest("pro", "dev", write).ok();
    bed.sh("incus snapshot create dev before --project pro </dev/null").ok();
    bed
}

#[track_caller]
fn has_its_data(bed: &Bed, project: &str, name: &str) {
    let said = bed.guest(project, name, DATA).ok();
    assert_eq!(said.stdout, "root\nvolume\nnote\n5:6:640\n", "{said}");
}

fn names(listed: &Value) -> Vec<String> {
    let paths = listed.as_array().into_iter().flatten().filter_map(Value::as_str);
    paths.filter_map(|path| path.rsplit('/').next()?.split('?').next().map(str::to_owned)).collect()
}

/// Everything of a project that a copy could have left behind.
fn stands(bed: &Bed, project: &str) -> Vec<String> {
    let mut all = names(&bed.incus(&format!("/1.0/instances?project={project}")));
    for pool in names(&bed.incus("/1.0/storage-pools")) {
        let volumes = names(&bed.incus(&format!("/1.0/storage-pools/{pool}/volumes/custom?project={project}")));
        all.extend(volumes.into_iter().map(|name| format!("{pool}/{name}")));
    }
    all.sort();
    all
}

#[test]
fn coverage_28_move_brings_a_machine_with_its_data_to_another_domain_and_the_file_says_so() {
    let bed = filled("pool2");
    bed.try_anklume(&["move", "dev", "--to", "hom"]).code(1).says(&["did you mean `home`?"]);
    let before = bed.everything();
    bed.try_anklume(&["move", "dev", "--to", "home"]).code(1).says(&["there is no terminal", "infra.yml:6"]);
    bed.is_unchanged(&before);
    assert_eq!(file(&bed), FILE);

    bed.anklume(&["move", "dev", "--to", "home", "--yes"]).says(&["copy volume default/dev-data", "move instance dev"]);
    let entry = "      # The one with the work.\n      dev:\n        storage_volumes: {data: {path: /data}}\n        \
                 persistent_data: {notes: {path: /notes}}\n";
    let gone = edited(FILE, &[("        ip: 10.120.0.20   # for the printer\n", ""), (entry, "")]);
    assert_eq!(file(&bed), format!("{gone}{entry}"));
    bed.plan_is_empty();
    assert_eq!(bed.plan(&[]).held(), Vec::<String>::new());
    bed.wait_for_guest("home", "dev", "10.120.7.2");
    has_its_data(&bed, "home", "dev");
    assert_eq!(stands(&bed, "pro"), ["web"]);
    assert_eq!(stands(&bed, "home"), ["default/dev-data", "dev", "tv"]);
    assert_eq!(names(&bed.incus("/1.0/instances/dev/snapshots?project=home")), ["before"]);
    bed.sh("cat /srv/anklume/data/pro/dev/notes/f").ok().says(&["note"]);
    assert!(!file(&bed).contains("10.120.0.20"));

    the_file_can_be_edited_first(&bed);
}

/// What was edited by hand is told by the plan, and brought with its data.
fn the_file_can_be_edited_first(bed: &Bed) {
    bed.infra(FILE);
    bed.sh("rm -r /srv/anklume/data/pro").ok();
    let plan = bed.plan(&[]);
    assert_eq!(plan.held(), ["moved instance dev"], "{:#}", plan.0);
    bed.try_anklume(&["apply", "--yes"]).code(1).says(&["stands in the domain `home`; `anklume move dev` brings it"]);
    assert_eq!(bed.machine("home", "dev")["status"], "Running", "it is left alone");
    bed.anklume(&["move", "dev", "--yes"]);
    assert_eq!(file(bed), FILE);
    bed.plan_is_empty();
    bed.wait_for_guest("pro", "dev", "10.120.0.20");
    has_its_data(bed, "pro", "dev");
    assert_eq!(stands(bed, "home"), ["tv"]);
}

#[test]
fn a_machine_moves_to_another_pool_with_its_volumes() {
    let bed = filled("pool2");
    bed.try_anklume(&["move", "dev", "--pool", "nowhere", "--yes"]).code(1).says(&["there are: default, pool2"]);
    bed.anklume(&["move", "dev", "--pool", "pool2", "--yes"]);
    bed.plan_is_empty();
    bed.wait_for_guest("pro", "dev", "10.120.0.20");
    has_its_data(&bed, "pro", "dev");
    assert_eq!(bed.machine("pro", "dev")["expanded_devices"]["root"]["pool"], "pool2");
    assert_eq!(stands(&bed, "pro"), ["dev", "pool2/dev-data", "web"]);
    let text = file(&bed);
    assert!(text.contains("storage_volumes: {data: {pool: pool2, path: /data}}"), "{text}");
    assert!(text.contains("devices: {root: {type: disk, path: /, pool: pool2}}"), "{text}");

    // And back, since the file says so again.
    bed.infra(FILE);
    assert!(bed.plan(&[]).held()[0].starts_with("refused instance dev"), "{:?}", bed.plan(&[]).held());
    bed.anklume(&["move", "dev", "--yes"]);
    bed.plan_is_empty();
    assert_eq!(bed.machine("pro", "dev")["expanded_devices"]["root"]["pool"], "default");
}

#[test]
fn coverage_28_copy_has_the_data_and_addresses_of_its_own() {
    let bed = filled("pool2");
    bed.anklume(&["copy", "dev", "dev2", "--yes"]);
    bed.anklume(&["copy", "dev", "dev3", "--to", "home", "--yes"]);
    bed.plan_is_empty();
    bed.wait_for_guests(&[
        ("pro", "dev", "10.120.0.20"),
        ("pro", "dev2", "10.120.0.2"),
        ("home", "dev3", "10.120.7.2"),
    ]);
    for (project, name) in [("pro", "dev"), ("pro", "dev2"), ("home", "dev3")] {
        has_its_data(&bed, project, name);
    }
    bed.guest("pro", "dev2", "echo other > /data/f; sync").ok();
    has_its_data(&bed, "pro", "dev");
    let host_name = bed.guest("pro", "dev2", "hostname").ok();
    assert_eq!(host_name.stdout.trim(), "dev2");
    assert_eq!(bed.machine("pro", "dev2")["config"]["user.anklume.journey"], json!(null));
    assert_eq!(stands(&bed, "pro"), ["default/dev-data", "default/dev2-data", "dev", "dev2", "web"]);
    bed.try_anklume(&["copy", "dev", "dev2", "--yes"]).code(1).says(&["a machine dev2"]);
}

#[test]
fn a_move_that_is_killed_anywhere_is_finished_by_the_next_one() {
    let bed = filled("pool2");
    bed.guest("pro", "dev", "dd if=/dev/urandom of=/data/big bs=1M count=64; sync").ok();
    let whole = bed.sh("time -p $ANKLUME move dev --to home --yes").ok();
    let seconds: f64 = whole.stderr.lines().find_map(|line| line.strip_prefix("real ")?.parse().ok()).unwrap();
    let (mut from, mut to) = ("home", "pro");
    for step in 1..=6 {
        let after = seconds * f64::from(step) / 7.0;
        let running = bed.start_anklume(&["move", "dev", "--to", to, "--yes"]);
        let _ = running.pid();
        // Not a wait for anything: the moment to kill it at.
        std::thread::sleep(std::time::Duration::from_secs_f64(after));
        running.signal_if_under_way("KILL");
        running.wait();
        // It is somewhere, whole: nothing is ever nowhere.
        let both = [stands(&bed, from), stands(&bed, to)].concat().join(" ");
        assert!(both.contains("dev") && both.contains("dev-data"), "after {after} s: {both}");
        bed.anklume(&["move", "dev", "--to", to, "--yes"]);
        bed.plan_is_empty();
        let told = format!("killed after {after:.2} of {seconds} s");
        assert_eq!(stands(&bed, to).iter().filter(|name| name.contains("dev")).count(), 2, "{told}");
        assert_eq!(stands(&bed, from).iter().filter(|name| name.contains("dev")).count(), 0, "{told}");
        has_its_data(&bed, to, "dev");
        std::mem::swap(&mut from, &mut to);
    }
}
