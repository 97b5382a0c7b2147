//! Makes random valid files, in the width of the language that runs in a bed.

use std::fmt::Write;

/// Numbers that come out the same for the same seed.
pub(super) struct Dice(u64);

impl Dice {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// Below `limit`.
    fn roll(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % limit
    }

    fn one_in(&mut self, count: u64) -> bool {
        self.roll(count) == 0
    }

    fn of<'a>(&mut self, list: &[&'a str]) -> &'a str {
        list[usize::try_from(self.roll(list.len() as u64)).unwrap()]
    }
}

const DOMAINS: u64 = 8;
const MACHINES: u64 = 6;
const TRUST: [&str; 5] = ["admin", "trusted", "semi-trusted", "untrusted", "disposable"];

/// A file with up to eight domains of up to six machines; mostly fewer.
pub(super) fn random(dice: &mut Dice) -> String {
    let mut text = String::from("project_name: random\n");
    text.push_str(&global(dice));
    text.push_str("domains:\n");
    let count = 1 + dice.roll(4) + if dice.one_in(6) { 4 } else { 0 };
    let mut ends = Vec::new();
    let mut consumers = Vec::new();
    // Any of the eight may be there, so that domains come and go before and after others.
    let first = dice.roll(DOMAINS);
    for number in 0..count.min(DOMAINS) {
        let name = format!("d{}", (first + number * 3) % DOMAINS);
        let machines = domain(dice, &mut text, &name);
        ends.push(name.clone());
        ends.extend(machines.iter().cloned());
        consumers.extend(machines);
    }
    policies(dice, &mut text, &ends);
    shared(dice, &mut text, &consumers);
    text
}

fn global(dice: &mut Dice) -> String {
    let mut keys = vec!["default_os_image: images:alpine/3.20".to_owned()];
    if dice.one_in(4) {
        keys.push("resource_policy: {overcommit: true, host_reserve: {memory: 50%}}".into());
    }
    if dice.one_in(4) {
        keys.push("default_user: admin".into());
    }
    format!("x-note: {}\nglobal: {{{}}}\n", dice.roll(100), keys.join(", "))
}

/// Writes a domain; the names of its machines that a policy can name.
fn domain(dice: &mut Dice, text: &mut String, name: &str) -> Vec<String> {
    let _ = writeln!(text, "  {name}:");
    let mut key = |line: String| {
        let _ = writeln!(text, "    {line}");
    };
    key(format!("ephemeral: {}", !dice.one_in(5)));
    let number = usize::from(name.as_bytes()[1] - b'0');
    // Mostly the same in every file, so that some networks stay and some move.
    let trust = if dice.one_in(3) { dice.of(&TRUST) } else { TRUST[number % TRUST.len()] };
    key(format!("trust_level: {trust}"));
    // Networks that no other domain has in any file: one that is disabled keeps what it has.
    if dice.one_in(4) {
        key(format!("subnet_id: {}", number + if dice.one_in(2) { 100 } else { 200 }));
    }
    if dice.one_in(3) {
        key(format!("description: Number {}", dice.roll(5)));
    }
    if dice.one_in(4) {
        key("internet: false".into());
    }
    if dice.one_in(8) {
        key("enabled: false".into());
    }
    if dice.one_in(4) {
        key(format!("limits: {{instances: {}, processes: 2000}}", 6 + dice.roll(3)));
        key("x-limited: true".into());
    }
    if dice.one_in(4) {
        key(format!("dns_zone: {name}.{}.arpa", dice.of(&["home", "lab"])));
    }
    if dice.one_in(4) {
        let (way, action) = (dice.of(&["ingress", "egress"]), dice.of(&["allow", "drop", "reject"]));
        key(format!(
            "acl: [{{direction: {way}, action: {action}, protocol: tcp, destination_port: {}}}]",
            dice.roll(90) + 1
        ));
    }
    if dice.one_in(6) {
        key("ai_sanitize: always".into());
        key("file_portal: {allowed_paths: [/srv/in], read_only: true}".into());
    }
    if dice.one_in(5) {
        key(format!("ai_provider: {}", dice.of(&["local", "cloud", "local-first"])));
    }
    key(format!(
        "profiles: {{extra: {{config: {{limits.processes: {}}}, devices: {{words: {{type: disk, source: /usr/share/common-licenses, path: {}, readonly: true}}}}}}}}",
        300 + dice.roll(3),
        dice.of(&["/opt/words", "/mnt/words"]),
    ));
    let _ = writeln!(text, "    machines:");
    let count = 1 + dice.roll(3) + if dice.one_in(6) { 2 } else { 0 };
    let first = dice.roll(MACHINES);
    let names: Vec<String> = (0..count).map(|number| format!("{name}-m{}", (first + number) % MACHINES)).collect();
    for machine in &names {
        let keys = machine_keys(dice, machine);
        let _ = writeln!(text, "      {machine}: {{{}}}", keys.join(", "));
    }
    names
}

