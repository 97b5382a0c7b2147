//! Snapshots of machines: taken together, with their volumes, and what was in them really comes back.

use serde_json::Value;

use crate::harness::{Bed, Output, calls_of, cut_off_at, edited, in_control, push_to_control, wait_for, with_control};

const FILE: &str = "
project_name: snaps
global: {default_os_image: images:alpine/3.20}
domains:
  pro:
    ephemeral: true
    machines:
      dev:
        storage_volumes: {data: {path: /data}}
      web: {}
  home:
    ephemeral: true
    machines:
      mail: {}
";

const MACHINES: [(&str, &str); 3] = [("pro", "dev"), ("pro", "web"), ("home", "mail")];

/// Writes a word into every machine, and into the volume.
fn write(bed: &Bed, word: &str) {
    for (project, machine) in MACHINES {
        bed.guest(project, machine, &format!("echo {word} > /root/word; sync")).ok();
    }
    bed.guest("pro", "dev", &format!("echo {word} > /data/word; sync")).ok();
}

/// What stands in them: of `dev`, its volume, `web` and `mail`.
fn words(bed: &Bed) -> [String; 4] {
    let word = |(project, machine), path: &str| {
        bed.guest(project, machine, &format!("cat {path}")).ok().stdout.trim().to_owned()
    };
    let [dev, web, mail] = MACHINES.map(|machine| word(machine, "/root/word"));
    [dev, word(MACHINES[0], "/data/word"), web, mail]
}

fn taken(output: &Output) -> String {
    output.stdout.trim().to_owned()
}

/// `dev snap-1 +1`, one for each snapshot, with the number of volumes that it has.
fn listed(bed: &Bed) -> Vec<String> {
    let rows = bed.anklume(&["snap", "list", "--format", "json"]).json();
    let told = |row: &Value| {
        let own = if row["of_machine"] == true { "" } else { " only" };
        let volumes = row["volumes"].as_array().unwrap().len();
        format!("{} {} +{volumes}{own}", row["machine"].as_str().unwrap(), row["snapshot"].as_str().unwrap())
    };
    rows.as_array().unwrap().iter().map(told).collect()
}

fn statuses(bed: &Bed) -> [Value; 3] {
    MACHINES.map(|(project, machine)| bed.machine(project, machine)["status"].clone())
}

/// Nothing of what was under way is left written.
fn nothing_is_under_way(bed: &Bed) {
    assert!(!bed.incus("/1.0")["config"].to_string().contains("under-way"));
}

