//! The bed in which the map is tried: four domains, and all around them that there can be on a host.

use serde_json::{Map, Value, json};

use super::map::{self, Line};
use crate::harness::{Agent, Bed};

/// Machines whose cards are not filtered: what keeps them from forging is the table alone. All but those of a3 and a4.
const INFRA: &str = r#"
project_name: walls
global: {}
x-open: &open
  devices: {eth0: {type: nic, security.mac_filtering: false, security.ipv4_filtering: false}}
domains:
  a:
    profiles: {bare: {}}
    machines:
      a1: *open
      a2: *open
      a3: {}
      a4: {profiles: [bare], devices: {lan: {type: nic, network: net-a, name: eth0, ipv4.address: 10.120.0.4}}}
  b: {machines: {b1: *open, b2: *open}}
  c: {internet: false, machines: {c1: *open}}
  d: {machines: {d1: *open}}
network_policies:
  - {description: web, from: a1, to: b1, ports: [7000, "7100-7110"], protocol: tcp}
  - {description: names, from: a1, to: b1, ports: [7000, 7001], protocol: udp}
  - {from: d, to: b}
  - {from: b1, to: host, ports: [9000, 9002, 9004], protocol: udp}
  - {from: d, to: host}
  - {from: c, to: a2, ports: [7005, 7008], bidirectional: true}
  - {from: d1, to: a, protocol: tcp}
"#;

/// Domain, machine, address, and the last group of the address.
const MACHINES: [(&str, &str, &str, u8); 8] = [
    ("a", "a1", "10.120.0.1", 1),
    ("a", "a2", "10.120.0.2", 2),
    ("a", "a3", "10.120.0.3", 3),
    ("a", "a4", "10.120.0.4", 4),
    ("b", "b1", "10.120.1.1", 1),
    ("b", "b2", "10.120.1.2", 2),
    ("c", "c1", "10.120.2.1", 1),
    ("d", "d1", "10.120.3.1", 1),
];

/// What stands on the host beside anklume: a way for everything to reach everything, if nothing keeps it apart.
const AROUND: &str = r"
sysctl -qw net.ipv6.conf.all.forwarding=1 net.ipv4.conf.all.route_localnet=1 net.netfilter.nf_conntrack_udp_timeout=600
sysctl -qw net.ipv4.icmp_ratelimit=0 net.ipv6.icmp.ratelimit=0
for domain in a b c d; do
  sysctl -qw net.ipv6.conf.net-$domain.disable_ipv6=0
  ip -6 addr add fd00:$domain::fe/64 dev net-$domain nodad
done
neighbour() {   # neighbour BRIDGE PLACE NET4 NET6: another program's bridge, with one of its machines
  [ -e /sys/class/net/$1 ] || ip link add $1 type bridge
  sysctl -qw net.ipv6.conf.$1.disable_ipv6=0
  ip addr replace $3.1/24 dev $1
  ip -6 addr add $4::1/64 dev $1 nodad
  ip link set $1 up
  ip netns add $2
  ip link add eth0 netns $2 type veth peer name $2-host
  ip link set $2-host master $1 up
  ip -n $2 -batch - <<-IP
	link set lo up
	addr add $3.2/24 dev eth0
	addr add $4::2/64 dev eth0 nodad
	link set eth0 up
	route add default via $3.1
	route add default via $4::1
	IP
}
neighbour docker0 docker 172.17.0 fd00:17
neighbour virbr0 libvirt 192.168.122 fd00:122
neighbour mybr0 mine 10.99.0 fd00:99
for net in 10.120.0 10.120.1 10.120.2 10.120.3 172.17.0 192.168.122 10.99.0; do
  ip -n inet route add $net.0/24 via 198.51.100.1
done
for net in a b c d 17 122 99; do ip -n inet route add fd00:$net::/64 via 2001:db8:1::1; done
ip link set net-b mtu 1400
ip addr add 198.51.100.3/24 dev up0
incus network forward create net-a 198.51.100.1 </dev/null
incus network forward port add net-a 198.51.100.1 tcp 8080 10.120.0.2 7200
incus network forward port add net-a 198.51.100.1 udp 8080 10.120.0.2 7200
incus config device add a3 web proxy nat=true listen=tcp:198.51.100.3:8081 connect=tcp:10.120.0.3:7200 --project a </dev/null
incus config device add c1 web proxy nat=true listen=tcp:198.51.100.3:8082 connect=tcp:10.120.2.1:7200 --project c </dev/null
";

/// The bed, and who sends packets in it.
pub(super) struct Ground {
    agent: Agent,
    addresses: Value,
    pub(super) bed: Bed,
}

impl Ground {
    /// Everything stands, and conversations are open that the table was not asked about.
    pub(super) fn new() -> Self {
        let bed = Bed::up();
        bed.infra(INFRA);
        bed.apply(&[]);
        let machines = MACHINES.map(|(domain, machine, address, _)| (domain, machine, address));
        bed.wait_for_guests(&machines);
        bed.sh(AROUND).ok();
        let pids = MACHINES.map(|(domain, machine, ..)| bed.pid(domain, machine));
        give_ipv6(&bed, &pids);
        let addresses = addresses(&bed);
        let agent = Agent::start(&bed, &places(&pids), &addresses);
        let mut ground = Self { agent, addresses, bed };
        ground.bed.sh("nft delete table inet anklume").ok();
        let opened = ground.agent.ask("open", &json!({ "conversations": map::conversations() }));
        assert_eq!(opened, json!({ "closed": [] }), "conversations, while there is no table");
        ground.bed.apply(&[]);
        ground.bed.plan_is_empty();
        ground
    }