fn machine_keys(dice: &mut Dice, name: &str) -> Vec<String> {
    let mut keys = vec![
        // Every one says it, whether or not its domain has a limit of it.
        format!("config: {{{}}}", config(dice).join(", ")),
    ];
    let mut some = |dice: &mut Dice, one_in: u64, key: String| {
        if dice.one_in(one_in) {
            keys.push(key);
        }
    };
    let number = dice.roll(4);
    some(dice, 3, format!("description: 'About {number}'"));
    some(dice, 4, "profiles: [default, extra]".into());
    some(dice, 8, "profiles: [extra, default]".into());
    let ephemeral = dice.one_in(2);
    let state = dice.of(&["running", "stopped", "frozen"]);
    // What is gone when it stops can only run.
    if dice.one_in(8) {
        some(dice, 1, "ephemeral: true, instance_ephemeral: true".into());
    } else {
        some(dice, 6, format!("ephemeral: {ephemeral}"));
        some(dice, 4, format!("state: {state}"));
    }
    some(dice, 5, format!("boot_autostart: {}", number > 1));
    some(dice, 5, format!("boot_priority: {}", number * 7));
    some(dice, 5, "snapshots_schedule: '@daily', snapshots_expiry: 30d".into());
    some(
        dice,
        6,
        format!("cloud_init: {{user_data: {{packages: [p{number}]}}, network_config: {{version: {number}}}}}"),
    );
    some(
        dice,
        5,
        format!("devices: {{null{number}: {{type: unix-char, source: /dev/null, path: /dev/null{number}}}}}"),
    );
    some(dice, 8, "export_apps: [editor]".into());
    some(dice, 6, format!("weight: {}", number + 1));
    some(dice, 6, "roles: [web], services: [{name: s1}]".into());
    some(dice, 6, "health: 'true'".into());
    let path = dice.of(&["/data", "/srv/data"]);
    some(dice, 4, format!("storage_volumes: {{data: {{path: {path}, size: {}MiB}}}}", 10 + number));
    some(dice, 5, format!("persistent_data: {{home: {{path: /home/{number}, readonly: {ephemeral}}}}}"));
    // Another image would be another machine.
    if name.ends_with("m0") {
        keys.push("os_image: images:debian/13".into());
    }
    // A key that was taken twice would be an error of the file.
    keys.dedup_by_key(|key| key.split(':').next().unwrap_or_default().to_owned());
    keys
}

fn config(dice: &mut Dice) -> Vec<String> {
    let mut config = vec![format!("limits.processes: {}", 100 + dice.roll(3))];
    for (one_in, key) in [
        (3, format!("limits.memory: {}MiB", 128 + dice.roll(3))),
        (4, format!("limits.cpu: {}", 1 + dice.roll(2))),
        (4, format!("environment.COLOUR: c{}", dice.roll(3))),
        (4, format!("user.note: '{}'", dice.roll(3))),
        (6, format!("boot.stop.priority: {}", dice.roll(3))),
        (8, "security.nesting: true".to_owned()),
    ] {
        if dice.one_in(one_in) {
            config.push(key);
        }
    }
    config
}

fn policies(dice: &mut Dice, text: &mut String, ends: &[String]) {
    let count = dice.roll(4);
    if count == 0 {
        return;
    }
    text.push_str("network_policies:\n");
    for _ in 0..count {
        let end = |dice: &mut Dice| {
            let at = usize::try_from(dice.roll(ends.len() as u64 + 1)).unwrap();
            ends.get(at).cloned().unwrap_or_else(|| "host".into())
        };
        let (from, mut to) = (end(dice), end(dice));
        if from == to {
            to = if from == "host" { ends[0].clone() } else { "host".into() };
        }
        let ports =
            dice.of(&["", ", ports: [80]", ", ports: [22, 8000-8100], protocol: tcp", ", ports: [53], protocol: udp"]);
        let both = dice.of(&["", ", bidirectional: true"]);
        let _ = writeln!(text, "  - {{from: {from}, to: {to}{ports}{both}}}");
    }
}

fn shared(dice: &mut Dice, text: &mut String, consumers: &[String]) {
    if consumers.is_empty() || !dice.one_in(3) {
        return;
    }
    let at = usize::try_from(dice.roll(consumers.len() as u64)).unwrap();
    let (shift, propagate, mode) = (dice.one_in(2), dice.one_in(2), dice.of(&["ro", "rw"]));
    let keys =
        format!("shift: {shift}, propagate: {propagate}, path: /common, consumers: {{{}: {mode}}}", consumers[at]);
    let _ = writeln!(text, "shared_volumes:\n  common: {{{keys}}}");
}
