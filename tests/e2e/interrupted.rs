//! Runs that are cut off at any moment are cured by running again; one run at a time.

use std::time::{Duration, Instant};

use crate::harness::{Bed, wait_for};

const FILE: &str = r"
project_name: cut
global: {default_os_image: images:alpine/3.20}
domains:
  a:
    ephemeral: true
    profiles: {small: {config: {limits.processes: 100}}}
    machines: {a1: {profiles: [default, small]}, a2: {storage_volumes: {data: {path: /data}}}}
  b:
    ephemeral: true
    machines: {b1: {config: {security.nesting: true}}, b2: {state: frozen}}
network_policies:
  - {from: a, to: b1, ports: [80], protocol: tcp}
";

#[test]
fn an_apply_that_is_killed_at_any_moment_is_cured_by_another() {
    let bed = Bed::up();
    bed.infra(FILE);
    let begin = Instant::now();
    bed.apply(&[]);
    let whole = begin.elapsed();
    bed.plan_is_empty();
    for part in [1, 3, 4, 6, 7_u32] {
        bed.anklume(&["destroy", "--yes"]);
        let apply = bed.start_anklume(&["apply", "--yes"]);
        let _ = apply.pid();
        // Not a wait for anything: the moment to kill it at.
        std::thread::sleep(whole * part / 9);
        let killed = apply.signal_if_under_way("KILL");
        let output = apply.wait();
        assert!(!killed || output.code != 0, "{output}");
        cured(&bed, &[]);
        // The same for a run that takes things away.
        bed.infra(
            &FILE
                .replace(
                    "    machines: {b1: {config: {security.nesting: true}}, b2: {state: frozen}}",
                    "    machines: {}",
                )
                .replace("to: b1", "to: b"),
        );
        let prune = bed.start_anklume(&["apply", "--yes", "--prune"]);
        let _ = prune.pid();
        std::thread::sleep(Duration::from_millis(150 * u64::from(part)));
        prune.signal_if_under_way("KILL");
        prune.wait();
        cured(&bed, &["--prune"]);
        bed.infra(FILE);
    }
}

/// What the killed run had under way may still get in the way of the next one, which then says to run it again.
fn cured(bed: &Bed, more: &[&str]) {
    let again = || bed.try_anklume(&[&["apply", "--yes"], more].concat());
    let first = again();
    if first.code != 0 {
        let _ = first.says(&["run `anklume apply` again"]);
        let _ = again().ok();
    }
    bed.plan_is_empty();
}

#[test]
fn a_run_that_is_asked_to_stop_begins_nothing_new_and_only_one_runs_at_a_time() {
    let bed = Bed::up();
    bed.infra(FILE);
    // An `incus` that waits in the middle, so that there is a middle.
    bed.write(
        "bin/incus",
        "#!/bin/sh
         case \"$1 $2\" in 'network create') touch waiting; while [ ! -e go ]; do sleep 0.05; done;; esac
         exec /usr/bin/incus \"$@\"",
    );
    bed.sh("chmod 755 bin/incus").ok();
    let apply = bed.start("PATH=$PWD/bin:$PATH exec $ANKLUME apply --yes");
    wait_for("the middle of an apply", || bed.dir().join("waiting").exists());
    bed.try_anklume(&["apply", "--yes"]).code(1).says(&["another anklume is at work: `anklume apply`"]);
    apply.signal("INT");
    bed.write("go", "");
    let output = apply.wait().code(1);
    output.says(&["stopping:", "not begun", "run `anklume apply` again"]);
    assert!(!bed.has("/1.0/instances/a1?project=a"), "nothing new began");
    bed.apply(&[]);
    bed.plan_is_empty();
}
