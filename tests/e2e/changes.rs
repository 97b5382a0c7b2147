//! Every kind of change of the file: what the plan says of it, and what comes of it in Incus, in the guest and on the
//! wire.

use serde_json::json;

use crate::harness::{Bed, edited};

const HOME: &str = r"
project_name: home
global: {}
domains:
  pro:
    trust_level: trusted
    ephemeral: true
    description: Work
    profiles:
      one: {description: The first, config: {environment.WHO: one, limits.processes: 300}}
      two: {config: {environment.WHO: two}}
    machines:
      dev:
        description: For trying
        profiles: [default, one, two]
        config: {limits.cpu: 1, environment.COLOUR: green, user.note: a}
        devices: {texts: {type: disk, source: /usr/share/common-licenses, path: /opt/texts, readonly: true}}
      web: {}
  play:
    trust_level: untrusted
    ephemeral: true
    machines: {toy: {}}
";

fn home() -> Bed {
    let bed = Bed::up();
    bed.infra(HOME);
    bed.apply(&[]);
    bed
}

#[test]
fn keys_devices_profiles_and_descriptions_change_in_place() {
    let bed = home();
    let pids = (bed.pid("pro", "dev"), bed.pid("pro", "web"));
    let dev = |script: &str| bed.guest("pro", "dev", script).ok().stdout.trim().to_owned();
    assert_eq!(dev("nproc; echo $COLOUR $WHO; ls /opt/texts/GPL-3"), "1\ngreen two\n/opt/texts/GPL-3");

    // Added, changed, removed.
    let mut file =
        edited(HOME, &[("limits.cpu: 1, environment.COLOUR: green", "environment.COLOUR: blue, user.more: b")]);
    let plan = bed.turns(&file, &[], &["update instance dev"]);
    let fields = plan.fields("update instance dev");
    assert_eq!(fields[1..], ["limits.cpu: 1 -> - (live)", "user.more: - -> b (live)"], "{fields:?}");
    assert!(
        fields[0].starts_with("environment.COLOUR: (5 bytes, sha256 ") && fields[0].ends_with("(live)"),
        "{fields:?}"
    );
    assert_eq!(dev("nproc; echo $COLOUR"), format!("{}\nblue", bed.sh("nproc").stdout.trim()));
    let config = bed.machine("pro", "dev")["config"].clone();
    assert_eq!((&config["limits.cpu"], &config["user.more"]), (&json!(null), &json!("b")));

    // Descriptions of everything that has one.
    file = edited(&file, &[("For trying", "For building"), ("Work", "Wages"), ("The first", "Once")]);
    let actions = ["update instance dev", "update network net-pro", "update profile pro/one", "update project pro"];
    let plan = bed.turns(&file, &[], &actions);
    assert_eq!(plan.fields("update project pro"), ["description: Work -> Wages (live)"]);
    assert_eq!(bed.machine("pro", "dev")["description"], "For building");
    assert_eq!(bed.incus("/1.0/networks/net-pro")["description"], "Wages");
    assert_eq!(bed.incus("/1.0/projects/pro")["description"], "Wages");
    assert_eq!(bed.incus("/1.0/profiles/one?project=pro")["description"], "Once");

    // A device: another key, then gone, then another one.
    file = edited(&file, &[("/opt/texts", "/opt/books")]);
    let plan = bed.turns(&file, &[], &["update instance dev"]);
    assert_eq!(plan.fields("update instance dev"), ["texts path: /opt/texts -> /opt/books (live)"]);
    assert_eq!(dev("ls /opt/books/GPL-3; ! ls /opt/texts"), "/opt/books/GPL-3");
    file = edited(
        &file,
        &[(
            "texts: {type: disk, source: /usr/share/common-licenses, path: /opt/books, readonly: true}",
            "web: {type: proxy, listen: \"tcp:127.0.0.1:8090\", connect: \"tcp:127.0.0.1:80\"}",
        )],
    );
    bed.turns(&file, &[], &["update instance dev"]);
    assert_eq!(dev("! ls /opt/books"), "");
    bed.packets(true, &[("host", "tcp 127.0.0.1:8090")]);

    // Profiles: another order, a key of one, one more, one less.
    file = edited(&file, &[("[default, one, two]", "[default, two, one]")]);
    let plan = bed.turns(&file, &[], &["update instance dev"]);
    assert_eq!(plan.fields("update instance dev"), ["profiles: default,one,two -> default,two,one (live)"]);
    assert_eq!(dev("echo $WHO"), "one");
    file = edited(
        &file,
        &[
            ("limits.processes: 300", "limits.processes: 400"),
            ("      two: ", "      three: {config: {user.third: x}}\n      two: "),
        ],
    );
    file = edited(&file, &[("[default, two, one]", "[default, one, three]")]);
    bed.turns(&file, &[], &["create profile pro/three", "update instance dev", "update profile pro/one"]);
    let expanded = bed.machine("pro", "dev")["expanded_config"].clone();
    assert_eq!((&expanded["limits.processes"], &expanded["user.third"]), (&json!("400"), &json!("x")));
    assert_eq!(bed.machine("pro", "dev")["profiles"], json!(["default", "one", "three"]));
    // One that nobody uses any more is not in the way until it is pruned.
    file = edited(&file, &[("      two: {config: {environment.WHO: two}}\n", "")]);
    bed.infra(&file);
    assert_eq!(bed.plan(&[]).held(), ["orphan profile pro/two"]);
    bed.turns(&file, &["--prune"], &["delete profile pro/two"]);
    assert!(!bed.has("/1.0/profiles/two?project=pro"));

    // Of the domain: its limits; of the machine: boot and snapshots, set, changed and unset.
    file = edited(
        &file,
        &[("    description: Wages\n", "    description: Wages\n    limits: {instances: 5, containers: 4}\n")],
    );
    file = edited(
        &file,
        &[(
            "web: {}",
            "web: {boot_autostart: true, boot_priority: 7, snapshots_schedule: '0 6 * * *', snapshots_expiry: 24h}",
        )],
    );
    let plan = bed.turns(&file, &[], &["update instance web", "update project pro"]);
    assert_eq!(
        plan.fields("update project pro"),
        ["limits.containers: - -> 4 (live)", "limits.instances: - -> 5 (live)"]
    );
    file = edited(
        &file,
        &[("{instances: 5, containers: 4}", "{instances: 6}"), ("boot_priority: 7, ", ""), ("24h", "2d")],
    );
    let plan = bed.turns(&file, &[], &["update instance web", "update project pro"]);
    let fields = ["boot.autostart.priority: 7 -> - (live)", "snapshots.expiry: 24H -> 2d (live)"];
    assert_eq!(plan.fields("update instance web"), fields);
    let limits = bed.incus("/1.0/projects/pro")["config"].clone();
    assert_eq!((&limits["limits.instances"], &limits["limits.containers"]), (&json!("6"), &json!(null)));
    let web = bed.machine("pro", "web")["config"].clone();
    let keys = ["boot.autostart", "boot.autostart.priority", "snapshots.schedule", "snapshots.expiry"];
    assert_eq!(keys.map(|key| web[key].clone()), [json!("true"), json!(null), json!("0 6 * * *"), json!("2d")]);
    file = edited(&file, &[("{boot_autostart: true, snapshots_schedule: '0 6 * * *', snapshots_expiry: 2d}", "{}")]);
    bed.turns(&file, &[], &["update instance web"]);
    assert!(keys.iter().all(|key| bed.machine("pro", "web")["config"][key].is_null()));

    assert_eq!((bed.pid("pro", "dev"), bed.pid("pro", "web")), pids, "nobody was restarted");
}

