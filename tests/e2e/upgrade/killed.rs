//! Runs that are cut off.

use std::time::{Duration, Instant};

use super::{ANEW, FILE, GOOD, GUESTS, filled, kept, left, made_from_the_first_image, newer, publish, serial, version};
use crate::harness::{Bed, edited};

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
