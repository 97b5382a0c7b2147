//! `apply --snapshot` and `rollback`: what an apply restarted or made anew goes back to how it was.

use serde_json::Value;

use crate::harness::{Bed, calls_of, cut_off_at, edited};

const FILE: &str = "
project_name: back
global: {default_os_image: images:alpine/3.20}
domains:
  pro:
    machines:
      dev:
        storage_volumes: {data: {path: /data}}
      web: {}
      mail: {}
";

/// `dev` and `web` are to have other addresses, for which they restart.
fn moved() -> String {
    let dev = ("      dev:\n", "      dev:\n        ip: 10.120.0.50\n");
    edited(FILE, &[dev, ("web: {}", "web: {ip: 10.120.0.51}")])
}

fn write(bed: &Bed, word: &str) {
    bed.guest("pro", "dev", &format!("echo {word} > /root/word; echo {word} > /data/word; sync")).ok();
    bed.guest("pro", "web", &format!("echo {word} > /root/word; sync")).ok();
}

fn words(bed: &Bed) -> [String; 3] {
    [("dev", "/root/word"), ("dev", "/data/word"), ("web", "/root/word")].map(|(machine, path)| {
        let script = format!("cat {path} 2>/dev/null || echo none");
        bed.guest("pro", machine, &script).ok().stdout.trim().to_owned()
    })
}

/// The machines, `dev-before-replace` without its time, and how they stand.
fn machines(bed: &Bed) -> Vec<String> {
    let listed = bed.incus("/1.0/instances?recursion=1&project=pro");
    let name = |one: &Value| {
        let name = one["name"].as_str().unwrap();
        let name = name.split_once("replace").map_or(name.to_owned(), |(start, _)| format!("{start}replace"));
        format!("{name} {}", one["status"].as_str().unwrap())
    };
    listed.as_array().unwrap().iter().map(name).collect()
}

const WHOLE: [&str; 3] = ["dev Running", "mail Running", "web Running"];

/// `dev` and the times of its snapshots from before an apply.
fn times(bed: &Bed, machine: &str) -> Vec<String> {
    let rows = bed.anklume(&["snap", "list", machine, "--format", "json"]).json();
    let names = rows.as_array().unwrap().iter().map(|row| row["snapshot"].as_str().unwrap().to_owned());
    names.filter_map(|name| name.strip_prefix("pre-apply-").map(str::to_owned)).collect()
}

#[test]
fn what_an_apply_restarts_is_taken_first_and_goes_back() {
    let bed = Bed::up();
    bed.infra(FILE);
    bed.try_anklume(&["rollback", "--yes"]).code(1).says(&["no snapshots from before an apply"]);
    // What is new has nothing to go back to.
    bed.apply(&["--snapshot"]).says_not(&["rollback"]);
    bed.wait_for_guests(&[("pro", "dev", "10.120.0.1"), ("pro", "web", "10.120.0.2")]);
    write(&bed, "one");

    bed.infra(&moved());
    let plan = bed.plan(&["--restart", "--snapshot"]);
    let actions = plan.actions();
    assert!(actions[0].starts_with("create snapshot dev/pre-apply-") && actions[1].starts_with("create snapshot web/"));
    assert_eq!(actions[2..], ["update instance dev", "update instance web"]);
    assert_eq!((&plan.0["actions"][2]["after"][0], &plan.0["actions"][3]["after"][0]), (&0.into(), &1.into()));
    assert!(bed.plan(&["--snapshot"]).actions().is_empty(), "nothing that is not made is taken");

    a_failed_snapshot_keeps_the_machine_as_it_is(&bed);
    // One of the two does not start again.
    let refusing = "#!/bin/sh\n[ \"$1 $2\" != 'start dev' ] || { echo 'Error: not today' >&2; exit 1; }\nexec /usr/bin/incus \"$@\"";
    bed.write("bin/incus", refusing);
    let tried = bed.sh("chmod 755 bin/incus; PATH=$PWD/bin:$PATH $ANKLUME apply --yes --restart --snapshot").code(1);
    let time = times(&bed, "dev").remove(0);
    tried.says(&["not today", &format!("`anklume rollback {time}` brings machines back")]);
    assert_eq!(machines(&bed), ["dev Stopped", "mail Running", "web Running"]);
    assert!(times(&bed, "mail").is_empty(), "nobody touched it");
    bed.guest("pro", "web", "echo two > /root/word; sync").ok();

    bed.try_anklume(&["rollback", "20200101-000000"]).code(1).says(&["there are: ", &time]);
    bed.try_anklume(&["rollback"]).code(1).says(&["with default/dev-data", "say `--yes`"]);
    let told = bed.anklume(&["rollback", "--yes"]);
    told.says(&["2 back.", "The next plan:", "eth0 ipv4.address  10.120.0.1 → 10.120.0.50"]);
    assert_eq!(machines(&bed), WHOLE);
    assert_eq!(words(&bed), ["one"; 3]);
    bed.infra(FILE);
    bed.plan_is_empty();
    bed.wait_for_guests(&[("pro", "dev", "10.120.0.1"), ("pro", "web", "10.120.0.2")]);
    the_last_three_stay(&bed);
}