#[test]
fn machines_domains_and_policies_come_and_go() {
    let bed = home();
    let pid = bed.pid("pro", "dev");
    let mut file = edited(HOME, &[("      web: {}", "      web: {}\n      db: {}")]);
    bed.turns(&file, &[], &["create instance db"]);
    assert_eq!(bed.machine("pro", "db")["devices"]["eth0"]["ipv4.address"], "10.110.0.3");

    // A domain in front of the others, whose addresses stay.
    file = edited(
        &file,
        &[("domains:\n", "domains:\n  before: {trust_level: trusted, ephemeral: true, machines: {early: {}}}\n")],
    );
    file.push_str("network_policies:\n  - {from: early, to: web, ports: [80], protocol: tcp}\n");
    let actions = [
        "create instance early",
        "create network net-before",
        "create profile before/default",
        "create project before",
        "update firewall",
    ];
    bed.turns(&file, &[], &actions);
    assert_eq!(bed.incus("/1.0/networks/net-before")["config"]["ipv4.address"], "10.110.1.254/24");
    bed.wait_for_guests(&[
        ("before", "early", "10.110.1.1"),
        ("pro", "web", "10.110.0.2"),
        ("pro", "db", "10.110.0.3"),
    ]);
    bed.packets(true, &[("before/early", "tcp 10.110.0.2:80")]);
    bed.packets(
        false,
        &[("before/early", "tcp 10.110.0.3:80"), ("before/early", "ping 10.110.0.2"), ("pro/web", "tcp 10.110.1.1:80")],
    );

    // The policy: another end, both ways, gone.
    file = edited(&file, &[("to: web, ports: [80], protocol: tcp", "to: db, bidirectional: true")]);
    bed.turns(&file, &[], &["update firewall"]);
    bed.packets(true, &[("before/early", "tcp 10.110.0.3:80"), ("pro/db", "ping 10.110.1.1")]);
    bed.packets(false, &[("before/early", "tcp 10.110.0.2:80"), ("pro/web", "ping 10.110.1.1")]);
    file = edited(&file, &[("  - {from: early, to: db, bidirectional: true}\n", "  []\n")]);
    bed.turns(&file, &[], &["update firewall"]);
    bed.packets(false, &[("before/early", "tcp 10.110.0.3:80"), ("pro/db", "ping 10.110.1.1")]);

    // A domain without a way out, and back.
    file = edited(
        &file,
        &[(
            "    ephemeral: true\n    description: Work",
            "    ephemeral: true\n    internet: false\n    description: Work",
        )],
    );
    let plan = bed.turns(&file, &[], &["update firewall", "update network net-pro"]);
    let expected = ["ipv4.nat: true -> false (live)", "raw.dnsmasq: - -> no-resolv (live)"];
    assert_eq!(plan.fields("update network net-pro"), expected);
    bed.packets(false, &[("pro/web", "tcp 203.0.113.10:80")]);
    bed.packets(true, &[("pro/web", "tcp 10.110.0.3:80"), ("before/early", "tcp 203.0.113.10:80")]);
    file = edited(&file, &[("    internet: false\n", "")]);
    bed.turns(&file, &[], &["update firewall", "update network net-pro"]);
    bed.packets(true, &[("pro/web", "tcp 203.0.113.10:80")]);

    // Taken out: shown, kept, and deleted when that is asked for.
    file = edited(
        &file,
        &[("  before: {trust_level: trusted, ephemeral: true, machines: {early: {}}}\n", ""), ("      db: {}\n", "")],
    );
    bed.infra(&file);
    let plan = bed.plan(&[]);
    let orphans = ["orphan project before", "orphan network net-before", "orphan instance early", "orphan instance db"];
    assert_eq!((plan.actions(), plan.held()), (vec![], orphans.map(str::to_owned).to_vec()));
    let not_in_file = "Plan: 0 to create, 0 to change, 0 to delete; 4 not in the file.";
    bed.anklume(&["plan", "--detailed-exitcode"]).says(&[not_in_file, "`anklume apply --prune` deletes it"]);
    bed.apply(&[]);
    bed.packets(false, &[("before/early", "tcp 10.110.0.3:80"), ("pro/web", "ping 10.110.1.1")]);
    let actions = [
        "delete instance db",
        "delete instance early",
        "delete network net-before",
        "delete project before",
        "update firewall",
    ];
    bed.turns(&file, &["--prune"], &actions);
    assert!(!bed.has("/1.0/projects/before") && !bed.has("/1.0/networks/net-before"));
    assert_eq!(bed.pid("pro", "dev"), pid, "nobody was restarted");
}

