//! Runs that are cut off, stopped by their user, refused because another one is at work, or fail in part.

use std::time::{Duration, Instant};

use crate::harness::{Bed, Running, edited, wait_for};

const BIG: &str = "
project_name: cut
global: {}
domains:
  a:
    ephemeral: true
    profiles: {small: {config: {limits.processes: 200}}}
    machines: {a1: {}, a2: {profiles: [default, small]}, a3: {state: frozen}}
  b:
    ephemeral: true
    machines: {b1: {storage_volumes: {data: {path: /data}}, config: {security.nesting: true}}, b2: {state: stopped}}
  c:
    ephemeral: true
    internet: false
    machines: {c1: {instance_ephemeral: true}}
network_policies:
  - {from: a1, to: b1, ports: [80], protocol: tcp}
";

const EMPTY: &str = "project_name: cut\nglobal: {}\ndomains: {}\n";

/// Cuts a run off after a while. The calls that it has under way go on.
fn cut_off(bed: &Bed, args: &[&str], after: Duration) {
    let run = bed.start_anklume(args);
    let _ = run.pid();
    // A moment of the run, whatever it does then: it was measured on a whole one.
    std::thread::sleep(after);
    // One that has ended by then is no failure: the run was quicker this time.
    run.signal_if_under_way("KILL");
    run.wait();
    machines_only_run_behind_the_table(bed);
}

/// What was under way may still get in the way of the next run, which then says to run it again.
fn cured(bed: &Bed, args: &[&str]) {
    let first = bed.try_anklume(args);
    if first.code != 0 {
        first.says(&["hint: run `anklume ", "` again: it does what is left"]);
        bed.anklume(args);
    }
}

fn machines_only_run_behind_the_table(bed: &Bed) {
    let up = bed.sh("incus list --all-projects -f csv -c nsL status=running | grep -v '^pet,' || :").ok().stdout;
    let table = bed.sh("nft list table inet anklume").code == 0;
    assert!(table || up.trim().is_empty(), "these run, and nothing keeps them apart:\n{up}");
}

fn is_whole(bed: &Bed) {
    bed.plan_is_empty();
    bed.wait_for_guests(&[("a", "a1", "10.120.0.1"), ("b", "b1", "10.120.1.1")]);
    bed.packets(true, &[("a/a1", "tcp 10.120.1.1:80")]);
    bed.packets(false, &[("a/a2", "tcp 10.120.1.1:80")]);
}

#[test]
fn a_run_that_is_cut_off_at_any_moment_is_cured_by_the_next_one() {
    let bed = Bed::up();
    bed.infra(BIG);
    let begin = Instant::now();
    bed.apply(&[]);
    let takes = begin.elapsed();
    is_whole(&bed);
    let begin = Instant::now();
    bed.anklume(&["destroy", "--yes"]);
    let destroying_takes = begin.elapsed();

    for part in 1..=8 {
        bed.infra(BIG);
        cut_off(&bed, &["apply", "--yes"], takes * part / 9);
        cured(&bed, &["apply", "--yes"]);
        is_whole(&bed);
        // On the way back too: by destroying, or by pruning what left the file.
        let back: &[&str] = if part % 2 == 0 { &["destroy", "--yes"] } else { &["apply", "--yes", "--prune"] };
        bed.infra(if part % 2 == 0 { BIG } else { EMPTY });
        cut_off(&bed, back, destroying_takes * part / 9);
        cured(&bed, back);
        // A volume outlives everything, and keeps its domain.
        bed.sh("incus storage volume delete default b1-data --project b").ok();
        bed.anklume(&["destroy", "--yes"]);
        let left = bed.everything();
        assert!(!left.contains("anklume.infra") && !left.contains("table inet anklume"), "left:\n{left}");
    }
}

