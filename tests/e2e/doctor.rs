//! `anklume doctor`: a healthy host has no failure, each fault is found, and `--fix` mends it.

use crate::harness::{Bed, Output};

const FILE: &str = "
project_name: doctor
global: {default_os_image: images:alpine/3.20}
domains:
  pro: {ephemeral: true, subnet_id: 0, machines: {pro-dev: {}}}
  lab: {ephemeral: true, subnet_id: 1, machines: {lab-1: {}}}
network_policies:
  - {from: pro-dev, to: lab-1, ports: [80], protocol: tcp}
";

const OUTSIDE: (&str, &str) = ("pro/pro-dev", "tcp 203.0.113.10:80");
const POLICY: (&str, &str) = ("pro/pro-dev", "tcp 10.120.1.1:80");
const WALLED: (&str, &str) = ("lab/lab-1", "tcp 10.120.0.1:80");

/// As Docker makes it.
const DOCKER: &str = "nft 'table ip filter {
    chain DOCKER-USER { return; }
    chain FORWARD { type filter hook forward priority filter; policy drop; jump DOCKER-USER; oifname docker0 accept; }
}'";

/// What stands for systemd: it starts Incus, and knows no clock.
const SYSTEMCTL: &str = "#!/bin/sh
echo \"$*\" >> systemctl.log
requires=/etc/systemd/system/incus.service.requires
case \"$*\" in
  'enable --now incus.service') /run/bed/start-incusd; exec incus admin waitready --timeout 60;;
  reenable*) mkdir -p $requires; ln -sf /etc/systemd/system/$2 $requires/$2;;
esac";

/// Until it has ended: on its way out it still answers, with errors.
const STOP: &str = "pid=$(cat /run/bed/incusd.pid); kill -TERM $pid
    while [ -e /proc/$pid ] && ! grep -q '^State:.*Z' /proc/$pid/status; do sleep 0.05; done";

fn doctor(bed: &Bed, more: &str) -> Output {
    bed.sh(&format!("PATH=$PWD/bin:$PATH $ANKLUME doctor {more}"))
}

/// Brings something about; it is found, mended, and found no longer.
fn ails(bed: &Bed, deed: &str, found: &str) {
    bed.sh(deed).ok();
    doctor(bed, "").code(1).says(&["failure:", found]);
    doctor(bed, "--fix --yes").ok().says(&["what mends it, and is safe to run", "done: "]);
    doctor(bed, "").ok().says_not(&["failure:", found]);
    bed.packets(true, &[OUTSIDE, POLICY]);
    bed.packets(false, &[WALLED]);
    bed.sh("PATH=$PWD/bin:$PATH $ANKLUME plan --detailed-exitcode").ok();
}

#[test]
fn what_the_doctor_finds_on_this_host_is_mended_and_a_healthy_one_has_nothing() {
    let bed = Bed::bare(&["--pool", "none"]).unwrap();
    bed.write("bin/systemctl", SYSTEMCTL);
    bed.write("bin/timedatectl", "#!/bin/sh\necho yes\n");
    bed.sh("mkdir -p /run/systemd/system; chmod 755 bin/*").ok();
    // Without a file, and before Incus was ever used.
    let said = [
        "failure: Incus has no storage pool",
        "anklume bootstrap --yes",
        "ok the clock is synchronised",
        "left out: table, boot",
    ];
    doctor(&bed, "").code(1).says(&said);
    doctor(&bed, "--fix").code(1).says(&["no terminal to ask on"]);
    assert!(!bed.has("/1.0/storage-pools/default"));
    doctor(&bed, "--fix --yes").ok().says(&["done: anklume bootstrap --yes", "ok storage pool default (dir)"]);

    bed.infra(FILE);
    doctor(&bed, "").ok().says(&["ok the file fits this host"]).says_not(&["failure:", "GONE"]);
    bed.sh("PATH=$PWD/bin:$PATH $ANKLUME apply --yes").ok();
    bed.wait_for_guests(&[("pro", "pro-dev", "10.120.0.1"), ("lab", "lab-1", "10.120.1.1")]);
    let well = [
        "ok Incus answers",
        "ok the table is in force",
        "ok after a reboot",
        "ok the kernel forwards packets",
        "ok nothing was left",
    ];
    doctor(&bed, "").ok().says(&well).says_not(&["failure:"]);
    bed.packets(true, &[OUTSIDE, POLICY]);

    ails(&bed, "sysctl -qw net.ipv4.ip_forward=0", "net.ipv4.ip_forward is 0");
    ails(&bed, "nft delete table inet anklume", "the table is GONE");
    ails(&bed, DOCKER, "`ip filter FORWARD` (Docker) drops");
    ails(&bed, STOP, "its daemon does not run");
    ails(&bed, &format!("nft delete table inet anklume; {STOP}"), "its daemon does not run");

    let found = |script: &str, code: i32, says: &[&str]| {
        bed.sh(script).ok();
        doctor(&bed, "").code(code).says(says);
    };
    found(
        "ip link add vethdeadbeef type veth peer name other0; ip link set vethdeadbeef master net-pro",
        0,
        &["vethdeadbeef in net-pro is of no machine", "ip link delete vethdeadbeef"],
    );
    found("ip link delete vethdeadbeef", 0, &["ok nothing was left"]);
    found("cp /etc/subuid kept; echo me:1:1 > /etc/subuid", 1, &["root has 0 ids", "usermod --add-subuids"]);
    found(
        "cp kept /etc/subuid; ip link add vpn0 type veth peer name vpn1; ip addr add 10.120.0.9/24 dev vpn0",
        1,
        &["failure: `pro` takes", "`vpn0`"],
    );
    found(
        "ip link delete vpn0; sed -i s/machines:/machine:/ infra.yml",
        1,
        &["failure: the file has", "anklume check"],
    );
    bed.infra(FILE);
    let json = doctor(&bed, "--format json").ok().json();
    let lines = json["lines"].as_array().unwrap();
    assert!(lines.iter().any(|line| line["check"] == "table" && line["level"] == "ok"), "{json:#}");
}
