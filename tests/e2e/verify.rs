//! `firewall verify`: its packets find what is open that should be closed, and what is closed that should be open.

use serde_json::Value;

use crate::harness::{Bed, Output};

const THREE: &str = r#"
project_name: verify
global: {}
domains:
  a: {machines: {a1: {}, a2: {}}}
  b: {machines: {b1: {}, b2: {}, b-off: {state: stopped}}}
  c: {internet: false, machines: {c1: {}}}
network_policies:
  - {description: The shop, from: a1, to: b1, ports: [80, "7000-7010"], protocol: tcp}
  - {from: c, to: a}
  - {from: b2, to: host, ports: [22], protocol: tcp}
"#;

const MACHINES: [(&str, &str, &str); 5] = [
    ("a", "a1", "10.120.0.1"),
    ("a", "a2", "10.120.0.2"),
    ("b", "b1", "10.120.1.1"),
    ("b", "b2", "10.120.1.2"),
    ("c", "c1", "10.120.2.1"),
];

fn verify(bed: &Bed) -> Output {
    bed.try_anklume(&["firewall", "verify"])
}

/// What is said of a pair, such as `closed`.
fn state(report: &Value, from: &str, to: &str) -> String {
    let cells = report["matrix"].as_array().unwrap();
    let cell = cells.iter().find(|cell| cell["from"] == from && cell["to"] == to);
    cell.unwrap_or_else(|| panic!("{from} -> {to} in {report:#}"))["state"].as_str().unwrap().to_owned()
}

#[test]
fn verify_finds_by_packets_what_is_not_as_the_policies_say() {
    let bed = Bed::up();
    bed.infra(THREE);
    bed.apply(&[]);
    bed.wait_for_guests(&MACHINES);
    // Not one program is left in this machine: nothing of it is needed.
    bed.guest("b", "b1", "rm -rf /bin /sbin /usr").ok();
    assert_ne!(bed.guest("b", "b1", "true").code, 0, "nothing can be run in there");

    // Nor need its processes run: a frozen machine still has a network.
    bed.sh("incus pause c1 --project c").ok();

    all_is_well(&bed);
    a_table_opened_by_hand(&bed);
    a_table_closed_by_hand(&bed);
    what_others_drop(&bed);
    a_table_that_is_gone(&bed);
}

fn all_is_well(bed: &Bed) {
    let good = verify(bed).ok();
    good.says(&[
        "table: in force, as the file says",
        "outside is 198.51.100.2",
        "b-off of b: it is stopped",
        "Every packet went as the policies say.",
    ])
    .says_not(&["LEAK", "SHUT"]);
    let report = bed.anklume(&["firewall", "verify", "--all", "--format", "json"]).json();
    assert_eq!((&report["good"], &report["table"]["state"]), (&true.into(), &"in force".into()));
    let expected = [
        ("a", "a", "open"),
        ("a", "b", "in part"),
        ("b", "a", "closed"),
        ("c", "a", "open"),
        ("c", "b", "closed"),
        ("a", "own gateway", "in part"),
        ("a", "other gateways", "closed"),
        ("a", "host", "closed"),
        // The policy to the host is tried at the gateway.
        ("b", "host", "closed"),
        ("a", "outside", "open"),
        ("c", "outside", "closed"),
        ("host", "b", "open"),
    ];
    for (from, to, wanted) in expected {
        let found = state(&report, from, to);
        assert_eq!(found, wanted, "{from} -> {to}");
    }
    let probes = report["probes"].as_array().unwrap();
    let of_pair = |from: &str, to: &str, packet: &str| {
        let found = probes.iter().find(|probe| probe["from"] == from && probe["to"] == to && probe["packet"] == packet);
        found.unwrap_or_else(|| panic!("{from} -> {to} {packet} in {report:#}")).clone()
    };
    // The machine without programs: its kernel answers, and refuses what nobody listens to.
    assert_eq!(of_pair("a1", "b1", "7010/tcp")["seen"], "passed, and was answered");
    assert_eq!(of_pair("a1", "b1", "7011/tcp")["seen"], "was dropped");
    assert_eq!(of_pair("a2", "b1", "80/tcp")["seen"], "was dropped");
    assert_eq!(of_pair("b1", "a1", "80/tcp")["seen"], "was dropped");
    assert_eq!(of_pair("c1", "a1", "ping")["seen"], "passed, and was answered");
}

