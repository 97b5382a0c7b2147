//! The packages in guests.

use super::{FILE, GOOD, GUESTS, filled, left, publish, puts_program, version};
use crate::harness::{Bed, edited};

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

const MANAGERS: &str = "
project_name: up
global: {default_os_image: images:alpine/3.20}
domains:
  pro:
    machines: {fedora: {}, suse: {}, rolling: {}, arch: {}, alpine: {}}
";

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
    // A run that was cut off had found the new one sound: that it has failed since is its doing.
    let name = bed.sh("date -u +pre-upgrade-%Y%m%d-%H%M%S").ok().stdout.trim().to_owned();
    bed.sh(&format!("incus snapshot create alpine {name} --project pro </dev/null")).ok();
    let begun = format!("echo upgrade >> /root/calls; printf '%s\\n' {name} old.service > /run/anklume-upgrade.before");
    bed.guest("pro", "alpine", &begun).ok();
    let run = bed.try_anklume(&["upgrade", "guests", "alpine", "--wait", "1", "--yes"]).code(1);
    run.says(&["failed: alpine: failed units: new.service; it was put back"]);
    assert_eq!(left(&bed).iter().filter(|name| name.contains("pre-upgrade")).count(), 0);

    bed.guest("pro", "alpine", "touch /run/reboot-required").ok();
    puts_program(&bed, "alpine", "systemctl", "");
    bed.anklume(&["upgrade", "guests", "alpine", "--yes"]).says(&["`anklume restart alpine`"]);
}