fn a_failed_snapshot_keeps_the_machine_as_it_is(bed: &Bed) {
    let refusing = "#!/bin/sh\n[ \"$1 $2 $3\" != 'snapshot create dev' ] || { echo 'Error: no room' >&2; exit 1; }\nexec /usr/bin/incus \"$@\"";
    bed.write("bin/incus", refusing);
    let pid = bed.pid("pro", "dev");
    let tried = bed
        .sh("chmod 755 bin/incus; PATH=$PWD/bin:$PATH $ANKLUME apply --yes --restart --snapshot --target dev")
        .code(1);
    tried.says(&["no room", "skipped: update instance dev"]).says_not(&["anklume rollback"]);
    assert_eq!(bed.pid("pro", "dev"), pid);
    let left = bed.anklume(&["snap", "list", "dev", "--format", "json"]).json();
    assert_eq!(left, serde_json::json!([]), "of its volume neither");
}

fn the_last_three_stay(bed: &Bed) {
    for host in 60..64 {
        bed.infra(&edited(FILE, &[("      dev:\n", &format!("      dev:\n        ip: 10.120.0.{host}\n"))]));
        bed.apply(&["--restart", "--snapshot"]).says(&["brings machines back to how they were before."]);
    }
    let times = times(bed, "dev");
    assert_eq!(times.len(), 3, "{times:?}");
    // A copy has the snapshots of its source, and was not there.
    bed.anklume(&["copy", "dev", "twin", "--yes"]);
    assert_eq!(self::times(bed, "twin"), times);
    // An earlier one, by its whole name too.
    bed.anklume(&["rollback", &format!("pre-apply-{}", times[0]), "--yes"]).says(&["1 back."]).says_not(&["twin"]);
    bed.wait_for_guest("pro", "dev", "10.120.0.60");
    bed.apply(&["--restart"]);
    bed.plan_is_empty();
}

#[test]
fn a_rollback_that_is_cut_off_at_any_moment_ends_when_it_is_run_again() {
    let bed = Bed::up();
    let anew = edited(&moved(), &[("      dev:\n", "      dev:\n        os_image: images:debian/13\n")]);
    bed.infra(FILE);
    bed.apply(&[]);
    let args = ["rollback", "--yes"];
    let mut calls: Vec<String> = Vec::new();
    let mut at = 0;
    loop {
        bed.infra(FILE);
        bed.wait_for_guests(&[("pro", "dev", "10.120.0.1"), ("pro", "web", "10.120.0.2")]);
        write(&bed, "one");
        // `dev` is made anew from another image, `web` restarts.
        bed.infra(&anew);
        bed.apply(&["--restart", "--replace", "dev", "--snapshot"]);
        assert_eq!(machines(&bed), ["dev Running", "dev-before-replace Stopped", "mail Running", "web Running"]);
        bed.guest("pro", "dev", "cat /etc/os-release").ok().says(&["ID=debian"]);
        write(&bed, "two");
        if at == 0 {
            let said = ["delete instance dev", "made since", "as it was, from pre-apply-"];
            bed.try_anklume(&["rollback"]).code(1).says(&said);
            calls = calls_of(&bed, &args);
            assert!(calls.len() > 2 + 4, "dev goes, comes back and starts, web goes back: {calls:?}");
        } else {
            assert!(cut_off_at(&bed, &args, at), "killed at `{}`", calls[at - 1]);
            bed.anklume(&args).says(&["2 back.", "The next plan:", "--replace dev"]);
        }
        assert_eq!(machines(&bed), WHOLE, "nothing is left over");
        assert_eq!(words(&bed), ["one"; 3]);
        bed.infra(FILE);
        bed.plan_is_empty();
        let dev = bed.machine("pro", "dev");
        assert_eq!(dev["config"]["user.anklume.kept"], Value::Null);
        assert_eq!(dev["config"]["boot.autostart"], Value::Null, "as it was");
        at += 1;
        if at > calls.len() {
            break;
        }
    }
    let times = times(&bed, "web");
    assert_eq!(times.len(), 3, "{times:?}");
}