/// A rule taken out, a chain emptied.
fn a_table_opened_by_hand(bed: &Bed) {
    let take_out = "handle=$(nft -a list chain inet anklume forward | sed -n '/\"between domains\"/s/.* handle //p')
                    nft delete rule inet anklume forward handle $handle";
    bed.sh(take_out).ok();
    verify(bed).code(1).says(&[
        "table: not as the file says",
        // One way only: the rule of the answers still stands, and a datagram needs none.
        "LEAK  a2 -> b1 (10.120.1.1) ping, 9/tcp, 80/tcp, 9/udp passed, and its answer did not come back; to be dropped",
    ]);
    bed.apply(&[]);
    bed.sh("nft flush chain inet anklume input").ok();
    let said = verify(bed).code(1);
    said.says(&["LEAK  a1 -> gateway of b (10.120.1.254) ping", "LEAK  a1 -> host on up0 (198.51.100.1) ping"])
        .says_not(&["-> b2"]);
    bed.apply(&[]);
    verify(bed).ok();
}

/// The rules of a policy taken out, and those of its answers only.
fn a_table_closed_by_hand(bed: &Bed) {
    let chain = "from/net-a/to/net-b";
    let without = |what: &str| {
        format!(
            "nft -a list chain inet anklume {chain} | sed -n '/{what}/s/.* handle //p' |
             while read handle; do nft delete rule inet anklume {chain} handle $handle; done"
        )
    };
    bed.sh(&without("The shop\"")).ok();
    verify(bed).code(1).says(&[
        "SHUT  a1 -> b1 (10.120.1.1) 80/tcp, 7000/tcp, 7010/tcp was dropped; to pass: policy `a1 -> b1: The shop`",
        "3 packets did not go as the policies say.",
    ]);
    bed.apply(&[]);
    bed.sh(&without("(answers)")).ok();
    verify(bed)
        .code(1)
        .says(&["7010/tcp passed, and its answer did not come back; to pass: policy `a1 -> b1: The shop`"]);
    bed.apply(&[]);
}

/// The table is right, and others drop all the same: the host's other firewall, and that of a machine itself.
fn what_others_drop(bed: &Bed) {
    bed.sh("nft 'table inet docker { chain forward { type filter hook forward priority 5; policy drop; }; }'").ok();
    let said = verify(bed).code(1);
    said.says(&["table: in force, as the file says", "SHUT  a1 -> b1", "SHUT  c1 -> a", "SHUT  a1 -> outside"])
        .says_not(&["LEAK"]);
    bed.sh("nft delete table inet docker").ok();
    let pid = bed.pid("b", "b1");
    let own = "table inet own { chain input { type filter hook input priority 0; policy drop; }; }";
    bed.sh(&format!("nsenter -t {pid} -n nft '{own}'")).ok();
    verify(bed).ok();
    let report = bed.anklume(&["firewall", "verify", "--format", "json"]).json();
    let probes = report["probes"].as_array().unwrap();
    let shop = probes.iter().find(|probe| probe["to"] == "b1" && probe["packet"] == "80/tcp" && probe["from"] == "a1");
    assert_eq!(shop.unwrap()["seen"], "passed, and was not answered");
    // What a machine does not let out is neither good nor bad.
    let out = "table inet own { chain output { type filter hook output priority 0; policy drop; }; }";
    bed.sh(&format!("nsenter -t {pid} -n nft 'flush ruleset; {out}'")).ok();
    verify(bed).ok().says(&["could not be tried", "b1 -> a1 (10.120.0.1) 80/tcp:"]);
    bed.sh(&format!("nsenter -t {pid} -n nft flush ruleset")).ok();
}

fn a_table_that_is_gone(bed: &Bed) {
    bed.sh("nft delete table inet anklume").ok();
    verify(bed).code(1).says(&["table: GONE", "LEAK  a1 -> b", "LEAK  b2 -> a", "LEAK  a1 -> gateway of b"]);
    let output = bed.try_anklume(&["firewall", "verify", "--format", "json"]).code(1);
    let report = output.json();
    assert_eq!((&report["good"], &report["table"]["state"]), (&false.into(), &"missing".into()));
    assert_eq!(state(&report, "a", "b"), "leak");
    bed.apply(&[]);
    bed.anklume(&["firewall", "verify", "--outside", "203.0.113.10"]).says(&["outside is 203.0.113.10"]);
}
