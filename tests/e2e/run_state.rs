//! Row 27: machines are started, stopped, restarted, paused and resumed, by machine, by domain or all; and entered.

use crate::harness::{Bed, wait_for};

const TWO: &str = r"
project_name: rs
global: {default_os_image: images:alpine/3.20}
domains:
  a:
    ephemeral: true
    machines: {a1: {}, a2: {}, idle: {state: stopped}}
  b:
    ephemeral: true
    machines: {b1: {}}
";

fn states(bed: &Bed) -> String {
    let status = bed.anklume(&["status", "--format", "json"]).json();
    let machines =
        status["domains"].as_array().unwrap().iter().flat_map(|domain| domain["machines"].as_array().unwrap());
    let each = machines.map(|one| format!("{}={}", one["name"].as_str().unwrap(), one["state"].as_str().unwrap()));
    each.collect::<Vec<_>>().join(" ")
}

#[test]
fn coverage_27_machines_start_stop_restart_pause_and_resume_by_machine_domain_or_all() {
    let bed = Bed::up();
    bed.infra(TWO);
    bed.apply(&[]);
    assert_eq!(states(&bed), "a1=Running a2=Running idle=Stopped b1=Running");

    bed.anklume(&["stop", "a"]).says(&["2 stopped.", "The next `anklume apply` starts again"]);
    assert_eq!(states(&bed), "a1=Stopped a2=Stopped idle=Stopped b1=Running");
    assert_eq!(bed.plan(&[]).actions(), ["start instance a1", "start instance a2"]);
    bed.anklume(&["stop", "a1"]).says(&["a1 is stopped already", "0 stopped."]);
    bed.anklume(&["start"]).says(&["2 started."]);
    assert_eq!(states(&bed), "a1=Running a2=Running idle=Stopped b1=Running", "what the file wants off stays off");
    bed.plan_is_empty();

    bed.anklume(&["pause", "a1", "b"]);
    assert_eq!(states(&bed), "a1=Frozen a2=Running idle=Stopped b1=Frozen");
    bed.plan_is_empty();
    bed.try_anklume(&["exec", "a1", "--", "true"]).code(1).says(&["a1 is paused", "`anklume resume a1`"]);
    bed.anklume(&["resume"]).says(&["2 resumed."]);

    let before = (bed.pid("a", "a1"), bed.pid("b", "b1"));
    bed.anklume(&["restart", "a1"]).says(&["1 restarted."]);
    assert_ne!(bed.pid("a", "a1"), before.0);
    assert_eq!(bed.pid("b", "b1"), before.1);
    bed.anklume(&["restart", "--force", "b"]);
    assert_ne!(bed.pid("b", "b1"), before.1);

    bed.try_anklume(&["stop", "b1", "nobody"]).code(1).says(&["called `nobody`, so nothing was done"]);
    bed.try_anklume(&["pause", "idle"]).code(1).says(&["idle cannot be paused: it is stopped"]);
    bed.plan_is_empty();
    nothing_starts_without_the_table(&bed);
}

fn nothing_starts_without_the_table(bed: &Bed) {
    bed.anklume(&["stop", "b1"]);
    bed.sh("nft delete table inet anklume").ok();
    bed.try_anklume(&["start", "b1"]).code(1).says(&["nothing was started", "`anklume apply` loads it"]);
    assert_eq!(bed.machine("b", "b1")["status"], "Stopped");
    bed.apply(&[]);
    bed.plan_is_empty();
}

#[test]
fn a_machine_is_entered_by_its_name_alone() {
    let bed = Bed::up();
    bed.infra(TWO);
    bed.apply(&[]);
    bed.try_anklume(&["exec", "a1", "--", "sh", "-c", "echo to-out; echo to-err >&2; exit 7"])
        .code(7)
        .says(&["to-out", "to-err"]);
    let said =
        bed.anklume(&["exec", "b1", "--cwd", "/etc", "--env", "X=y", "--", "sh", "-c", "pwd; echo $X; hostname"]);
    assert_eq!(said.stdout, "/etc\ny\nb1\n");
    bed.sh("echo 'whoami; hostname' | $ANKLUME shell a2").ok().says(&["root", "a2"]);
    bed.guest("a", "a1", "echo written-on-the-console > /dev/console").ok();
    bed.anklume(&["logs", "a1"]).says(&["written-on-the-console"]);
    bed.anklume(&["logs", "a1", "--incus"]).says(&["Name: a1"]);

    bed.try_anklume(&["exec", "a3", "--", "true"]).code(1).says(&["called `a3`", "did you mean `a"]);
    bed.try_anklume(&["shell", "idle"]).code(1).says(&["idle does not run", "`anklume start idle`"]);
    bed.infra(&TWO.replace("b1: {}", "b1: {}, b2: {}"));
    bed.try_anklume(&["exec", "b2", "--", "true"]).code(1).says(&["not made yet", "`anklume apply`"]);
}

const HEALTH: &str = "
project_name: health
global: {default_os_image: images:alpine/3.20}
domains:
  a:
    ephemeral: true
    machines:
      good: {health: test -e /etc/rc}
      bad: {health: 'echo broken >&2; exit 3'}
      slow: {health: exec sleep 100}
      off: {health: 'true', state: stopped}
      silent: {}
";

#[test]
fn status_tells_which_running_machines_are_healthy_and_waits_for_none_of_them_for_long() {
    let bed = Bed::up();
    bed.infra(HEALTH);
    bed.apply(&[]);
    let begin = std::time::Instant::now();
    let status = bed.anklume(&["status", "--format", "json"]).json();
    // The slow one has 10 seconds, and all are asked at once.
    assert!(begin.elapsed() < std::time::Duration::from_secs(20), "{:?}", begin.elapsed());
    let machines = status["domains"][0]["machines"].as_array().unwrap();
    let told = machines.iter().map(|one| format!("{}: {}", one["name"].as_str().unwrap(), one["health"]));
    let bad = r#"bad: {"state":"unhealthy","why":"its `health` command ended with 3 (broken)"}"#;
    let slow = r#"slow: {"state":"unhealthy","why":"its `health` command did not end within 10 s"}"#;
    let expected = [r#"good: {"state":"healthy"}"#, bad, slow, "off: null", "silent: null"];
    assert_eq!(told.collect::<Vec<_>>(), expected);
    wait_for("the slow command to be killed", || bed.guest("a", "slow", "ps | grep '[s]leep 100'").code == 1);
    bed.infra(&HEALTH.replace("exec sleep 100", "'true'"));
    let text = ["as in the file, UNHEALTHY: its `health` command ended with 3 (broken)", "as in the file, healthy"];
    bed.anklume(&["status"]).says(&text);
}
