//! From nothing to a whole infrastructure, and back to nothing.

use serde_json::json;

use crate::harness::Bed;

/// Four domains, ten machines, and something of everything.
const SHOP: &str = r#"
project_name: shop
global: {}
domains:
  admin:
    trust_level: admin
    description: Looks after the others
    machines:
      adm-ctl: {ip: 10.100.0.10, boot_autostart: true, boot_priority: 90}
  pro:
    trust_level: trusted
    subnet_id: 5
    limits: {instances: 8}
    profiles:
      small: {description: A little of everything, config: {limits.memory: 128MiB, limits.processes: 200}}
      licences:
        devices: {texts: {type: disk, source: /usr/share/common-licenses, path: /opt/licences, readonly: true}}
    machines:
      pro-dev:
        description: Where the work is done
        profiles: [default, small, licences]
        config: {limits.cpu: 1, environment.COLOUR: green}
      pro-web:
        devices: {page: {type: proxy, listen: "tcp:127.0.0.1:8088", connect: "tcp:127.0.0.1:80"}}
        snapshots_schedule: "@daily"
        snapshots_expiry: 60m
      pro-db: {ip: 10.110.5.77, ephemeral: true}
  home:
    trust_level: untrusted
    machines:
      home-a: {}
      home-b: {cloud_init: {user_data: {packages: [less]}}}
      home-idle: {state: stopped}
  a-laboratory:
    trust_level: disposable
    ephemeral: true
    internet: false
    machines:
      lab-1: {os_image: images:alpine/3.20}
      lab-2: {state: frozen}
      lab-3: {instance_ephemeral: true}
network_policies:
  - {description: Upkeep, from: adm-ctl, to: pro, ports: [80], protocol: tcp}
  - {from: home-a, to: pro-web, ports: [80, "8000-8100"], protocol: tcp}
  - {from: pro, to: lab-1}
  - {from: home-b, to: host, ports: [9000], protocol: tcp}
"#;

/// Project, machine and address.
const RUNNING: [(&str, &str, &str); 8] = [
    ("admin", "adm-ctl", "10.100.0.10"),
    ("pro", "pro-dev", "10.110.5.1"),
    ("pro", "pro-web", "10.110.5.2"),
    ("pro", "pro-db", "10.110.5.77"),
    ("home", "home-a", "10.140.0.1"),
    ("home", "home-b", "10.140.0.2"),
    ("a-laboratory", "lab-1", "10.150.0.1"),
    ("a-laboratory", "lab-3", "10.150.0.3"),
];

/// What the file lets through.
const PASS: [(&str, &str); 18] = [
    ("admin/adm-ctl", "tcp 10.110.5.1:80"),
    ("admin/adm-ctl", "tcp 10.110.5.77:80"),
    ("admin/adm-ctl", "tcp 203.0.113.10:80"),
    ("admin/adm-ctl", "ping 10.100.0.254"),
    ("home/home-a", "tcp 10.110.5.2:80"),
    ("home/home-a", "tcp 10.110.5.2:8050"),
    ("home/home-a", "ping 10.140.0.2"),
    ("home/home-a", "ping 203.0.113.10"),
    ("home/home-b", "tcp 10.140.0.254:9000"),
    ("home/home-b", "tcp example.test:80"),
    ("pro/pro-dev", "tcp 10.110.5.2:80"),
    ("pro/pro-dev", "tcp 10.150.0.1:80"),
    ("pro/pro-db", "ping 10.150.0.1"),
    ("a-laboratory/lab-1", "tcp 10.150.0.3:80"),
    ("a-laboratory/lab-1", "ping 10.150.0.254"),
    ("host", "tcp 10.140.0.1:80"),
    ("host", "ping 10.150.0.3"),
    ("host", "tcp 127.0.0.1:8088"),
];