#[test]
fn coverage_04_lxc_instances_run_stop_and_freeze_as_the_file_says() {
    let bed = home();
    let stands = || bed.machine("play", "toy")["status"].as_str().unwrap().to_owned();
    let file = |state: &str| edited(HOME, &[("toy: {}", &format!("toy: {{state: {state}}}"))]);
    let steps: [(&str, &[&str]); 8] = [
        ("running", &[]),
        ("frozen", &["pause instance toy"]),
        ("running", &["resume instance toy"]),
        ("stopped", &["stop instance toy"]),
        ("frozen", &["pause instance toy", "start instance toy"]),
        ("stopped", &["stop instance toy"]),
        ("running", &["start instance toy"]),
        ("stopped", &["stop instance toy"]),
    ];
    for (state, actions) in steps {
        bed.turns(&file(state), &[], actions);
        assert_eq!(stands().to_lowercase(), state);
    }
    // Changes reach it where it stands, and do not start it.
    let changed =
        edited(&file("stopped"), &[("state: stopped", "state: stopped, ip: 10.140.0.9, config: {limits.cpu: 1}")]);
    bed.turns(&changed, &[], &["update instance toy"]);
    assert_eq!(stands(), "Stopped");
    bed.turns(&edited(&changed, &[("state: stopped, ", "")]), &[], &["start instance toy"]);
    bed.wait_for_guest("play", "toy", "10.140.0.9");
}