#[test]
fn a_bridge_that_was_begun_and_never_finished_is_made_anew() {
    let bed = Bed::up();
    bed.infra(BIG);
    // An `incus` that dies once the bridge is on record, and before it is there.
    let dying = "#!/bin/sh
        [ \"$1 $2 $3\" = 'network create net-a' ] || exec /usr/bin/incus \"$@\"
        exec 3<&0
        /usr/bin/incus \"$@\" <&3 &
        until /usr/bin/incus query /1.0/networks/net-a >/dev/null 2>&1; do :; done
        kill -KILL $!; wait $!";
    bed.write("bin/incus", dying);
    bed.sh("chmod 755 bin/incus; PATH=$PWD/bin:$PATH $ANKLUME apply --yes").code(1).says(&["create network net-a"]);
    assert_eq!(bed.incus("/1.0/networks/net-a")["status"], "Pending");
    bed.anklume(&["plan", "--commands"]).says(&["incus network delete net-a", "incus network create net-a"]);
    bed.apply(&[]);
    assert_eq!(bed.incus("/1.0/networks/net-a")["status"], "Created");
    is_whole(&bed);
}

/// An `incus` that does not begin to make this machine before there is a file `go`.
fn hold_back(bed: &Bed, machine: &str) -> String {
    bed.write(
        "bin/incus",
        &format!(
            "#!/bin/sh
             case \"$1 $3\" in 'launch {machine}'|'create {machine}') touch held; while [ ! -e go ]; do sleep 0.02; done;; esac
             exec /usr/bin/incus \"$@\""
        ),
    );
    bed.sh("chmod 755 bin/incus; rm -f held go").ok();
    "PATH=$PWD/bin:$PATH; exec $ANKLUME".into()
}

fn wait_until_held<'a>(bed: &'a Bed, args: &str) -> Running<'a> {
    let run = bed.start(&format!("{} {args}", hold_back(bed, "a1")));
    wait_for("a machine that is about to be made", || bed.dir().join("held").exists());
    run
}

#[test]
fn a_second_writer_is_refused_and_told_who_is_at_work() {
    let bed = Bed::up();
    bed.infra(BIG);
    let run = wait_until_held(&bed, "apply --yes");
    let holder = format!("process {}", run.pid());
    for args in [&["apply", "--yes"][..], &["destroy", "--yes"], &["stop", "a"]] {
        let said =
            ["another anklume is at work: `anklume apply`", &holder, "wait until it is done, then run this again"];
        bed.try_anklume(args).code(1).says(&said);
    }
    // Who only looks is let in.
    bed.anklume(&["plan"]);
    bed.anklume(&["status"]);
    bed.write("go", "");
    run.wait().ok();
    is_whole(&bed);
}

#[test]
fn a_user_who_stops_a_run_waits_for_what_is_under_way_and_nothing_more_begins() {
    let bed = Bed::up();
    for signal in ["INT", "TERM"] {
        bed.infra(BIG);
        let mut run = wait_until_held(&bed, "apply --yes --parallel 1");
        run.signal(signal);
        run.signal(signal);
        std::thread::sleep(Duration::from_millis(300));
        assert!(run.is_under_way(), "it waits for the call that is under way");
        bed.write("go", "");
        let said =
            run.wait().code(1).says(&["stopping: 1 under way run to their end, nothing new begins", "not begun"]);
        let said = said.says_not(&["failed"]);
        said.says(&["create instance a1  ", "run `anklume apply` again: it does what is left"]);
        assert!(bed.has("/1.0/instances/a1?project=a") && !bed.has("/1.0/instances/a2?project=a"));
        bed.apply(&[]);
        is_whole(&bed);
        bed.anklume(&["destroy", "--yes"]);
    }
}

#[test]
fn a_failure_stops_only_what_needs_it() {
    let bed = Bed::up();
    let broken = edited(BIG, &[("a1: {}", "a1: {devices: {none: {type: disk, source: /no/such/place, path: /mnt}}}")]);
    bed.infra(&broken);
    let said = ["failed: create instance a1: ", "/no/such/place", "1 failed", "run `anklume apply` again"];
    bed.try_anklume(&["apply", "--yes"]).code(1).says(&said);
    assert_eq!(bed.machine("b", "b1")["status"], "Running");
    assert_eq!(bed.machine("a", "a3")["status"], "Frozen");
    bed.infra(BIG);
    bed.apply(&[]);
    is_whole(&bed);
    // One of two that should start.
    bed.sh("incus stop -f a1 --project a; incus stop -f b1 --project b").ok();
    let refusing = "#!/bin/sh\n[ \"$1 $2\" != 'start a1' ] || { echo 'Error: not today' >&2; exit 1; }\nexec /usr/bin/incus \"$@\"";
    bed.write("bin/incus", refusing);
    let tried = bed.sh("chmod 755 bin/incus; PATH=$PWD/bin:$PATH $ANKLUME apply --yes").code(1);
    tried.says(&["failed: start instance a1: not today", "not everything was done: 1 done, 1 failed"]);
    bed.turns(BIG, &[], &["start instance a1"]);
}
