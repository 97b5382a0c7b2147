//! What anklume covers, row by row: each test says its row in its name, here and in the files that go deeper
//! (`tests/run e2e coverage_`).

use std::collections::BTreeSet;
use std::process::Command;

use serde_json::json;

use crate::harness::{Bed, edited, wait_for, with_programs};

#[test]
fn every_row_of_what_is_covered_has_its_test() {
    let listed = Command::new(std::env::current_exe().unwrap()).args(["--list", "--format", "terse"]).output().unwrap();
    let listed = String::from_utf8(listed.stdout).unwrap();
    let tested: BTreeSet<u32> = listed
        .lines()
        .flat_map(|line| line.split("coverage_").skip(1))
        .filter_map(|rest| rest.split('_').next()?.parse().ok())
        .collect();
    let rows: BTreeSet<u32> = (1..=32).collect();
    assert_eq!(tested, rows);
}

const HOME: &str = "
project_name: home
global: {default_os_image: images:alpine/3.20}
domains:
  pro:
    ephemeral: true
    trust_level: trusted
    description: Where the work is done
    limits: {instances: 5, containers: 4}
    machines: {dev: {}}
  play: {ephemeral: true, machines: {}}
";

#[test]
fn coverage_01_projects_are_made_changed_and_removed() {
    let bed = Bed::up();
    bed.infra(HOME);
    bed.apply(&[]);
    bed.plan_is_empty();
    let pro = bed.incus("/1.0/projects/pro");
    assert_eq!(pro["description"], "Where the work is done");
    let config = |key: &str| pro["config"][key].as_str().unwrap_or("-").to_owned();
    for (feature, own) in
        [("profiles", "true"), ("storage.volumes", "true"), ("images", "false"), ("networks", "false")]
    {
        assert_eq!(config(&format!("features.{feature}")), own, "{feature}");
    }
    assert_eq!((config("limits.instances"), config("limits.containers")), ("5".into(), "4".into()));

    let edits =
        [("Where the work is done", "Work"), ("limits: {instances: 5, containers: 4}", "limits: {instances: 6}")];
    let plan = bed.turns(&edited(HOME, &edits), &[], &["update network net-pro", "update project pro"]);
    let fields = [
        "description: Where the work is done -> Work (live)",
        "limits.containers: 4 -> - (live)",
        "limits.instances: 5 -> 6 (live)",
    ];
    assert_eq!(plan.fields("update project pro"), fields);
    let gone = edited(HOME, &[("  play: {ephemeral: true, machines: {}}\n", "")]);
    bed.turns(
        &edited(&gone, &edits),
        &["--prune"],
        &["delete network net-play", "delete project play", "update firewall"],
    );
    assert!(!bed.has("/1.0/projects/play"));
}

#[test]
fn coverage_02_bridges_have_their_gateway_addresses_and_names_that_fit() {
    let bed = Bed::up();
    bed.infra(
        "project_name: bridges
global: {default_os_image: images:alpine/3.20, base_subnet: '10.77'}
domains:
  pro: {subnet_id: 4, machines: {dev: {}}}
  a-domain-with-a-long-name: {subnet_id: 5, machines: {one: {ip: 10.77.5.9}}}
  a-domain-with-a-long-name-too: {subnet_id: 6}
",
    );
    bed.apply(&[]);
    bed.plan_is_empty();
    let bridge = bed.incus("/1.0/networks/net-pro");
    let config = |key: &str| bridge["config"][key].as_str().unwrap_or("-").to_owned();
    assert_eq!((config("ipv4.address"), config("ipv4.nat")), ("10.77.4.254/24".into(), "true".into()));
    assert_eq!((config("ipv4.dhcp.ranges"), config("ipv6.address")), ("10.77.4.100-10.77.4.249".into(), "none".into()));
    // A machine without an address of its own has one of that range, and goes out as the host.
    let has_one = "ip -4 addr show eth0 | grep -E 'inet 10.77.4.(1[0-9][0-9]|2[0-4][0-9])/'";
    wait_for("an address by DHCP", || bed.guest("pro", "dev", has_one).code == 0);
    assert_eq!(bed.guest("pro", "dev", "wget -qO- http://203.0.113.10/cgi-bin/ip").ok().stdout.trim(), "198.51.100.1");
    bed.guest("pro", "dev", "ip -6 addr show scope global").ok().says_not(&["inet6"]);
    // An interface name holds 15 characters.
    let names = bed.sh("ip -o link show type bridge | cut -d: -f2 | tr -d ' ' | grep ^net-").ok().stdout;
    let names: BTreeSet<&str> = names.lines().collect();
    assert_eq!(names.len(), 3, "{names:?}");
    assert!(names.iter().all(|name| name.len() <= 15), "{names:?}");
    bed.wait_for_guest("a-domain-with-a-long-name", "one", "10.77.5.9");
}

