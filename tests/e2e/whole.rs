//! From nothing to a whole infrastructure, and back to nothing.

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

#[test]
fn a_whole_infrastructure_is_made_from_nothing_and_the_next_plan_is_empty() {
    let bed = Bed::up();
    bed.infra(SHOP);
    let before = bed.everything();
    bed.anklume(&["plan"]).says(&["\nPlan: 27 to create, 1 to change, 0 to delete.\n"]);
    assert_eq!(bed.everything(), before, "a plan writes nothing");
    bed.apply(&[]);
    bed.plan_is_empty();
    bed.wait_for_guests(&RUNNING);
}