#[test]
fn coverage_15_snapshots_of_a_machine_a_domain_and_everything_bring_back_what_was_in_them() {
    let bed = Bed::up();
    bed.infra(FILE);
    bed.apply(&[]);
    bed.wait_for_guests(&[("pro", "dev", "10.120.1.1"), ("pro", "web", "10.120.1.2"), ("home", "mail", "10.120.0.1")]);
    bed.try_anklume(&["snap", "create", "nobody"]).code(1).says(&["called `nobody`, so nothing was taken"]);
    bed.anklume(&["snap", "list"]).says(&["There are no snapshots."]);

    write(&bed, "one");
    let of_dev = taken(&bed.anklume(&["snap", "create", "dev"]));
    assert!(of_dev.starts_with("snap-2") && of_dev.len() == "snap-20261124-190000".len(), "{of_dev}");
    let of_pro = taken(&bed.anklume(&["snap", "create", "pro", "--volumes", "--consistent", "--name", "both"]));
    assert_eq!(of_pro, "both");
    bed.anklume(&["snap", "create", "--name", "all", "--expiry", "2h", "--volumes"]);
    let mut expected =
        ["dev all +1", "dev both +1", &format!("dev {of_dev} +0"), "mail all +0", "web all +0", "web both +0"]
            .map(str::to_owned);
    expected.sort();
    let mut now = listed(&bed);
    now.sort();
    assert_eq!(now, expected);
    bed.anklume(&["snap", "list", "dev"]).says(&["MACHINE", "in 1h", "default/dev-data"]).says_not(&["web"]);

    // A machine: its volume stays as it is, without being asked for.
    write(&bed, "two");
    let pid = bed.pid("pro", "web");
    bed.try_anklume(&["snap", "restore", &of_dev, "dev"]).code(1).says(&["restore instance dev", "say `--yes`"]);
    assert_eq!(words(&bed), ["two"; 4]);
    let told = bed.anklume(&["snap", "restore", &of_dev, "dev", "--yes"]);
    told.says(&["What was written in them since then is lost", "config, devices and profiles", "Nothing to do"]);
    assert_eq!(words(&bed), ["one", "two", "two", "two"]);
    assert_eq!(bed.pid("pro", "web"), pid, "nobody else was touched");
    let said = ["was taken of dev without its volumes", "leave out `--volumes`"];
    bed.try_anklume(&["snap", "restore", &of_dev, "--volumes", "--yes"]).code(1).says(&said);

    // A domain, with the volume; paused and stopped machines are as they were.
    bed.anklume(&["pause", "web"]);
    bed.anklume(&["snap", "restore", "both", "pro", "--volumes", "--yes"]).says(&["with default/dev-data", "2 back."]);
    assert_eq!(statuses(&bed), ["Running", "Frozen", "Running"]);
    bed.anklume(&["resume", "web"]);
    assert_eq!(words(&bed), ["one", "one", "one", "two"]);

    // Everything.
    write(&bed, "three");
    bed.anklume(&["stop", "mail"]);
    bed.anklume(&["snap", "restore", "all", "--volumes", "--yes"]).says(&["3 back.", "start instance mail"]);
    assert_eq!(statuses(&bed), ["Running", "Running", "Stopped"]);
    bed.apply(&[]);
    assert_eq!(words(&bed), ["one"; 4]);
    nothing_is_under_way(&bed);
    what_is_spare_goes(&bed, &of_dev);
    bed.plan_is_empty();
}

fn what_is_spare_goes(bed: &Bed, of_dev: &str) {
    bed.try_anklume(&["snap", "create", "web", "--name", "both"]).code(1).says(&["web has a snapshot both already"]);
    for name in ["a b", "-x", "pre-apply-x", "a/b"] {
        bed.try_anklume(&["snap", "create", &format!("--name={name}")]).code(1);
    }
    bed.try_anklume(&["snap", "restore", "dev", "both"]).code(1).says(&["the snapshot comes first"]);
    bed.try_anklume(&["snap", "delete", "both"]).code(1).says(&["say `--yes`"]);
    bed.anklume(&["snap", "delete", "both", "dev", "--yes"])
        .says(&["delete snapshot dev/both  (with default/dev-data)"]);
    assert!(!bed.has("/1.0/storage-pools/default/volumes/custom/dev-data/snapshots/both?project=pro"));
    let last = taken(&bed.anklume(&["snap", "create", "dev", "--volumes"]));
    bed.try_anklume(&["snap", "prune"]).code(2);
    bed.anklume(&["snap", "prune", "--keep", "1", "--older-than", "1h", "--yes"]).says(&["Nothing to delete."]);
    bed.anklume(&["snap", "prune", "--keep", "1", "--yes"]).says(&[of_dev]).says_not(&[&last]);
    let mut now = listed(bed);
    now.sort();
    assert_eq!(now, ["dev all +1", &format!("dev {last} +1"), "mail all +0", "web all +0", "web both +0"]);
}

