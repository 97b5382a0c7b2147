//! Rows 13 and 17: packets are sent all the time, from several machines, while everything around them changes. Not one
//! crosses, and what is allowed goes on.

use std::time::Instant;

use serde_json::{Map, Value, json};

use crate::harness::{Agent, Bed, edited, wait_for};

const BEFORE: &str = "
project_name: walls
global: {}
x-open: &open
  devices: {eth0: {type: nic, security.mac_filtering: false, security.ipv4_filtering: false}}
domains:
  a: {subnet_id: 0, machines: {a1: *open, a2: *open, a3: {}}}
  d: {subnet_id: 3, machines: {d1: *open}}
  # a second one
network_policies:
  - {from: a1, to: d1, ports: [7000], description: going}
  - {from: a2, to: d1, ports: [7100], protocol: tcp, description: staying}
  # a third one
";
const SECOND: (&str, &str) = ("# a second one", "b: {subnet_id: 1, machines: {b1: *open}}");
/// The second domain as that of another infrastructure, which can go as a whole.
const ANOTHER: &str = "
project_name: another
global: {}
domains: {b: {subnet_id: 1, machines: {b1: {}}}}
network_policies: [{from: b, to: host, ports: [9900]}]
";
const THIRD: (&str, &str) = ("# a third one", "- {from: d, to: a2, ports: [7200]}");
const GOING: (&str, &str) = ("- {from: a1, to: d1, ports: [7000], description: going}", "");

const MACHINES: [(&str, &str, &str); 4] =
    [("a", "a1", "10.120.0.1"), ("a", "a2", "10.120.0.2"), ("a", "a3", "10.120.0.3"), ("d", "d1", "10.120.3.1")];

/// Packets that must not pass: name, from, to, at, what, and where they would be seen if they did.
const WALLED: [(&str, &str, &str, &str, &str, &str); 16] = [
    ("to the second domain", "a1", "stowaway", "stowaway", "udp port=7777", "net-b"),
    ("to the second domain, ping", "a2", "stowaway", "stowaway", "ping", "net-b"),
    ("to the second domain, tcp", "a1", "stowaway", "stowaway", "syn port=7777", "net-b"),
    ("to its gateway", "a1", "host", "gateway-b", "udp port=9000", "host"),
    ("into the second domain from outside", "inet", "stowaway", "stowaway", "udp port=7777", "net-b"),
    ("from the second domain", "stowaway", "a1", "a1", "udp port=7777", "net-a"),
    ("from the second domain, ping", "stowaway", "a2", "a2", "ping", "net-a"),
    ("from the second domain, tcp", "stowaway", "a1", "a1", "tcp port=7777", "net-a"),
    ("from the second domain to a gateway", "stowaway", "host", "gateway-a", "udp port=9000", "host"),
    ("from the second domain to the host", "stowaway", "host", "gateway-b", "udp port=9000", "host"),
    ("from the second domain to the uplink", "stowaway", "host", "uplink", "udp port=9000", "host"),
    ("to the host", "a2", "host", "gateway-a", "udp port=9000", "host"),
    ("beside a policy", "a3", "d1", "d1", "udp port=7000", "net-d"),
    ("against a policy", "d1", "a1", "a1", "syn port=7000", "net-a"),
    ("in the second domain's name", "a1", "inet", "inet", "forged as=stowaway port=7777", "up0"),
    ("in a neighbour's name", "a3", "inet", "inet", "forged as=a2 port=7777", "up0"),
];

/// A packet that passes whenever the second domain's bridge stands: the stowaway is really there.
const PLUGGED: &str = "the stowaway's own gateway";

/// What a policy allows.
const TALKS: [(&str, &str, &str, u16); 3] =
    [("going, tcp", "a1", "tcp", 7000), ("going, udp", "a1", "udp", 7000), ("staying", "a2", "tcp", 7100)];

/// A cable for a second domain's bridge: whoever is on it sends from the first moment that there is one.
const STOWAWAY: &str = "
ip netns add stowaway
ip link add eth0 netns stowaway type veth peer name stowaway-host
ip -n stowaway -batch - <<-IP
	addr add 10.120.1.99/24 dev eth0
	link set eth0 up
	route add default via 10.120.1.254
	IP
for net in 0 1 3; do ip -n inet route add 10.120.$net.0/24 via 198.51.100.1; done";

/// The table, loaded again and again as it is.
const RELOAD: &str = "
{ echo 'add table inet anklume; delete table inet anklume'; nft list table inet anklume; } > same.nft
for time in $(seq 40); do nft -f same.nft; done";

struct Flood {
    agent: Agent,
    bed: Bed,
}

