//! `anklume firewall doctor`: what it finds is so, and what it says to type mends it, by real packets.

use serde_json::Value;

use crate::harness::Bed;

const FILE: &str = "
project_name: doctor
global: {}
domains:
  pro: {machines: {pro-dev: {}, pro-web: {}}}
  lab: {machines: {lab-1: {}}}
network_policies:
  - {from: pro-dev, to: lab-1, ports: [80], protocol: tcp}
  - {from: pro-web, to: host, ports: [9000], protocol: tcp}
";

const MACHINES: [(&str, &str, &str); 3] =
    [("pro", "pro-dev", "10.120.1.1"), ("pro", "pro-web", "10.120.1.2"), ("lab", "lab-1", "10.120.0.1")];

const OUTSIDE: (&str, &str) = ("pro/pro-web", "tcp 203.0.113.10:80");
const BY_NAME: (&str, &str) = ("pro/pro-web", "tcp example.test:80");
const POLICY: (&str, &str) = ("pro/pro-dev", "tcp 10.120.0.1:80");
const WITHIN: (&str, &str) = ("pro/pro-dev", "tcp 10.120.1.2:80");
const TO_HOST: (&str, &str) = ("pro/pro-web", "tcp 10.120.1.254:9000");
const FROM_HOST: (&str, &str) = ("host", "tcp 10.120.1.1:80");
const ALL: [(&str, &str); 6] = [OUTSIDE, BY_NAME, POLICY, WITHIN, TO_HOST, FROM_HOST];

/// What no finding's mending may open.
const WALLED: [(&str, &str); 3] =
    [("lab/lab-1", "tcp 10.120.1.1:80"), ("pro/pro-dev", "ping 10.120.0.1"), ("pro/pro-dev", "tcp 10.120.1.254:9000")];

/// As Docker makes it.
const DOCKER: &str = "nft 'table ip filter {
    chain DOCKER-USER { return; }
    chain FORWARD { type filter hook forward priority filter; policy drop; jump DOCKER-USER; oifname docker0 accept; }
}'";

const STRICT: &str = "nft 'table inet strict {
    chain in { type filter hook input priority 10; policy drop; iifname lo accept; ct state established,related accept; }
}'";

/// A VPN that has all packets first.
const VPN: &str = "ip link add wg0 type veth peer name wg1; ip addr add 192.0.2.1/24 dev wg0
    ip link set wg0 up; ip link set wg1 up
    ip route add default dev wg0 table 100; ip rule add from all lookup 100 priority 50";

#[test]
fn what_the_doctor_finds_is_so_and_what_it_says_mends_it() {
    let bed = Bed::up();
    bed.infra(FILE);
    bed.apply(&[]).says_not(&["failure:"]);
    bed.wait_for_guests(&MACHINES);
    bed.sh("busybox httpd -p 9000 -h /run/bed/www; sysctl -qw net.bridge.bridge-nf-call-iptables=1").ok();
    bed.packets(true, &ALL);
    bed.anklume(&["firewall", "doctor"]).says(&["ok the kernel forwards packets", "ok no filter of others"]);

    ails(&bed, DOCKER, &[OUTSIDE, BY_NAME, POLICY, WITHIN], &["`ip filter FORWARD` (Docker) drops", "DOCKER-USER"]);
    bed.sh("nft delete table ip filter; sysctl -qw net.bridge.bridge-nf-call-iptables=0").ok();
    // Without br_netfilter nothing is filtered within a bridge, and that is not told then.
    bed.sh(DOCKER).ok();
    bed.packets(true, &[WITHIN]);
    bed.try_anklume(&["firewall", "doctor"]).code(1).says_not(&["of one domain"]);
    bed.sh("nft delete table ip filter").ok();

    ails(&bed, STRICT, &[BY_NAME, TO_HOST], &["`inet strict in` drops DHCP and DNS: lab, pro", "pro-web -> host"]);
    bed.sh("nft delete table inet strict").ok();
    ails(&bed, "sysctl -qw net.ipv4.ip_forward=0", &[OUTSIDE, POLICY], &["net.ipv4.ip_forward is 0"]);
    ails(&bed, VPN, &[FROM_HOST, POLICY], &["packets for pro (10.120.1.0/24) leave by `wg0`, not by `net-pro`"]);
}

/// Brings something about; the doctor finds it, packets show it, what it says mends it.
fn ails(bed: &Bed, deed: &str, dropped: &[(&str, &str)], told: &[&str]) {
    bed.sh(deed).ok();
    bed.packets(false, dropped);
    bed.try_anklume(&["firewall", "doctor"]).code(1).says(told).says(&["failure:"]);
    // An apply tells it too, and is none the worse for it.
    bed.apply(&[]).says(told);
    let found = bed.try_anklume(&["firewall", "doctor", "--format", "json"]).code(1).json();
    let commands = |finding: &Value| finding["mend"].as_array().unwrap().clone();
    for command in found["findings"].as_array().unwrap().iter().flat_map(commands) {
        bed.sh(command.as_str().unwrap()).ok();
    }
    bed.anklume(&["firewall", "doctor"]).says_not(&["failure:"]);
    bed.packets(true, dropped);
    bed.packets(false, &WALLED);
    bed.plan_is_empty();
}
