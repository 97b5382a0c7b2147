//! What a change does to a machine, by example.

use super::*;
use serde_json::json;

fn running(kind: &str) -> Found {
    let listed = json!({"name": "x", "project": "p", "type": kind, "status": "Running", "profiles": ["default"],
        "config": {}, "devices": {"root": {"type": "disk", "path": "/", "pool": "a"}}});
    Instances.found(&listed).unwrap()
}

fn config(key: &str) -> Key {
    Key::Config(key.into())
}

fn device(device: &str, key: &str) -> Key {
    Key::Device(device.into(), key.into())
}

/// What a change of this key does to it, when the file says nothing else.
fn impact(key: &Key, found: &Found) -> Impact {
    impact_with(key, &[], found)
}

/// The same, where the file has these keys.
fn impact_with(key: &Key, fields: &[(Key, &str)], found: &Found) -> Impact {
    impact_on(key, fields, found, None)
}

/// The same, on this server.
fn impact_on(key: &Key, fields: &[(Key, &str)], found: &Found, server: Option<&Server>) -> Impact {
    let fields = fields.iter().map(|(key, value)| (key.clone(), (*value).to_owned())).collect();
    let wanted = Wanted::bare(found.id.clone(), "", fields);
    Instances.impact(key, &wanted, found, server)
}

#[test]
fn a_running_container_takes_limits_at_once_and_privileges_at_the_next_start() {
    let found = running("container");
    assert_eq!(impact(&config("limits.memory"), &found), Impact::Live);
    assert_eq!(impact(&config("security.privileged"), &found), Impact::Restart);
    assert_eq!(impact(&device("eth0", "ipv4.address"), &found), Impact::Restart);
}

#[test]
fn a_running_vm_refuses_what_is_not_on_its_short_list() {
    let found = running("virtual-machine");
    assert_eq!(impact(&config("limits.cpu"), &found), Impact::Live);
    assert_eq!(impact(&config("security.secureboot"), &found), Impact::Restart);
    assert_eq!(impact(&config("user.note"), &found), Impact::Live);
}

#[test]
fn a_running_vm_takes_a_count_of_processors_and_not_a_set_of_them() {
    let cpu = config("limits.cpu");
    for (before, after, expected) in
        [("", "4", Impact::Live), ("4", "", Impact::Live), ("4", "0-3", Impact::Restart), ("0-3", "4", Impact::Restart)]
    {
        let mut found = running("virtual-machine");
        found.fields.extend((!before.is_empty()).then(|| (cpu.clone(), before.to_owned())));
        let wanted = [(cpu.clone(), after)];
        let wanted = if after.is_empty() { &wanted[..0] } else { &wanted };
        assert_eq!(impact_with(&cpu, wanted, &found), expected, "{before} -> {after}");
    }
}

#[test]
fn a_running_vm_takes_memory_where_the_server_can_plug_it_in() {
    let server = |extensions: Value| {
        Server::parse(&json!({"api_extensions": extensions}), &Value::Null, &Value::Null, &Value::Null)
    };
    let impact = |server: &Server| impact_on(&config("limits.memory"), &[], &running("virtual-machine"), Some(server));
    assert_eq!(impact(&server(json!([]))), Impact::Restart);
    assert_eq!(impact(&server(json!(["memory_hotplug"]))), Impact::Live);
}

#[test]
fn a_running_vm_takes_a_disk_at_once_and_a_directory_whole_at_the_next_start() {
    let disk = vec![(device("data", "type"), "disk")];
    let directory = [disk.clone(), vec![(device("data", "path"), "/srv")]].concat();
    for (fields, on_vm) in [(&directory, Impact::Restart), (&disk, Impact::Live)] {
        for key in ["type", "path", "source"] {
            let key = device("data", key);
            assert_eq!(impact_with(&key, fields, &running("container")), Impact::Live);
            assert_eq!(impact_with(&key, fields, &running("virtual-machine")), on_vm, "{key}");
        }
    }
    let mut had = running("virtual-machine");
    had.fields.extend(directory.into_iter().map(|(key, value)| (key, value.to_owned())));
    assert_eq!(impact(&device("data", "type"), &had), Impact::Restart, "taken away");
}

#[test]
fn what_was_paused_by_hand_stays_paused_unless_the_file_says_otherwise() {
    let mut wanted = WantedInstance {
        vm: false,
        image: String::new(),
        files: Vec::new(),
        state: RunState::Running,
        state_written: false,
    };
    assert_eq!(run_state(&wanted, &Status::Frozen), None);
    wanted.state_written = true;
    assert_eq!(run_state(&wanted, &Status::Frozen), Some(crate::plan::Verb::Resume));
}