impl Flood {
    fn begin() -> Self {
        let bed = Bed::up();
        bed.infra(BEFORE);
        bed.apply(&[]);
        bed.wait_for_guests(&MACHINES);
        bed.sh(STOWAWAY).ok();
        let mut agent = Agent::start(&bed, &places(&bed), &addresses());
        let walled = WALLED.map(|(name, from, to, at, how, watch)| {
            json!({ "name": name, "from": from, "to": to, "at": at, "how": how, "over": 4, "watch": watch })
        });
        let plugged = json!({ "name": PLUGGED, "from": "stowaway", "to": "host", "at": "gateway-b", "how": "ping",
                              "over": 4, "watch": "nowhere" });
        let flows: Vec<Value> = walled.into_iter().chain([plugged]).collect();
        let talks = TALKS.map(|(name, from, kind, port)| {
            json!({ "name": name, "from": from, "to": "d1", "at": "d1", "kind": kind, "over": 4, "port": port })
        });
        let stowaway = json!({ "cable": "stowaway-host", "bridge": "net-b", "place": "stowaway" });
        agent.ask("flood", &json!({ "flows": flows, "talks": talks, "stowaway": stowaway }));
        Self { agent, bed }
    }

    fn told(&mut self, afresh: bool) -> Value {
        self.agent.ask("tell", &json!({ "afresh": afresh }))
    }

    /// Does something, and looks what the flood made of it: nothing crossed, and every talk went on.
    #[track_caller]
    fn during(&mut self, what: &str, change: impl FnOnce(&Bed)) {
        self.told(true);
        change(&self.bed);
        wait_for("packets after the change", || self.told(false)[WALLED[0].0]["sent"].as_u64() > Some(10));
        let told = self.told(true);
        for (name, ..) in WALLED {
            assert_eq!(told[name]["crossed"], 0, "{name}, during {what}: {told:#}");
        }
        for (name, ..) in TALKS {
            // 25 are said a second.
            let goes_on = told[name]["answered"].as_u64() > Some(5) && told[name]["longest"].as_u64() < Some(25);
            assert!(goes_on, "{name} stood still during {what}: {told:#}");
        }
    }

    #[track_caller]
    fn is_plugged(&mut self) {
        wait_for("the stowaway", || self.told(false)[PLUGGED]["answered"].as_u64() > Some(5));
    }
}

fn places(bed: &Bed) -> Value {
    let mut places = Map::new();
    for (domain, machine, _) in MACHINES {
        let namespace = format!("/proc/{}/ns/net", bed.pid(domain, machine));
        let bridge = format!("net-{domain}");
        places.insert(machine.into(), json!({ "namespace": namespace, "interface": "eth0", "bridge": bridge }));
    }
    places.insert("inet".into(), json!({ "namespace": "/run/netns/inet", "interface": "wan0", "bridge": "up0" }));
    places.insert("stowaway".into(), json!({ "namespace": "/run/netns/stowaway", "interface": "eth0" }));
    places.insert("host".into(), json!({}));
    Value::Object(places)
}

fn addresses() -> Value {
    let mut addresses = json!({
        "inet": ["198.51.100.2"], "uplink": ["198.51.100.1"], "stowaway": ["10.120.1.99"],
        "gateway-a": ["10.120.0.254"], "gateway-b": ["10.120.1.254"],
    });
    for (_, machine, address) in MACHINES {
        addresses[machine] = json!([address]);
    }
    addresses
}

#[test]
fn row_17_nothing_crosses_while_everything_changes() {
    let mut flood = Flood::begin();
    let with_second = edited(BEFORE, &[SECOND]);
    flood.during("an apply with nothing to do", |bed| {
        bed.apply(&[]).says(&["Nothing to do"]);
    });
    flood.during("the first apply of a second domain", |bed| {
        bed.infra(&with_second);
        bed.apply(&[]);
    });
    flood.is_plugged();
    flood.during("a new policy", |bed| {
        bed.infra(&edited(&with_second, &[THIRD]));
        bed.apply(&[]);
    });
    flood.during("a policy that goes", |bed| {
        bed.infra(&with_second);
        bed.apply(&[]);
    });
    flood.during("the table loaded again and again", |bed| {
        bed.sh(RELOAD).ok();
    });
    flood.during("the end of a domain", |bed| {
        bed.anklume(&["destroy", "b", "--force", "--yes"]);
    });
    flood.during("the same domain made again", |bed| {
        bed.apply(&[]);
    });
    flood.is_plugged();
    for signal in ["TERM", "KILL"] {
        flood.during(&format!("a restart of Incus by {signal}"), |bed| bed.restart_incus(signal));
        flood.is_plugged();
    }
    flood.bed.plan_is_empty();
    nothing_crosses_while_machines_are_upgraded(&mut flood);
    flood.during("the end of a domain that another infrastructure then makes", |bed| {
        bed.anklume(&["destroy", "b", "--force", "--yes"]);
        bed.write("another.yml", ANOTHER);
        bed.anklume(&["-f", "another.yml", "apply", "--yes"]);
    });
    flood.is_plugged();
    // Its machines and whoever is on its bridge go, the others stay: none is reached meanwhile.
    flood.during("the flush of another infrastructure", |bed| {
        bed.anklume(&["-f", "another.yml", "flush", "--force", "--volumes", "--yes"]);
        bed.sh("! ip link show net-b").ok();
    });
    flood.during("the first domain made whole again", |bed| {
        bed.apply(&[]);
    });
    flood.is_plugged();
    what_crosses_without_the_table_is_seen(&mut flood);
    row_13_a_policy_that_goes_cuts_what_it_had_allowed(&mut flood);
    nothing_crosses_while_all_of_it_goes(&mut flood);
}