#[test]
fn what_a_restore_changes_in_incus_is_what_the_next_plan_shows() {
    let bed = Bed::up();
    // A machine that stood there before anklume knew it.
    bed.infra(&edited(FILE, &[("      web: {}\n", "")]));
    bed.apply(&[]);
    bed.sh("incus launch images:alpine/3.20 web --project pro -n mybr0 </dev/null; incus snapshot create web before --project pro </dev/null").ok();
    bed.infra(FILE);
    bed.apply(&["--restart"]);
    bed.anklume(&["snap", "create", "web", "--name", "adopted"]);
    let limited = edited(FILE, &[("web: {}", "web: {config: {limits.processes: 300, user.mine: x}}")]);
    bed.infra(&limited);
    bed.apply(&[]);

    // Restored, it has what was applied by then, and what was applied since is seen to be missing.
    let told = bed.anklume(&["snap", "restore", "adopted", "--yes"]);
    told.says(&["The next plan:", "limits.processes", "Plan: 0 to create, 1 to change, 0 to delete"]);
    bed.apply(&[]);
    bed.plan_is_empty();
    assert_eq!(bed.machine("pro", "web")["config"]["limits.processes"], "300");

    // It was on another bridge then: it comes back as anklume's own, and does not start there.
    let told = bed.anklume(&["snap", "restore", "before", "--yes"]);
    told.says(&["mybr0 was its own then, so it stays stopped until the next apply", "The next plan:"])
        .says_not(&["adopt"]);
    let web = bed.machine("pro", "web");
    assert_eq!((&web["status"], &web["config"]["user.anklume.infra"]), (&"Stopped".into(), &"snaps".into()));
    bed.apply(&[]);
    bed.plan_is_empty();
    bed.wait_for_guest("pro", "web", "10.120.1.2");
}

/// Programs of its own in front: an `incus` that writes down what it is called with, and fails on one call.
fn noting(bed: &Bed, bad: &str) -> String {
    let script = format!(
        "#!/bin/sh\ncase \"$*\" in *query*) ;; *) echo \"$1 $2 $3\" >> $PWD/noted;; esac
         case \"$*\" in '{bad}'*) echo 'Error: not today' >&2; exit 1;; esac\nexec /usr/bin/incus \"$@\""
    );
    bed.write("bin/incus", &script);
    bed.sh("chmod 755 bin/incus; rm -f noted").ok();
    "PATH=$PWD/bin:$PATH $ANKLUME".to_owned()
}

#[test]
fn machines_are_frozen_for_the_moment_and_thawed_whatever_happens() {
    let bed = Bed::up();
    bed.infra(FILE);
    bed.apply(&[]);
    bed.anklume(&["pause", "mail"]);
    let anklume = noting(&bed, "nothing");
    bed.sh(&format!("{anklume} snap create --consistent --volumes --name s")).ok();
    let noted = bed.sh("cat noted").ok().stdout;
    let order: Vec<&str> = noted.lines().map(|line| line.split(' ').next().unwrap()).collect();
    // What is to be done is written down first.
    let calls =
        ["config", "pause", "pause", "snapshot", "snapshot", "snapshot", "storage", "resume", "resume", "config"];
    let mut sorted = order.clone();
    sorted[3..7].sort_unstable();
    assert_eq!(sorted, calls, "{noted}");
    assert!(!noted.contains("pause mail") && !noted.contains("resume mail"), "its user paused it: {noted}");
    assert_eq!(statuses(&bed), ["Running", "Running", "Frozen"]);

    let before = listed(&bed);
    let anklume = noting(&bed, "snapshot create web");
    let tried = bed.sh(&format!("{anklume} snap create --consistent --volumes")).code(1);
    tried.says(&["failed: create snapshot web/snap-", "not today", "no snapshot was taken"]);
    assert_eq!(statuses(&bed), ["Running", "Running", "Frozen"]);
    assert_eq!(listed(&bed), before, "all or none");
    nothing_is_under_way(&bed);
}

fn taking(name: &str) -> [&str; 6] {
    ["snap", "create", "--consistent", "--volumes", "--name", name]
}