    /// Sends all of these; those that it did not go with as the map says.
    pub(super) fn surprises<'a>(&mut self, lines: &[&'a Line]) -> Vec<(&'a Line, Value)> {
        self.otherwise(lines, |line| if line.passes { "passed" } else { "dropped" }, &[], &[])
    }

    /// Sends all of these, with this loaded before and that after; those that it went with as the map says, all the
    /// same.
    pub(super) fn unmoved<'a>(
        &mut self,
        lines: &[&'a Line],
        before: &[&str],
        after: &[&str],
    ) -> Vec<(&'a Line, Value)> {
        self.otherwise(lines, |line| if line.passes { "not passed" } else { "crossed" }, before, after)
    }

    fn otherwise<'a>(
        &mut self,
        lines: &[&'a Line],
        expected: impl Fn(&Line) -> &'static str,
        before: &[&str],
        after: &[&str],
    ) -> Vec<(&'a Line, Value)> {
        let probe = |line: &&Line| {
            let mut probe = line.probe();
            probe["expected"] = expected(line).into();
            probe["seen_as"] = line.seen_as.map_or(Value::Null, |name| self.addresses[name][0].clone());
            probe
        };
        let probes: Vec<Value> = lines.iter().map(probe).collect();
        let answer = self.agent.ask("round", &json!({ "probes": probes, "before": before, "after": after }));
        let outcomes = answer["outcomes"].as_array().unwrap().iter().cloned();
        lines.iter().copied().zip(outcomes).filter(|(_, outcome)| outcome["expected"] == false).collect()
    }
}

/// Incus leaves the bridges without IPv6: here the host has given them some by hand.
fn give_ipv6(bed: &Bed, pids: &[u64]) {
    let mut script = String::new();
    for ((domain, _, _, number), pid) in MACHINES.iter().zip(pids) {
        script.push_str(&format!(
            "nsenter -t {pid} -n sh -ec '
               sysctl -qw net.ipv6.conf.eth0.accept_ra=0 net.ipv4.icmp_ratelimit=0 net.ipv6.icmp.ratelimit=0
               ip -6 addr add fd00:{domain}::{number}/64 dev eth0 nodad
               ip -6 route add default via fd00:{domain}::fe'\n"
        ));
    }
    // An address that no lease was ever asked for.
    script.push_str(&format!("nsenter -t {} -n ip addr add 10.120.0.50/24 dev eth0", pids[0]));
    bed.sh(&script).ok();
}

fn places(pids: &[u64]) -> Value {
    let mut places = Map::new();
    let mut place = |name: &str, namespace: &str, interface: &str, bridge: &str| {
        let says = json!({ "namespace": namespace, "interface": interface, "bridge": bridge });
        places.insert(name.to_owned(), says);
    };
    for ((domain, machine, ..), pid) in MACHINES.iter().zip(pids) {
        place(machine, &format!("/proc/{pid}/ns/net"), "eth0", &format!("net-{domain}"));
    }
    place("inet", "/run/netns/inet", "wan0", "up0");
    for (name, bridge) in [("docker", "docker0"), ("libvirt", "virbr0"), ("mine", "mybr0")] {
        place(name, &format!("/run/netns/{name}"), "eth0", bridge);
    }
    places.insert("host".to_owned(), json!({}));
    Value::Object(places)
}

/// Each name's address of either family.
fn addresses(bed: &Bed) -> Value {
    let link = bed.sh("ip -6 -o addr show dev net-a scope link | sed 's,.*inet6 \\([^/]*\\)/.*,\\1,'").ok().stdout;
    let mut addresses = json!({
        "inet": ["198.51.100.2", "2001:db8:1::2"],
        "uplink": ["198.51.100.1", "2001:db8:1::1"],
        "uplink2": ["198.51.100.3", ""],
        "docker": ["172.17.0.2", "fd00:17::2"],
        "gateway-docker": ["172.17.0.1", "fd00:17::1"],
        "libvirt": ["192.168.122.2", "fd00:122::2"],
        "mine": ["10.99.0.2", "fd00:99::2"],
        "stranger": ["203.0.113.99", "2001:db8:99::1"],
        "all": ["255.255.255.255", "ff02::1"],
        "loopback": ["127.0.0.1", "::1"],
        "link-a": ["", link.trim()],
        "a1-too": ["10.120.0.50", ""],
    });
    for (number, domain) in ["a", "b", "c", "d"].into_iter().enumerate() {
        let (four, six) = (format!("10.120.{number}"), format!("fd00:{domain}::fe"));
        addresses[format!("gateway-{domain}")] = json!([format!("{four}.254"), six]);
        addresses[format!("broadcast-{domain}")] = json!([format!("{four}.255"), ""]);
    }
    for (domain, machine, address, number) in MACHINES {
        addresses[machine] = json!([address, format!("fd00:{domain}::{number}")]);
    }
    addresses
}