#[test]
fn coverage_06_static_addresses_move_and_are_swapped_when_restarts_are_allowed() {
    let bed = home();
    let pids = (bed.pid("pro", "dev"), bed.pid("pro", "web"));
    let mut file = edited(HOME, &[("web: {}", "web: {ip: 10.110.0.40}")]);
    bed.infra(&file);
    let plan = bed.plan(&[]);
    assert_eq!((plan.actions(), plan.held()), (vec![], vec!["restart instance web: eth0 ipv4.address".into()]));
    bed.try_anklume(&["plan", "--detailed-exitcode"]).code(2).says(&["needs a restart: `anklume apply --restart`"]);
    bed.try_anklume(&["apply", "--yes"]).code(1).says(&["not everything is as the file says: 1 not made"]);
    bed.turns(&file, &["--restart"], &["update instance web"]);
    bed.wait_for_guest("pro", "web", "10.110.0.40");

    // Two swap what they have; a third takes the one that got free.
    file = edited(HOME, &[("web: {}", "web: {ip: 10.110.0.1}"), ("description: For trying", "ip: 10.110.0.40")]);
    bed.infra(&file);
    assert_eq!(bed.plan(&[]).held().len(), 2);
    bed.turns(
        &file,
        &["--restart"],
        &["release instance dev", "release instance web", "update instance dev", "update instance web"],
    );
    bed.wait_for_guests(&[("pro", "dev", "10.110.0.40"), ("pro", "web", "10.110.0.1")]);
    assert_ne!((bed.pid("pro", "dev"), bed.pid("pro", "web")), pids);

    // The whole domain moves to another network, and its machines with it.
    file = edited(HOME, &[("    trust_level: trusted\n", "    trust_level: semi-trusted\n")]);
    bed.infra(&file);
    let before = bed.everything();
    let said = "network net-pro moves from 10.110.0.254/24 to 10.120.0.254/24, and dev, web on it must restart for it";
    bed.try_anklume(&["plan"]).code(1).says(&[said, "`anklume apply --restart`"]);
    bed.try_anklume(&["apply", "--yes"]).code(1).says(&[said]);
    bed.anklume(&["status"]).says(&["differs: network ipv4.address"]);
    bed.is_unchanged(&before);
    let actions = ["update firewall", "update instance dev", "update instance web", "update network net-pro"];
    bed.turns(&file, &["--restart"], &actions);
    bed.wait_for_guests(&[("pro", "dev", "10.120.0.1"), ("pro", "web", "10.120.0.2")]);
    bed.packets(
        true,
        &[("pro/web", "tcp 203.0.113.10:80"), ("pro/web", "ping 10.120.0.254"), ("pro/web", "ping 10.120.0.1")],
    );
    bed.packets(false, &[("pro/web", "ping 10.140.0.1"), ("play/toy", "ping 10.120.0.1")]);
}