/// The flush of all that there is: who sends is on its way out, and so is the table, last of all.
fn nothing_crosses_while_all_of_it_goes(flood: &mut Flood) {
    flood.is_plugged();
    flood.told(true);
    flood.bed.anklume(&["flush", "--force", "--volumes", "--yes"]);
    flood.bed.sh("! nft list table inet anklume && ! ip link show net-a").ok();
    let told = flood.told(true);
    // Incus takes the filters of a machine's card away once the machine is dead, and the card after that: only here does
    // somebody still send from it then.
    for (name, ..) in WALLED.iter().filter(|(_, from, ..)| *from != "a3") {
        assert_eq!(told[*name]["crossed"], 0, "{name}, during the flush of all: {told:#}");
    }
}

/// Packages, and then root disks: of the machine in the second domain, which stops and starts again for it, by a good
/// upgrade, by one that is put back, and by a newer image. Who else sends goes on.
fn nothing_crosses_while_machines_are_upgraded(flood: &mut Flood) {
    let program = |does: &str| {
        format!("mkdir -p /usr/local/bin; echo '{does}' > /usr/local/bin/apk; chmod 755 /usr/local/bin/apk")
    };
    for machine in ["a1", "a2", "a3"] {
        flood.bed.guest("a", machine, &program(":")).ok();
    }
    flood.bed.guest("b", "b1", &program("exit 1")).ok();
    flood.during("an upgrade of guests of which one is put back", |bed| {
        let run = bed.try_anklume(&["upgrade", "guests", "a", "b", "--yes"]).code(1);
        run.says(&["failed: b1: its upgrade failed", "it was put back to pre-upgrade-"]);
    });
    let newer = "python3 $ANKLUME_BED/make-images /run/bed/images --serial 2 --only debian/13; rm -f /var/cache/incus/*/i*.json";
    flood.bed.sh(newer).ok();
    flood.bed.anklume(&["upgrade", "images", "--yes"]);
    flood.during("a machine made anew from a newer image", |bed| {
        bed.anklume(&["upgrade", "--rebuild", "b", "--yes"]);
        bed.guest("b", "b1", "grep -x 2 /etc/image-serial").ok();
    });
    flood.is_plugged();
    flood.bed.plan_is_empty();
}

/// The flood would have told of each.
fn what_crosses_without_the_table_is_seen(flood: &mut Flood) {
    flood.told(true);
    flood.bed.sh("nft delete table inet anklume; nft delete table bridge incus").ok();
    let mut unseen: Vec<&str> = WALLED.map(|(name, ..)| name).to_vec();
    wait_for("every packet to cross", || {
        let told = flood.told(false);
        unseen.retain(|name| told[*name]["crossed"] == 0);
        unseen.is_empty()
    });
    flood.bed.apply(&[]);
}

/// Both ends of a connection hear nothing more once the apply that removes its policy is done; others go on, and it
/// is the policy that cut it, not its own end: with the policy it goes on.
fn row_13_a_policy_that_goes_cuts_what_it_had_allowed(flood: &mut Flood) {
    let with_second = edited(BEFORE, &[SECOND]);
    flood.bed.infra(&edited(&with_second, &[GOING]));
    assert_eq!(flood.bed.plan(&[]).actions(), ["update firewall"]);
    flood.bed.apply(&[]);
    let cut = Instant::now();
    flood.told(true);
    wait_for("the other talk to go on", || flood.told(false)["staying"]["answered"].as_u64() > Some(50));
    let since = cut.elapsed().as_secs_f64();
    let told = flood.told(false);
    for name in ["going, tcp", "going, udp"] {
        assert_eq!((&told[name]["asked"], &told[name]["answered"]), (&json!(0), &json!(0)), "{name}: {told:#}");
        assert!(told[name]["silent"].as_f64().unwrap() >= since, "{name} was cut when the apply was done: {told:#}");
    }
    assert!(told["staying"]["longest"].as_u64() < Some(25), "{told:#}");
    flood.bed.infra(&with_second);
    flood.bed.apply(&[]);
    for name in ["going, tcp", "going, udp"] {
        wait_for("the same connection to go on", || flood.told(false)[name]["answered"].as_u64() > Some(5));
    }
}