#[test]
fn a_snapshot_that_is_cut_off_at_any_moment_is_cured_by_the_next_one() {
    let bed = Bed::up();
    bed.infra(FILE);
    bed.apply(&[]);
    let calls = calls_of(&bed, &taking("measured"));
    assert!(calls.len() >= 3 + 4 + 3 + 2, "freeze, take, thaw, and what is written before and after: {calls:?}");
    for at in 1..=calls.len() {
        let (cut, whole) = (format!("cut-{at}"), format!("whole-{at}"));
        assert!(cut_off_at(&bed, &taking(&cut), at), "killed at `{}`", calls[at - 1]);
        bed.anklume(&taking(&whole));
        assert_eq!(statuses(&bed), ["Running"; 3], "thawed");
        let now = listed(&bed);
        let of = |name: &str| now.iter().filter(|told| told.contains(&format!(" {name} +"))).count();
        assert!(of(&whole) == 3 && [0, 3].contains(&of(&cut)) && !now.join(" ").contains("only"), "{now:?}");
        assert!(!now.contains(&format!("dev {cut} +0")), "{now:?}");
        nothing_is_under_way(&bed);
    }
}

#[test]
fn a_restore_that_is_cut_off_ends_when_it_is_run_again() {
    let bed = Bed::up();
    bed.infra(FILE);
    bed.apply(&[]);
    write(&bed, "one");
    bed.anklume(&["snap", "create", "--volumes", "--name", "s"]);
    let args = ["snap", "restore", "s", "--volumes", "--yes"];
    let calls = calls_of(&bed, &args);
    assert!(calls.len() >= 4 + 2 + 2, "dev with its volume, two more, and what is written before and after: {calls:?}");
    for at in 1..=calls.len() {
        write(&bed, "two");
        assert!(cut_off_at(&bed, &args, at), "killed at `{}`", calls[at - 1]);
        bed.anklume(&args);
        assert_eq!(statuses(&bed), ["Running"; 3], "as they were before the first one");
        assert_eq!(words(&bed), ["one"; 4]);
        assert_eq!(listed(&bed), ["mail s +0", "dev s +1", "web s +0"]);
        nothing_is_under_way(&bed);
    }
    bed.plan_is_empty();
}

/// A machine that has the host's programs and the socket of its Incus.
const CONTROL: &str = "
project_name: host
global: {default_os_image: images:alpine/3.20}
domains:
  control:
    ephemeral: true
    machines:
      ctl:
        storage_volumes: {data: {path: /data}}
        devices:
          @CONTROL@
";

#[test]
fn a_machine_takes_a_snapshot_of_itself_and_goes_back_to_it() {
    let bed = Bed::up();
    bed.infra(FILE);
    bed.try_anklume(&["snap", "create", "self"]).code(1).says(&["does not run in a machine that this Incus has"]);
    bed.infra(&with_control(&bed, CONTROL));
    bed.apply(&[]);
    push_to_control(&bed, "project_name: inner\nglobal: {}\ndomains: {}\n");
    let inside = |words: &str| in_control(&bed, words);
    inside("echo one > /root/word; sync").ok();
    inside("anklume snap create self --consistent").code(1).says(&["would freeze the machine that it runs in"]);
    inside("anklume snap create self --volumes --name before").ok().says(&["before\n"]);
    inside("anklume snap list self").ok().says(&["ctl      before", "default/ctl-data"]);
    inside("echo two > /root/word; sync").ok();
    let ends = ["anklume runs in ctl: this session ends with it", "`--yes` is not enough"];
    inside("anklume snap restore before self --yes").code(1).says(&ends);
    let by_hand = ["its volumes can only go back while it is stopped", "run it on the host"];
    inside("anklume snap restore before self --volumes --force").code(1).says(&by_hand);
    assert_eq!(inside("cat /root/word").ok().stdout, "two\n");
    let pid = bed.pid("control", "ctl");
    // Whatever becomes of the one who asked.
    let _ = inside("anklume snap restore before self --force");
    wait_for("the machine to be back", || {
        bed.machine("control", "ctl")["status"] == "Running"
            && bed.pid("control", "ctl") != pid
            && inside("true").code == 0
    });
    assert_eq!(inside("cat /root/word").ok().stdout, "one\n");
    inside("anklume snap delete before self --yes").ok();
    bed.plan_is_empty();
}
