//! What keeps the isolation standing: over a reboot, and whoever flushes the ruleset.

use std::time::{Duration, Instant};

use crate::harness::{Bed, Output, Plan, Running, edited, wait_for};

const FILE: &str = "
project_name: kept
global: {}
domains:
  a: {ephemeral: true, machines: {a1: {}}}
  b: {ephemeral: true, machines: {b1: {}, b2: {}}}
network_policies:
  - {from: a1, to: b1, ports: [80], protocol: tcp}
";

const MACHINES: [(&str, &str, &str); 3] =
    [("a", "a1", "10.120.0.1"), ("b", "b1", "10.120.1.1"), ("b", "b2", "10.120.1.2")];
const PASS: [(&str, &str); 3] =
    [("a/a1", "tcp 10.120.1.1:80"), ("b/b1", "tcp 10.120.1.2:80"), ("a/a1", "tcp 203.0.113.10:80")];
const WALLED: [(&str, &str); 4] = [
    ("a/a1", "tcp 10.120.1.2:80"),
    ("a/a1", "ping 10.120.1.1"),
    ("b/b1", "tcp 10.120.0.1:80"),
    ("b/b2", "ping 10.120.0.254"),
];

/// A bed that looks as if systemd had booted it. `systemctl` writes down what it was asked for, and makes the links that
/// the real one makes for our unit.
pub(crate) fn booted_by_systemd() -> Bed {
    let bed = Bed::bare(&[]).unwrap();
    bed.write(
        "bin/systemctl",
        "#!/bin/sh
         echo \"$*\" >> systemctl.log
         requires=/etc/systemd/system/incus.service.requires
         case $1 in
           reenable) mkdir -p $requires; ln -sf /etc/systemd/system/$2 $requires/$2;;
           disable) rm -f $requires/$2;;
         esac",
    );
    bed.sh("mkdir -p /run/systemd/system; chmod 755 bin/systemctl").ok();
    bed
}

/// Runs anklume with that `systemctl` before all others.
fn anklume(bed: &Bed, words: &str) -> Output {
    bed.sh(&format!("PATH=$PWD/bin:$PATH $ANKLUME {words}"))
}

#[track_caller]
fn plan_is_empty(bed: &Bed) {
    let _ = anklume(bed, "plan --detailed-exitcode").ok().says(&["Nothing to do"]);
}

fn planned(bed: &Bed) -> Vec<String> {
    Plan(anklume(bed, "plan --format json").ok().json()).actions()
}

/// Ends Incus with all machines, and takes away what no reboot leaves; `before_incus` is run before Incus starts again.
fn reboot(bed: &Bed, before_incus: &str) {
    bed.sh(&format!(
        "pid=$(cat /run/bed/incusd.pid)
         kill -PWR $pid
         while [ -d /proc/$pid ] && ! grep -q '^State:.Z' /proc/$pid/status; do sleep 0.02; done
         for bridge in net-a net-b; do ip link del $bridge 2>/dev/null || true; done
         nft flush ruleset
         {before_incus}
         /run/bed/start-incusd
         incus admin waitready --timeout 60"
    ))
    .ok();
    bed.wait_for_guests(&MACHINES);
}

#[test]
fn coverage_25_isolation_stands_after_a_reboot_before_the_first_apply() {
    let bed = booted_by_systemd();
    bed.infra(FILE);
    let shown = planned(&bed);
    for action in ["create firewall", "create file /etc/anklume/firewall.json", "create service anklume-firewall"] {
        assert!(shown.iter().any(|one| one == action), "{action} in {shown:#?}");
    }
    anklume(&bed, "apply --yes").ok();
    plan_is_empty(&bed);
    bed.sh("stat -c '%a %U' /etc/anklume/firewall.json; cat systemctl.log")
        .ok()
        .says(&["600 root", "daemon-reload\nreenable anklume-firewall.service"]);
    anklume(&bed, "status").ok().says(&["after a reboot: in force before Incus starts"]);
    bed.wait_for_guests(&MACHINES);

    // What the unit runs, and nothing else: anklume itself is not needed.
    let load = bed.sh("sed -n 's/^ExecStart=//p' /etc/systemd/system/anklume-firewall.service").ok().stdout;
    reboot(&bed, &load);
    bed.packets(false, &WALLED);
    bed.packets(true, &PASS);
    plan_is_empty(&bed);
    // It was the file that kept them apart.
    reboot(&bed, "");
    bed.packets(true, &WALLED);
    assert_eq!(planned(&bed), ["create firewall"]);
    anklume(&bed, "apply --yes").ok();
    bed.packets(false, &WALLED);

    what_is_kept_follows_the_file(&bed);
    what_is_kept_goes_with_the_last_domain(&bed);
}