/// What nothing but the table keeps apart.
const WALLED: [(&str, &str); 18] = [
    ("admin/adm-ctl", "ping 10.110.5.1"),
    ("admin/adm-ctl", "tcp 10.110.5.2:8050"),
    ("admin/adm-ctl", "tcp 10.140.0.1:80"),
    ("admin/adm-ctl", "ping 10.140.0.254"),
    ("pro/pro-dev", "tcp 10.100.0.10:80"),
    ("pro/pro-dev", "ping 10.140.0.1"),
    ("pro/pro-dev", "tcp 10.150.0.3:80"),
    ("home/home-a", "tcp 10.110.5.1:80"),
    ("home/home-a", "tcp 10.110.5.2:8101"),
    ("home/home-a", "ping 10.110.5.2"),
    ("home/home-a", "tcp 10.140.0.254:9000"),
    ("home/home-b", "tcp 10.110.5.2:80"),
    ("home/home-b", "tcp 10.140.0.254:9001"),
    ("home/home-b", "tcp 10.110.5.254:9000"),
    ("home/home-b", "tcp 198.51.100.1:9001"),
    ("a-laboratory/lab-1", "ping 10.110.5.1"),
    ("a-laboratory/lab-1", "tcp 10.150.0.254:9000"),
    ("inet", "tcp 10.110.5.1:80"),
];

#[test]
fn a_whole_infrastructure_is_made_from_nothing_and_the_next_plan_is_empty() {
    let bed = Bed::up();
    bed.infra(SHOP);
    let before = bed.everything();
    bed.try_anklume(&["plan", "--detailed-exitcode"])
        .code(2)
        .says(&["\nPlan: 27 to create, 1 to change, 0 to delete.\n"]);
    bed.is_unchanged(&before);

    bed.apply(&[]).says(&["28 done."]);
    bed.plan_is_empty();
    bed.apply(&[]).says(&["Nothing to do"]);

    bed.wait_for_guests(&RUNNING);
    everything_carries_its_marks(&bed);
    machines_are_as_declared(&bed);
    packets_go_as_declared(&bed);
    status_and_table_say_so(&bed);

    bed.anklume(&["destroy", "--yes"]).says(&["pro-db"]);
    assert!(!bed.has("/1.0/instances/lab-1?project=a-laboratory") && !bed.has("/1.0/networks/net-a-la-czemxg"));
    assert!(!bed.has("/1.0/instances/pro-db?project=pro") && bed.has("/1.0/instances/pro-dev?project=pro"));
    bed.anklume(&["destroy", "admin", "pro", "home", "--force", "--yes"]);
    let left = bed.everything();
    assert!(!left.contains("anklume.infra") && !left.contains("table inet anklume"), "left:\n{left}");
}

fn everything_carries_its_marks(bed: &Bed) {
    let kinds = [
        ("/1.0/projects?recursion=1", 4),
        ("/1.0/networks?recursion=1", 4),
        ("/1.0/profiles?recursion=1&all-projects=true", 6),
        ("/1.0/instances?recursion=1&all-projects=true", 10),
    ];
    for (path, count) in kinds {
        let listed = bed.incus(path);
        let mine: Vec<_> = listed
            .as_array()
            .unwrap()
            .iter()
            .filter(|one| {
                let config = &one["config"];
                config["user.anklume.infra"] == "shop"
                    && ["admin", "pro", "home", "a-laboratory"]
                        .contains(&config["user.anklume.domain"].as_str().unwrap())
                    && config["user.anklume.applied"].as_str().is_some_and(|applied| applied.starts_with('['))
            })
            .collect();
        assert_eq!(mine.len(), count, "{path}: {listed:#}");
    }
}