#[test]
fn coverage_03_profiles_give_root_and_card_and_keep_their_order() {
    let file = "
project_name: order
global: {default_os_image: images:alpine/3.20}
domains:
  pro:
    profiles:
      low: {config: {limits.processes: 100, user.low: x}}
      high: {config: {limits.processes: 200, user.high: y}}
    machines:
      dev: {profiles: [default, low, high]}
";
    let bed = Bed::up();
    bed.infra(file);
    bed.apply(&[]);
    bed.plan_is_empty();
    let usual = bed.incus("/1.0/profiles/default?project=pro")["devices"].clone();
    assert_eq!(usual["root"], json!({"type": "disk", "path": "/", "pool": "default"}));
    let card = json!({"type": "nic", "name": "eth0", "network": "net-pro",
                      "security.mac_filtering": "true", "security.ipv4_filtering": "true"});
    assert_eq!(usual["eth0"], card);
    let dev = || {
        let dev = bed.machine("pro", "dev");
        (dev["profiles"].clone(), dev["expanded_config"]["limits.processes"].clone())
    };
    assert_eq!(dev(), (json!(["default", "low", "high"]), json!("200")));
    // The last one wins, and the kernel hears of it while the machine runs.
    let pid = bed.pid("pro", "dev");
    let swapped = edited(file, &[("[default, low, high]", "[default, high, low]")]);
    bed.turns(&swapped, &[], &["update instance dev"]);
    assert_eq!(dev(), (json!(["default", "high", "low"]), json!("100")));
    assert_eq!(bed.pid("pro", "dev"), pid);
    let limit = bed
        .sh("cat /sys/fs/cgroup/lxc.payload.pro_dev/pids.max /sys/fs/cgroup/*/lxc.payload.pro_dev/pids.max 2>&1; true");
    assert!(limit.stdout.lines().any(|line| line == "100"), "{limit}");
}

#[test]
fn coverage_06_static_addresses_stay_whatever_comes_before_them() {
    let bed = Bed::up();
    let file = edited(HOME, &[("machines: {dev: {}}", "machines: {dev: {}, web: {}}")]);
    bed.infra(&file);
    bed.apply(&[]);
    bed.wait_for_guests(&[("pro", "dev", "10.110.0.1"), ("pro", "web", "10.110.0.2")]);
    let pids = [bed.pid("pro", "dev"), bed.pid("pro", "web")];
    // A domain that sorts first in its zone, and a machine in the middle.
    let more = [
        ("domains:\n", "domains:\n  any: {trust_level: trusted, machines: {one: {}}}\n"),
        ("{dev: {}, web: {}}", "{dev: {}, new: {}, web: {}}"),
    ];
    let made = [
        "create instance new",
        "create instance one",
        "create network net-any",
        "create profile any/default",
        "create project any",
        "update firewall",
    ];
    bed.turns(&edited(&file, &more), &[], &made);
    bed.wait_for_guests(&[("pro", "dev", "10.110.0.1"), ("pro", "web", "10.110.0.2"), ("pro", "new", "10.110.0.3")]);
    bed.wait_for_guest("any", "one", "10.110.1.1");
    assert_eq!([bed.pid("pro", "dev"), bed.pid("pro", "web")], pids);
}

#[test]
fn coverage_11_ephemeral_instances_are_gone_when_they_stop_and_come_again() {
    let bed = Bed::up();
    bed.infra(&edited(HOME, &[("dev: {}", "dev: {instance_ephemeral: true}")]));
    bed.anklume(&["plan", "--commands"]).says(&["--ephemeral"]);
    bed.apply(&[]);
    bed.plan_is_empty();
    assert_eq!(bed.machine("pro", "dev")["ephemeral"], true);
    bed.sh("incus stop -f dev --project pro </dev/null").ok();
    assert!(!bed.has("/1.0/instances/dev?project=pro"));
    assert_eq!(bed.plan(&[]).actions(), ["create instance dev"]);
    bed.apply(&[]);
    bed.plan_is_empty();
}

#[test]
fn coverage_12_boot_autostart_and_priority_decide_what_comes_up_with_the_host() {
    let machines = "machines:
      late: {boot_autostart: true, boot_priority: 1}
      early: {boot_autostart: true, boot_priority: 90}
      never: {boot_autostart: false}";
    // With nothing beside: Incus notes of every machine that it was off at the shutdown.
    let bed = Bed::bare(&[]).unwrap();
    bed.infra(&edited(HOME, &[("machines: {dev: {}}", machines)]));
    bed.apply(&[]);
    bed.plan_is_empty();
    // As at shutdown: every machine is stopped before Incus is.
    bed.restart_incus("PWR");
    let up = |name: &str| bed.machine("pro", name)["status"] == "Running";
    wait_for("what is to come up", || up("late") && up("early"));
    assert!(!up("never"));
    assert!(bed.pid("pro", "early") < bed.pid("pro", "late"), "the higher priority comes first");
    assert_eq!(bed.plan(&[]).actions(), ["start instance never"], "the file has it running");
}