fn what_is_kept_follows_the_file(bed: &Bed) {
    let kept = || bed.sh("cat /etc/anklume/firewall.json").ok().stdout;
    let first = kept();
    bed.infra(&edited(FILE, &[("[80]", "[80, 81]")]));
    assert_eq!(planned(bed), ["update firewall", "update file /etc/anklume/firewall.json"]);
    anklume(bed, "apply --yes").ok();
    plan_is_empty(bed);
    assert_ne!(kept(), first);
    bed.infra(FILE);
    anklume(bed, "apply --yes").ok();
    assert_eq!(kept(), first);

    bed.sh("echo '{}' > /etc/anklume/firewall.json; bin/systemctl disable anklume-firewall.service").ok();
    anklume(bed, "status").ok().says(&["after a reboot: not as now; `anklume apply` sees to it"]);
    assert_eq!(planned(bed), ["update file /etc/anklume/firewall.json", "update service anklume-firewall"]);
    anklume(bed, "apply --yes").ok();
    plan_is_empty(bed);
    assert_eq!(kept(), first);
}

fn what_is_kept_goes_with_the_last_domain(bed: &Bed) {
    anklume(bed, "destroy a --yes").ok().says(&["file /etc/anklume/firewall.json"]);
    let kept = bed.sh("cat /etc/anklume/firewall.json").ok().says(&["net-b"]);
    let _ = kept.says_not(&["net-a"]);
    anklume(bed, "destroy --yes").ok().says(&["service anklume-firewall"]);
    bed.sh("ls /etc/anklume /etc/systemd/system /etc/systemd/system/incus.service.requires; tail -n 2 systemctl.log")
        .ok()
        .says(&["disable anklume-firewall.service\ndaemon-reload"])
        .says_not(&["firewall.json", "anklume-firewall.service\n/etc"]);
    bed.sh("test ! -e /etc/systemd/system/anklume-firewall.service; ! nft list table inet anklume 2>/dev/null").ok();
}

#[test]
fn a_host_that_cannot_keep_the_table_is_told_so() {
    let bed = Bed::up();
    bed.infra(FILE);
    let told = ["after a reboot", "GONE until `anklume apply`: this host boots with neither systemd nor OpenRC"];
    bed.apply(&[]).says(&told);
    bed.plan_is_empty();
    bed.anklume(&["status"]).says(&told);
    assert_eq!(bed.anklume(&["status", "--format", "json"]).json()["firewall"]["after_reboot"], "gone");
    bed.sh("test ! -e /etc/anklume/firewall.json").ok();

    // With a boot script of one's own, the file is kept up to date from then on.
    bed.anklume(&["firewall", "export", "/etc/anklume/firewall.json"])
        .says(&["firewall.json has the table; `nft -j -f`"]);
    bed.plan_is_empty();
    bed.anklume(&["status"]).says(&["after a reboot: up to this host's own boot scripts"]);
    bed.infra(&edited(FILE, &[("[80]", "[80, 81]")]));
    assert_eq!(bed.plan(&[]).actions(), ["update firewall", "update file /etc/anklume/firewall.json"]);
    bed.apply(&[]);
    bed.sh("nft delete table inet anklume; nft -j -f /etc/anklume/firewall.json").ok();
    bed.plan_is_empty();
}

/// `anklume firewall watch`, and what it says.
struct Watch<'a> {
    bed: &'a Bed,
    running: Running<'a>,
}

impl<'a> Watch<'a> {
    fn begin(bed: &'a Bed) -> Self {
        bed.sh("rm -f watch.log").ok();
        let running = bed.start_anklume(&["firewall", "watch", "2>", "watch.log"]);
        let watch = Self { bed, running };
        wait_for("the watch to begin", || watch.said().contains("watching the table"));
        watch
    }

    fn said(&self) -> String {
        std::fs::read_to_string(self.bed.dir().join("watch.log")).unwrap_or_default()
    }

    fn restorations(&self) -> usize {
        self.said().matches("restored").count()
    }

    /// It ends well when it is told to, and leaves nothing running.
    fn end(self) {
        self.running.signal("TERM");
        let bed = self.bed;
        let said = bed.dir().join("watch.log");
        self.running.wait().ok();
        assert!(std::fs::read_to_string(said).unwrap().ends_with("the table is watched no longer\n"));
        wait_for("its monitor to end", || bed.sh("pidof nft").code == 1);
    }
}