fn machines_are_as_declared(bed: &Bed) {
    let dev = bed.machine("pro", "pro-dev");
    assert_eq!(dev["description"], "Where the work is done");
    assert_eq!(dev["profiles"], json!(["default", "small", "licences"]));
    assert_eq!(dev["expanded_config"]["limits.memory"], "128MiB");
    assert_eq!(dev["config"]["limits.cpu"], "1");
    assert_eq!(dev["config"]["security.protection.delete"], "true");
    bed.guest("pro", "pro-dev", "echo $COLOUR; ls /opt/licences").ok().says(&["green\n", "GPL-3\n"]);
    bed.guest("pro", "pro-dev", "touch /opt/licences/x").code(1).says(&["Read-only"]);
    bed.guest("pro", "pro-web", "cat /etc/os-release").says(&["ID=debian"]);
    bed.guest("a-laboratory", "lab-1", "cat /etc/os-release").says(&["ID=alpine"]);

    let web = bed.machine("pro", "pro-web")["config"].clone();
    assert_eq!((&web["snapshots.schedule"], &web["snapshots.expiry"]), (&json!("@daily"), &json!("60M")));
    let control = bed.machine("admin", "adm-ctl")["config"].clone();
    assert_eq!((&control["boot.autostart"], &control["boot.autostart.priority"]), (&json!("true"), &json!("90")));
    let data = bed.machine("home", "home-b")["config"]["cloud-init.user-data"].clone();
    assert_eq!(data, "#cloud-config\npackages:\n  - less\n");

    let stands = |project, name| bed.machine(project, name)["status"].clone();
    assert_eq!((stands("home", "home-idle"), stands("a-laboratory", "lab-2")), (json!("Stopped"), json!("Frozen")));
    assert_eq!(bed.machine("a-laboratory", "lab-3")["ephemeral"], true);
    assert_eq!(bed.incus("/1.0/projects/pro")["config"]["limits.instances"], "8");
    assert_eq!(bed.incus("/1.0/projects/admin")["description"], "Looks after the others");
}

fn packets_go_as_declared(bed: &Bed) {
    bed.guest("pro", "pro-web", "httpd -p 8050 -h /var/www; httpd -p 8101 -h /var/www").ok();
    bed.sh("for port in 9000 9001; do busybox httpd -p $port -h /run/bed/www; done").ok();
    bed.inet("ip route add 10.110.5.0/24 via 198.51.100.1").ok();
    bed.packets(true, &PASS);
    bed.packets(false, &WALLED);
    // `internet: false`: a way out there is, by the host's own masquerading, and the table closes it.
    bed.sh("nft 'add table ip out; add chain ip out post { type nat hook postrouting priority 100; }
                 add rule ip out post oifname up0 masquerade'")
        .ok();
    bed.packets(false, &[("a-laboratory/lab-1", "tcp 203.0.113.10:80")]);
    // The same packets pass without the table: it was the table that dropped them.
    bed.sh("nft delete table inet anklume").ok();
    bed.packets(true, &WALLED);
    bed.packets(true, &[("a-laboratory/lab-1", "tcp 203.0.113.10:80")]);
    assert_eq!(bed.plan(&[]).actions(), ["create firewall"]);
    bed.apply(&[]);
    bed.packets(false, &WALLED);
    bed.packets(true, &PASS);
    bed.sh("nft delete table ip out").ok();
}

fn status_and_table_say_so(bed: &Bed) {
    let status = bed.anklume(&["status"]);
    status.says(&["pro-dev", "10.110.5.77", "Frozen", "Stopped", "in force"]).says_not(&["differs"]);
    let status = bed.anklume(&["status", "--format", "json"]).json();
    let names: Vec<_> = status["domains"].as_array().unwrap().iter().map(|domain| domain["name"].clone()).collect();
    assert_eq!(names, ["admin", "pro", "home", "a-laboratory"]);
    assert_eq!(status["domains"][1]["machines"][0]["state"], "Running");
    assert_eq!(status["domains"][1]["machines"][0]["drift"], json!([]));
    bed.anklume(&["firewall", "show"]).says(&["net-pro", "adm-ctl", "pro-web"]);
}