#[test]
fn coverage_14_scheduled_snapshots_are_taken_and_expire() {
    let keys = "dev: {snapshots_schedule: '@startup', snapshots_expiry: 30m}";
    let bed = Bed::up();
    bed.infra(&edited(HOME, &[("dev: {}", keys)]));
    bed.apply(&[]);
    bed.plan_is_empty();
    bed.anklume(&["restart", "dev"]);
    let taken = || bed.incus("/1.0/instances/dev/snapshots?project=pro&recursion=1")[0].clone();
    wait_for("the snapshot", || taken()["name"].is_string());
    let minutes = |key: &str| {
        let time = taken()[key].as_str().unwrap().to_owned();
        bed.sh(&format!("date -d {time} +%s")).ok().stdout.trim().parse::<u64>().unwrap() / 60
    };
    // Incus's own `m` would be months.
    assert_eq!(minutes("expires_at") - minutes("created_at"), 30);
    bed.plan_is_empty();
}

/// A container with the host's programs, and cloud-init's documents.
const CLOUD: &str = "
project_name: cloud
global: {default_os_image: images:alpine/3.20}
domains:
  pro:
    ephemeral: true
    machines:
      dev:
        devices:
          @PROGRAMS@
        cloud_init:
          user_data: {packages: [less], runcmd: [[touch, /run/here]]}
          vendor_data: |
            #cloud-config
            timezone: Europe/Paris
          network_config: {version: 2}
";

/// What a guest's cloud-init asks for: these are its own questions.
const ASK: &str = r#"python3 - <<-'END'
	import http.client, socket
	class Incus(http.client.HTTPConnection):
	    def connect(self):
	        self.sock = socket.socket(socket.AF_UNIX)
	        self.sock.connect("/dev/incus/sock")
	for key in ("user-data", "vendor-data", "network-config"):
	    incus = Incus("incus")
	    incus.request("GET", f"/1.0/config/cloud-init.{key}")
	    print(incus.getresponse().read().decode())
	END"#;

#[test]
fn coverage_20_cloud_init_reaches_the_guest_as_it_is_written() {
    let bed = Bed::up();
    let cloud = with_programs(CLOUD);
    bed.infra(&cloud);
    bed.apply(&[]);
    bed.plan_is_empty();
    let told = bed.guest("pro", "dev", ASK).ok();
    let _ = told.says(&["#cloud-config\npackages:\n  - less\nruncmd:\n", "timezone: Europe/Paris", "version: 2"]);
    // On a machine that stands, a plan tells what becomes of it.
    let changed = edited(&cloud, &[("packages: [less]", "packages: [more]")]);
    bed.infra(&changed);
    bed.anklume(&["plan"]).says(&["cloud-init runs again at the next start", "`--replace dev`"]);
    bed.turns(&changed, &[], &["update instance dev"]);
}

#[test]
fn coverage_26_network_policies_open_ends_ports_and_ways_as_written_and_close_with_their_line() {
    let file = "
project_name: policies
global: {default_os_image: images:alpine/3.20}
domains:
  a: {machines: {a1: {}, a2: {}}}
  b: {machines: {b1: {}, b2: {}}}
network_policies:
  - {from: a1, to: b, ports: [80], protocol: tcp}
  - {from: b2, to: a2, bidirectional: true}
  - {from: b1, to: host, ports: [9000-9001], protocol: tcp}
";
    let bed = Bed::up();
    bed.infra(file);
    bed.apply(&[]);
    let machines =
        [("a", "a1", "10.120.0.1"), ("a", "a2", "10.120.0.2"), ("b", "b1", "10.120.1.1"), ("b", "b2", "10.120.1.2")];
    bed.wait_for_guests(&machines);
    bed.sh("for port in 9001 9002; do busybox httpd -p $port -h /run/bed/www; done").ok();
    let open = [
        ("a/a1", "tcp 10.120.1.1:80"),
        ("a/a1", "tcp 10.120.1.2:80"),
        ("b/b2", "ping 10.120.0.2"),
        ("a/a2", "tcp 10.120.1.2:80"),
        ("b/b1", "tcp 10.120.1.254:9001"),
    ];
    let closed = [
        ("a/a1", "ping 10.120.1.1"),
        ("a/a2", "tcp 10.120.1.1:80"),
        ("b/b1", "tcp 10.120.0.1:80"),
        ("b/b1", "ping 10.120.0.2"),
        ("b/b1", "tcp 10.120.1.254:9002"),
        ("b/b2", "tcp 10.120.1.254:9001"),
    ];
    bed.packets(true, &open);
    bed.packets(false, &closed);
    let (kept, _) = file.split_once("network_policies").unwrap();
    bed.turns(kept, &[], &["update firewall"]);
    bed.packets(false, &open);
    bed.packets(false, &closed);
}