/// Does something to the table, and measures until it stands again as it was.
fn takes_to_restore(bed: &Bed, deed: &str) -> u128 {
    let output = bed.sh(&format!(
        "before=$(nft -s list table inet anklume); {deed}; begin=$(date +%s%N)
         until [ \"$(nft -s list table inet anklume 2>/dev/null)\" = \"$before\" ]; do
           [ $(($(date +%s%N) - begin)) -lt 5000000000 ] || exit 1
         done
         echo $((($(date +%s%N) - begin) / 1000000))"
    ));
    output.ok().stdout.trim().parse().unwrap()
}

/// The most milliseconds that packets can cross for, which is stated in the README.
const WINDOW: u128 = 1000;

#[test]
fn a_watched_table_comes_back_by_itself_within_a_second() {
    let bed = booted_by_systemd();
    bed.infra(FILE);
    anklume(&bed, "apply --yes").ok();
    bed.wait_for_guests(&MACHINES);
    let watch = Watch::begin(&bed);
    for (deed, word) in [
        ("nft delete table inet anklume", "taken away"),
        ("nft flush ruleset", "taken away"),
        ("nft insert rule inet anklume forward accept", "was changed"),
        ("nft flush chain inet anklume inward", "was changed"),
        ("nft delete element inet anklume bridges '{ \"net-b\" }'", "was changed"),
    ] {
        let before = watch.restorations();
        let took = takes_to_restore(&bed, deed);
        assert!(took < WINDOW, "{deed}: {took} ms");
        wait_for("it to say so", || watch.restorations() == before + 1);
        let said = watch.said();
        let last = said.lines().last().unwrap();
        assert!(last.contains(word) && last.contains(" by process ") && last.contains("(nft)"), "{deed}: {last}");
    }
    packets_cross_no_longer_than_that(&bed);
    watch.end();
    pings_cross_unwatched(&bed);
    let watch = Watch::begin(&bed);
    an_apply_is_not_undone(&bed, &watch);
    watch.end();
    the_watch_is_a_service_where_that_is_asked_for(&bed);
}

/// The answers that machine `a1` had to its pings of `b2`, which the table drops.
fn answers(bed: &Bed) -> u128 {
    bed.guest("a", "a1", "grep -c 'bytes from' /tmp/pings").stdout.trim().parse().unwrap()
}

/// A hundred pings a second, while the table is taken away again and again.
fn packets_cross_no_longer_than_that(bed: &Bed) {
    bed.guest("a", "a1", "(ping -i 0.01 10.120.1.2 > /tmp/pings; true) >/dev/null 2>&1 &").ok();
    wait_for("the pings to begin", || bed.guest("a", "a1", "pidof ping").code == 0);
    for _ in 0..5 {
        let before = answers(bed);
        takes_to_restore(bed, "nft delete table inet anklume");
        let crossed = answers(bed) - before;
        assert!(crossed * 10 < WINDOW, "{crossed} pings of 10 ms crossed");
    }
}

/// Nothing but the table stopped them.
fn pings_cross_unwatched(bed: &Bed) {
    let before = answers(bed);
    bed.sh("nft delete table inet anklume").ok();
    wait_for("pings to cross", || answers(bed) > before + WINDOW / 10);
    bed.guest("a", "a1", "kill $(pidof ping)").ok();
    anklume(bed, "apply --yes").ok();
}

fn an_apply_is_not_undone(bed: &Bed, watch: &Watch<'_>) {
    let before = watch.restorations();
    for ports in ["[80, 81]", "[80]"] {
        bed.infra(&edited(FILE, &[("[80]", ports)]));
        anklume(bed, "apply --yes").ok();
        plan_is_empty(bed);
    }
    anklume(bed, "destroy a --yes").ok();
    anklume(bed, "destroy --yes").ok();
    // It would come back at once.
    let begin = Instant::now();
    while begin.elapsed() < Duration::from_millis(500) {
        bed.sh("! nft list table inet anklume 2>/dev/null").ok();
    }
    assert_eq!(watch.restorations(), before, "{}", watch.said());
}

fn the_watch_is_a_service_where_that_is_asked_for(bed: &Bed) {
    let unit = "/etc/systemd/system/anklume-firewall-watch.service";
    anklume(bed, "apply --yes").ok();
    bed.sh(&format!("test ! -e {unit}")).ok();
    anklume(bed, "firewall watch --install").ok().says(&["anklume-firewall-watch runs, now and from each boot on"]);
    bed.sh(&format!("cat {unit}; tail -n 2 systemctl.log")).ok().says(&[
        "/anklume\" firewall watch\n",
        "reenable anklume-firewall-watch.service\nrestart anklume-firewall-watch.service",
    ]);
    plan_is_empty(bed);
    anklume(bed, "firewall watch --remove").ok();
    bed.sh(&format!("test ! -e {unit}")).ok();
    anklume(bed, "firewall watch --install").ok();
    anklume(bed, "destroy --yes").ok().says(&["service anklume-firewall-watch"]);
    bed.sh(&format!("test ! -e {unit}; grep -x 'disable --now anklume-firewall-watch.service' systemctl.log")).ok();
}
