//! What keeps domains apart, by real packets; `whole` has the policies of a larger file.

use crate::harness::{Bed, edited, wait_for};

/// Two domains whose machines may say whatever they like: the filters of their NICs are off, so that only the table
/// keeps IPv6 apart.
const OPEN_NICS: &str = "
project_name: walls
global: {}
x-open: &open
  devices: {eth0: {type: nic, security.mac_filtering: false, security.ipv4_filtering: false}}
domains:
  a: {machines: {a1: *open, a2: *open}}
  b: {machines: {b1: *open}}
network_policies:
  - {from: a1, to: b1, ports: [80, 7000], protocol: tcp}
";

const MACHINES: [(&str, &str, &str); 3] =
    [("a", "a1", "10.120.0.1"), ("a", "a2", "10.120.0.2"), ("b", "b1", "10.120.1.1")];

/// Incus switches IPv6 off on a bridge without an address of that family: here the host has given it some by hand.
fn give_ipv6_by_hand(bed: &Bed) {
    for (domain, bridge) in [("a", "net-a"), ("b", "net-b")] {
        bed.sh(&format!(
            "sysctl -qw net.ipv6.conf.all.forwarding=1 net.ipv6.conf.{bridge}.disable_ipv6=0
             ip -6 addr add fd00:{domain}::fe/64 dev {bridge} nodad"
        ))
        .ok();
    }
    for (domain, machine, number) in [("a", "a1", 1), ("a", "a2", 2), ("b", "b1", 1)] {
        let script = format!(
            "sysctl -w net.ipv6.conf.eth0.accept_dad=0
             ip -6 addr add fd00:{domain}::{number}/64 dev eth0 && ip -6 route add default via fd00:{domain}::fe"
        );
        bed.guest(domain, machine, &script).ok();
    }
    bed.sh("busybox httpd -p '[::]:9000' -h /run/bed/www").ok();
    bed.inet("ip -6 route add fd00:a::/64 via 2001:db8:1::1; ip -6 route add fd00:b::/64 via 2001:db8:1::1").ok();
}

#[test]
fn ipv6_is_walled_off_like_ipv4() {
    let bed = Bed::up();
    bed.infra(OPEN_NICS);
    bed.apply(&[]);
    bed.wait_for_guests(&MACHINES);
    give_ipv6_by_hand(&bed);
    let walled = [
        ("a/a1", "ping fd00:b::1"),
        ("a/a1", "tcp [fd00:b::1]:80"),
        ("b/b1", "tcp [fd00:a::1]:80"),
        ("a/a1", "ping fd00:b::fe"),
        ("a/a1", "tcp [fd00:a::fe]:9000"),
        ("a/a1", "tcp [fd00:b::fe]:9000"),
        ("a/a1", "tcp [2001:db8:1::1]:9000"),
        ("inet", "ping fd00:a::1"),
        ("inet", "tcp [fd00:b::1]:80"),
    ];
    let free = [
        ("a/a1", "ping fd00:a::2"),
        ("a/a1", "tcp [fd00:a::2]:80"),
        ("a/a1", "ping fd00:a::fe"),
        ("host", "ping fd00:b::1"),
        ("host", "tcp [fd00:a::1]:80"),
    ];
    bed.packets(true, &free);
    bed.packets(false, &walled);
    bed.sh("nft delete table inet anklume").ok();
    bed.packets(true, &walled);
    bed.apply(&[]);
    bed.packets(false, &walled);
    bed.packets(true, &free);
}

#[test]
fn a_policy_that_goes_cuts_what_it_had_allowed() {
    let bed = Bed::up();
    bed.infra(OPEN_NICS);
    bed.apply(&[]);
    bed.wait_for_guests(&MACHINES);
    bed.guest("b", "b1", "(sleep 600 | nc -l -p 7000 > /tmp/got) >/dev/null 2>&1 &").ok();
    let talk = "(while echo x; do sleep 0.05; done | nc 10.120.1.1 7000) >/dev/null 2>&1 &";
    bed.guest("a", "a1", talk).ok();
    let got = || bed.guest("b", "b1", "wc -c < /tmp/got").ok().stdout.trim().parse::<u64>().unwrap();
    wait_for("bytes of an open connection", || got() > 10);

    bed.infra(&edited(OPEN_NICS, &[("[80, 7000]", "[80]")]));
    assert_eq!(bed.plan(&[]).actions(), ["update firewall"]);
    bed.apply(&[]);
    let then = got();
    bed.packets(false, &[("a/a1", "tcp 10.120.1.1:7000")]);
    bed.packets(true, &[("a/a1", "tcp 10.120.1.1:80")]);
    assert_eq!(got(), then, "not one more byte");

    // It comes through again where the way is open again: it was the policy, not the end of the connection.
    bed.infra(OPEN_NICS);
    bed.apply(&[]);
    wait_for("bytes of the same connection", || got() > then);
    bed.plan_is_empty();
}

#[test]
fn machines_of_one_domain_reach_each_other_whatever_the_kernel_asks_of_bridges() {
    let bed = Bed::up();
    bed.infra(OPEN_NICS);
    bed.apply(&[]);
    bed.wait_for_guests(&MACHINES);
    for on in [1, 0] {
        bed.sh(&format!("sysctl -qw net.bridge.bridge-nf-call-iptables={on} net.bridge.bridge-nf-call-ip6tables={on}"))
            .ok();
        bed.packets(true, &[("a/a1", "ping 10.120.0.2"), ("a/a2", "tcp 10.120.0.1:80"), ("a/a1", "tcp 10.120.1.1:80")]);
        bed.packets(false, &[("a/a2", "tcp 10.120.1.1:80"), ("b/b1", "ping 10.120.0.1")]);
    }
}

/// The table stands before the first machine starts, and a table that cannot be loaded starts none.
#[test]
fn no_machine_starts_before_the_table_stands() {
    let bed = Bed::up();
    bed.infra(OPEN_NICS);
    // An `incus` that looks whether the table is there when a machine is to be launched or started.
    bed.write(
        "bin/incus",
        "#!/bin/sh
         case $1 in launch|start) nft list table inet anklume >/dev/null 2>&1 || echo \"$*\" >> early;; esac
         exec /usr/bin/incus \"$@\"",
    );
    bed.sh("chmod 755 bin/incus; PATH=$PWD/bin:$PATH $ANKLUME apply --yes").ok();
    assert!(!bed.dir().join("early").exists(), "started before the table stood");
    bed.plan_is_empty();
    // The machines stop and the table goes; the next apply loads it before it starts them.
    bed.sh("incus stop -f --project a --all; nft delete table inet anklume").ok();
    bed.sh("PATH=$PWD/bin:$PATH $ANKLUME apply --yes").ok();
    assert!(!bed.dir().join("early").exists(), "started before the table stood");
    bed.plan_is_empty();
    // A table that the kernel takes when asked and then refuses: nothing starts.
    bed.sh("incus stop -f --project a --all; nft delete table inet anklume").ok();
    bed.write(
        "bin/nft",
        "#!/bin/sh
         case \" $* \" in *' -c '*|*' list '*) exec /usr/sbin/nft \"$@\";; esac
         echo 'Error: no' >&2; exit 1",
    );
    let refused = bed.sh("chmod 755 bin/nft; PATH=$PWD/bin:$PATH $ANKLUME apply --yes").code(1);
    refused.says(&["failed: create firewall", "skipped: start instance a1, which needs: create firewall"]);
    assert_eq!(bed.machine("a", "a1")["status"], "Stopped");
    bed.apply(&[]);
    bed.plan_is_empty();
}
