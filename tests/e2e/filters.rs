//! Inside a domain: its `acl` on its bridge, and the names of its machines in its `dns_zone`.

use serde_json::{Value, json};

use crate::harness::{Bed, edited};

const SHOP: &str = r"
project_name: filters
global: {}
domains:
  pro:
    dns_zone: pro.home.arpa
    acl:
      - {direction: ingress, action: drop, protocol: tcp, destination_port: [80, 8081-8089], description: Not the web}
    machines: {p1: {}, p2: {}, p-off: {state: stopped}}
  home: {machines: {h1: {}}}
network_policies:
  - {from: home, to: pro}
";

const MACHINES: [(&str, &str, &str); 3] =
    [("pro", "p1", "10.120.1.1"), ("pro", "p2", "10.120.1.2"), ("home", "h1", "10.120.0.1")];

/// What is declared of the ACL, with the rules in these lines.
fn with_rules(rules: &str) -> String {
    let first = "      - {direction: ingress, action: drop, protocol: tcp, destination_port: [80, 8081-8089], description: Not the web}\n";
    edited(SHOP, &[(first, rules)])
}

#[test]
fn coverage_23_network_zones_and_coverage_24_network_acls_are_of_a_domain() {
    let bed = Bed::up();
    bed.infra(SHOP);
    bed.apply(&[]).says(&["create acl net-pro", "create zone pro.home.arpa", "create record pro.home.arpa/p1"]);
    bed.plan_is_empty();
    // They got their addresses by DHCP through the filter.
    bed.wait_for_guests(&MACHINES);
    bed.guest("pro", "p1", "httpd -p 8050 -h /var/www").ok();

    stands_in_incus(&bed);
    what_is_named_is_dropped(&bed);
    names_are_served(&bed);
    what_is_not_allowed_is_refused(&bed);
    what_was_put_there_by_hand_stays(&bed);
    both_go_when_they_leave_the_file(&bed);
}

fn acl(bed: &Bed) -> Value {
    bed.incus("/1.0/network-acls/net-pro?project=default")
}

fn stands_in_incus(bed: &Bed) {
    let acl = acl(bed);
    let rule = json!({"action": "drop", "state": "enabled", "protocol": "tcp", "destination_port": "80,8081-8089",
        "description": "Not the web"});
    assert_eq!((&acl["ingress"], &acl["egress"]), (&json!([rule]), &json!([])));
    assert_eq!(acl["config"]["user.anklume.domain"], "pro");
    let bridge = bed.incus("/1.0/networks/net-pro")["config"].clone();
    let of_bridge = |key: &str| bridge[key].as_str().unwrap_or_default().to_owned();
    assert_eq!(of_bridge("security.acls"), "net-pro");
    assert_eq!(of_bridge("security.acls.default.ingress.action"), "allow");
    assert_eq!(of_bridge("dns.zone.forward"), "pro.home.arpa");
    let records = bed.incus("/1.0/network-zones/pro.home.arpa/records?recursion=1");
    let told = |record: &Value| {
        format!("{} {} {}", record["name"], record["entries"][0]["type"], record["entries"][0]["value"])
            .replace('"', "")
    };
    let records: Vec<String> = records.as_array().unwrap().iter().map(told).collect();
    assert_eq!(records, ["p-off A 10.120.1.3", "p1 A 10.120.1.1", "p2 A 10.120.1.2"]);
}

/// A filter at the edge of the bridge: what a policy of the file opens, it can still refuse. Inside the bridge it is
/// asked only where bridged packets go through the kernel's filters.
fn what_is_named_is_dropped(bed: &Bed) {
    bed.packets(true, &[("home/h1", "tcp 10.120.1.1:8050"), ("home/h1", "ping 10.120.1.1")]);
    bed.packets(
        true,
        &[("pro/p1", "tcp example.test:80"), ("pro/p1", "ping 10.120.1.254"), ("host", "ping 10.120.1.1")],
    );
    bed.packets(false, &[("home/h1", "tcp 10.120.1.1:80"), ("host", "tcp 10.120.1.2:80")]);
    for (on, passes) in [(1, false), (0, true)] {
        bed.sh(&format!("sysctl -qw net.bridge.bridge-nf-call-iptables={on}")).ok();
        bed.packets(passes, &[("pro/p1", "tcp 10.120.1.2:80")]);
        bed.packets(true, &[("pro/p2", "tcp 10.120.1.1:8050")]);
    }
    bed.anklume(&["firewall", "verify"]).says(&["Every packet went as the policies say."]);
}

/// Asks the DNS server of Incus for the whole zone, as a secondary server does.
fn zone(bed: &Bed) -> String {
    bed.write("axfr.py", AXFR);
    bed.sh("python3 axfr.py 127.0.0.1 8853 pro.home.arpa").ok().stdout
}

const AXFR: &str = r"
import socket, struct, sys
host, port, zone = sys.argv[1], int(sys.argv[2]), sys.argv[3]
question = b''.join(bytes([len(label)]) + label.encode() for label in zone.split('.')) + b'\0'
query = struct.pack('>6H', 7, 0, 1, 0, 0, 0) + question + struct.pack('>2H', 252, 1)
server = socket.create_connection((host, port)).makefile('rwb')
server.write(struct.pack('>H', len(query)) + query)
server.flush()
answer = server.read(struct.unpack('>H', server.read(2))[0])

def name(at):
    labels, end = [], None
    while answer[at]:
        if answer[at] >= 192:
            end, at = end or at + 2, (answer[at] & 63) << 8 | answer[at + 1]
        else:
            labels.append(answer[at + 1:at + 1 + answer[at]].decode())
            at += 1 + answer[at]
    return '.'.join(labels), end or at + 1

at = name(12)[1] + 4
for _ in range(struct.unpack('>H', answer[6:8])[0]):
    owner, at = name(at)
    kind, length = struct.unpack('>H6xH', answer[at:at + 10])
    at += 10 + length
    if kind == 1:
        print(owner, '.'.join(map(str, answer[at - 4:at])))
";

fn names_are_served(bed: &Bed) {
    bed.sh("incus config set core.dns_address=127.0.0.1:8853 </dev/null
         incus network zone set pro.home.arpa peers.me.address=127.0.0.1 --project default </dev/null")
        .ok();
    let served = zone(bed);
    for name in ["p1.pro.home.arpa 10.120.1.1", "p2.pro.home.arpa 10.120.1.2", "p-off.pro.home.arpa 10.120.1.3"] {
        assert!(served.lines().any(|line| line == name), "{name} in:\n{served}");
    }
    // Who may ask is said by hand, and stays.
    bed.plan_is_empty();
}

fn what_is_not_allowed_is_refused(bed: &Bed) {
    let plan = bed.turns(
        &with_rules("      - {direction: ingress, action: allow, protocol: tcp, destination_port: 80}\n"),
        &[],
        &["update acl net-pro", "update network net-pro"],
    );
    let rules = [
        "ingress: - -> allow tcp to port 80 (live)",
        "ingress: drop tcp to port 80,8081-8089: Not the web -> - (live)",
    ];
    assert_eq!(plan.fields("update acl net-pro"), rules);
    let rest = "security.acls.default.ingress.action: allow -> reject (live)";
    assert_eq!(plan.fields("update network net-pro"), [rest]);
    bed.packets(true, &[("home/h1", "tcp 10.120.1.1:80"), ("pro/p1", "tcp example.test:80")]);
    bed.packets(false, &[("home/h1", "tcp 10.120.1.1:8050"), ("home/h1", "ping 10.120.1.1")]);
    // Whoever starts now still gets an address.
    bed.sh("incus restart -f p2 --project pro </dev/null").ok();
    bed.wait_for_guests(&MACHINES);
    bed.anklume(&["firewall", "verify"]).says(&["an `acl` of the domain may have refused it"]);
}

fn what_was_put_there_by_hand_stays(bed: &Bed) {
    bed.packets(true, &[("pro/p1", "tcp 203.0.113.10:80")]);
    bed.sh(
        "incus network acl rule add net-pro egress action=drop destination=203.0.113.10 --project default </dev/null",
    )
    .ok();
    bed.packets(false, &[("pro/p1", "tcp 203.0.113.10:80")]);
    bed.plan_is_empty();
    bed.infra(&with_rules("      - {direction: ingress, action: allow}\n"));
    bed.apply(&[]);
    bed.plan_is_empty();
    bed.packets(false, &[("pro/p1", "tcp 203.0.113.10:80")]);
    bed.packets(true, &[("home/h1", "tcp 10.120.1.1:8050")]);

    // What is declared is put back.
    bed.sh("incus network zone record entry remove pro.home.arpa p1 A 10.120.1.1 --project default </dev/null
         incus network zone record entry add pro.home.arpa p1 A 10.9.9.9 --project default </dev/null
         incus network acl rule remove net-pro ingress action=allow --project default </dev/null")
        .ok();
    assert_eq!(bed.plan(&[]).sorted(), ["update acl net-pro", "update record pro.home.arpa/p1"]);
    bed.apply(&[]);
    bed.plan_is_empty();
    let served = zone(bed);
    assert!(served.contains("p1.pro.home.arpa 10.120.1.1") && served.contains("p1.pro.home.arpa 10.9.9.9"), "{served}");
}

fn both_go_when_they_leave_the_file(bed: &Bed) {
    bed.infra(&edited(SHOP, &[("  pro:\n", "  pro:\n    enabled: false\n")]));
    assert_eq!(bed.plan(&[]).held(), Vec::<String>::new(), "a disabled domain keeps what it has");

    bed.infra(&edited(&with_rules(""), &[("    acl:\n", ""), ("    dns_zone: pro.home.arpa\n", "")]));
    let plan = bed.plan(&[]);
    assert_eq!(plan.actions(), ["update network net-pro"]);
    assert_eq!(plan.held().len(), 5, "{:?}", plan.held());
    bed.apply(&[]);
    bed.packets(true, &[("home/h1", "ping 10.120.1.1"), ("pro/p1", "tcp 203.0.113.10:80")]);

    // And back, so that the bridge names both when they are to go.
    bed.infra(SHOP);
    bed.apply(&[]);
    bed.packets(false, &[("home/h1", "tcp 10.120.1.1:80")]);
    bed.infra(&edited(&with_rules(""), &[("    acl:\n", ""), ("    dns_zone: pro.home.arpa\n", "")]));
    bed.apply(&["--prune"]).says(&["delete acl net-pro", "delete zone pro.home.arpa"]);
    bed.plan_is_empty();
    assert!(!bed.has("/1.0/network-acls/net-pro") && !bed.has("/1.0/network-zones/pro.home.arpa"));

    bed.infra(SHOP);
    bed.apply(&[]);
    bed.anklume(&["destroy", "pro", "home", "--force", "--yes"]);
    let left = bed
        .sh("incus query '/1.0/network-acls?project=default'; incus query '/1.0/network-zones?project=default'")
        .ok();
    assert_eq!(left.stdout.split_whitespace().collect::<String>(), "[][]");
}
