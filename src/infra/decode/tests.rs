//! What is written becomes what is meant: types, defaults, exact texts.

use indexmap::IndexMap;

use super::super::asked::asked;
use super::super::model::{
    Addressing, AiProvider, AiSanitize, Amount, Infra, PortRange, Protocol, ResourcePolicy, RunState, TrustLevel,
};
use super::super::sample::{domains, good, good_machine, load_text, machine, said};

fn pairs<const N: usize>(pairs: [(&str, &str); N]) -> IndexMap<String, String> {
    pairs.map(|(key, value)| (key.to_owned(), value.to_owned())).into()
}

#[test]
fn what_is_not_written_has_its_default() {
    let infra = good("project_name: home\nglobal:\ndomains:\n  pro:\n    machines:\n      dev:\n");
    let global = &infra.global;
    assert_eq!(global.addressing, Addressing::Zones { base: 100, step: 10 });
    assert_eq!(global.default_os_image, "images:debian/13");
    assert_eq!(global.default_connection, "community.general.incus");
    assert_eq!((global.default_pool.as_deref(), global.nesting_prefix), (None, true));
    assert_eq!(global.persistent_data_base, "/srv/anklume/data");
    let pro = &infra.domains["pro"];
    assert_eq!((pro.enabled, pro.ephemeral, pro.internet), (true, false, true));
    assert_eq!((pro.trust_level, pro.subnet_id), (TrustLevel::SemiTrusted, None));
    assert_eq!((pro.ai_provider, pro.ai_sanitize), (AiProvider::Local, None));
    let dev = &pro.machines["dev"];
    assert_eq!(dev.profiles, ["default"]);
    assert_eq!((dev.weight, dev.state, dev.state_written, dev.vm), (1, RunState::Running, false, false));
}

#[test]
fn incus_gets_the_text_that_was_written() {
    let written = "config: {a: true, b: 4, c: 8GiB, d: 1.10, e: 0755, f: 'no', g: \"x: y\", h: 1e3, i: .5, j: +1, k: 0x1F, l: yes, m: ''}";
    let expected = [
        ("a", "true"),
        ("b", "4"),
        ("c", "8GiB"),
        ("d", "1.10"),
        ("e", "0755"),
        ("f", "no"),
        ("g", "x: y"),
        ("h", "1e3"),
        ("i", ".5"),
        ("j", "+1"),
        ("k", "0x1F"),
        ("l", "yes"),
        ("m", ""),
    ];
    assert_eq!(good_machine(written).config, pairs(expected));
}

#[test]
fn texts_of_many_lines_are_whole() {
    let infra = good(&domains(
        "  pro:\n    machines:\n      dev:\n        config:\n          user.a: |\n            one\n              two\n\n          user.b: >-\n            one\n            two\n          user.c: \"a\\tb\\\n            c\"\n",
    ));
    let config = &infra.domains["pro"].machines["dev"].config;
    assert_eq!(*config, pairs([("user.a", "one\n  two\n"), ("user.b", "one two"), ("user.c", "a\tbc")]));
}

#[test]
fn a_key_without_a_value_is_told() {
    for (fields, expected) in [
        ("config: {a: }", "6:22 `a` has no value"),
        ("config: {a: ~}", "6:22 `a` has no value"),
        ("config: {a: null}", "6:22 `a` has no value"),
        ("ip: ", "6:13 `ip` has no value"),
        ("snapshots_expiry: ''", "6:31 `snapshots_expiry` is empty"),
        ("config: {a: [1]}", "6:25 `a` must be a single value, and this is a list"),
        ("config: {a: {b: c}}", "6:22 `a` must be a single value, and this is a map"),
        ("devices: {a: {type: {}}}", "6:27 `type` must be a single value, and this is a map"),
    ] {
        assert_eq!(said(&machine(fields)), [expected]);
    }
    good(&machine("roles: , profiles: [default], config: ~, devices: , services: ~"));
}

#[test]
fn numbers_and_booleans_are_yaml_ones() {
    for (fields, expected) in [
        ("boot_priority: 1.0", "6:28 `boot_priority` must be a whole number from 0 to 100, and this is `1.0`"),
        ("boot_priority: -1", "6:28 `boot_priority` must be a whole number from 0 to 100, and this is `-1`"),
        ("boot_priority: 0x10", "6:28 `boot_priority` must be a whole number from 0 to 100, and this is `0x10`"),
        ("boot_priority: 010", "6:28 `boot_priority` must be a whole number from 0 to 100, and this is `010`"),
        (
            "boot_priority: 99999999999",
            "6:28 `boot_priority` must be a whole number from 0 to 100, and this is `99999999999`",
        ),
        ("boot_priority: '10'", "6:28 `boot_priority` must be a number, and this is a text"),
        ("boot_priority: [10]", "6:28 `boot_priority` must be a whole number from 0 to 100, and this is a list"),
        ("gpu: on", "6:18 `gpu` must be true or false, and this is `on`"),
        ("gpu: 'true'", "6:18 `gpu` must be true or false, and this is `true`"),
        ("gpu: 1", "6:18 `gpu` must be true or false, and this is `1`"),
        ("gpu: !!bool true", "6:25 the tag `!!bool` means nothing here"),
    ] {
        assert_eq!(said(&machine(fields)), [expected]);
    }
    assert_eq!(good_machine("boot_priority: 100").boot_priority, Some(100));
    assert_eq!(good_machine("boot_autostart: False").boot_autostart, Some(false));
    assert!(good_machine("state: running").state_written);
}

#[test]
fn notes_are_ignored_at_every_level() {
    let infra = good(
        "x-a: 1\nproject_name: home\nglobal: {x-b: {y: z}}\ndomains:\n  x-pro: 7\n  pro:\n    x-c: []\n    \
         machines:\n      x-dev: {}\n      dev: {x-d: 1, config: {x-e: 1}, devices: {x-f: 1}}\n",
    );
    assert_eq!(infra.domains.keys().collect::<Vec<_>>(), ["pro"]);
    assert_eq!(infra.domains["pro"].machines.keys().collect::<Vec<_>>(), ["dev"]);
    assert!(infra.domains["pro"].machines["dev"].config.is_empty());
}

#[test]
fn merge_keys_take_over_what_the_map_does_not_say() {
    let infra = good(
        "x-one: &one {weight: 2, gpu: false, x-note: 1}\nx-two: &two {weight: 3, state: stopped}\n\
         project_name: home\nglobal: {}\ndomains:\n  pro:\n    machines:\n      \
         a: {<<: *one}\n      b: {weight: 5, <<: [*two, *one]}\n      c: {<<: {state: frozen}}\n      d: *two\n",
    );
    let machines = &infra.domains["pro"].machines;
    let weights: Vec<u32> = machines.values().map(|machine| machine.weight).collect();
    assert_eq!(weights, [2, 5, 1, 3]);
    let states: Vec<RunState> = machines.values().map(|machine| machine.state).collect();
    assert_eq!(states, [RunState::Running, RunState::Stopped, RunState::Frozen, RunState::Stopped]);
    for (fields, expected) in [
        ("<<: 5", "6:17 `<<` takes over a map or a list of maps, and this is a number"),
        ("<<: {}, <<: {}", "6:21 `<<` is written twice in one map"),
        ("<<: {colour: red}", "6:18 unknown key `colour`"),
        ("\"<<\": {}", "6:13 unknown key `<<`"),
    ] {
        assert_eq!(said(&machine(fields)), [expected]);
    }
}

#[test]
fn ports_are_numbers_and_ranges() {
    let policies = |policies: &str| format!("{}network_policies:\n{policies}", domains("  a: {}\n  b: {}\n"));
    let port = |first, last| PortRange { first, last };
    let opened = |ports: &str| {
        let infra = good(&policies(&format!("  - {{from: a, to: b, {ports}}}\n")));
        (infra.network_policies[0].ports.clone(), infra.network_policies[0].protocol)
    };
    assert_eq!(opened("ports: [22, 8000-8100, \"9 - 10\"]"), (vec![port(22, 22), port(8000, 8100), port(9, 10)], None));
    assert_eq!(opened("ports: all, protocol: udp"), (vec![], Some(Protocol::Udp)));
    assert_eq!(opened("ports: [1, 65535], protocol: tcp"), (vec![port(1, 1), port(65535, 65535)], Some(Protocol::Tcp)));
    for (ports, expected) in [
        ("[0]", "7:30 `0` is not a port"),
        ("[65536]", "7:30 `65536` is not a port"),
        ("[022]", "7:30 `022` is not a port"),
        ("[-1]", "7:30 `-1` is not a port"),
        ("[1-2-3]", "7:30 `1-2-3` is not a port"),
        ("[22.5]", "7:30 `22.5` is not a port"),
        ("[[22]]", "7:30 an item of `ports` must be a text, and this is a list"),
        ("ssh", "7:29 `ports` cannot be `ssh`"),
        ("{a: b}", "7:22 `ports` must be a list or `all`"),
        ("", "7:22 `ports` must be a list or `all`"),
    ] {
        assert_eq!(said(&policies(&format!("  - {{from: a, to: b, ports: {ports}}}\n"))), [expected]);
    }
}

#[test]
fn a_resource_policy_is_true_or_a_map() {
    let policy =
        |text: &str| good(&format!("project_name: home\nglobal: {{resource_policy: {text}}}\ndomains: {{}}\n"));
    let policy = |text: &str| policy(text).global.resource_policy;
    let default = ResourcePolicy {
        reserve_cpu: Amount::Percent(20),
        reserve_memory: Amount::Percent(20),
        proportional: true,
        cpu_count: false,
        memory_soft: true,
        overcommit: false,
    };
    assert_eq!(policy("true"), Some(default.clone()));
    assert_eq!(policy("{}"), Some(default.clone()));
    assert_eq!(policy("false"), None);
    let written = "{host_reserve: {cpu: 1.5, memory: 4GiB}, mode: equal, cpu_mode: count, memory_enforce: hard, overcommit: true}";
    let expected = ResourcePolicy {
        reserve_cpu: Amount::Absolute(1.5),
        reserve_memory: Amount::Absolute(4.0 * 1024.0 * 1024.0 * 1024.0),
        proportional: false,
        cpu_count: true,
        memory_soft: false,
        overcommit: true,
    };
    assert_eq!(policy(written), Some(expected));
    assert_eq!(
        policy("{host_reserve: {cpu: 99%, memory: 1%}}").map(|policy| policy.reserve_cpu),
        Some(Amount::Percent(99))
    );
    for wrong in ["100%", "0%", "0", "-1", "x", "1.5%", "inf", "nan"] {
        let text = format!(
            "project_name: home\nglobal: {{resource_policy: {{host_reserve: {{cpu: {wrong}}}}}}}\ndomains: {{}}\n"
        );
        assert_eq!(said(&text), [format!("2:48 `cpu` must be a share or an amount, and this is `{wrong}`")]);
    }
}

#[test]
fn sizes_are_in_incus_units() {
    for (text, bytes) in
        [("1", 1.0), ("10B", 10.0), ("1kB", 1e3), ("1KiB", 1024.0), ("2MB", 2e6), ("1GiB", 1_073_741_824.0)]
    {
        assert_eq!(super::bytes(text), Some(bytes), "{text}");
    }
    for text in ["", "GiB", "1 GiB", "1.5GiB", "-1GiB", "1gb", "1G", "many"] {
        assert_eq!(super::bytes(text), None, "{text}");
    }
}

#[test]
fn limits_become_incus_keys() {
    let infra = good(&domains("  pro: {limits: {memory: 8GiB, virtual_machines: 0, instances: 3}}\n"));
    let limits = pairs([("limits.instances", "3"), ("limits.virtual-machines", "0"), ("limits.memory", "8GiB")]);
    assert_eq!(infra.domains["pro"].limits, limits);
}

#[test]
fn words_choose_what_they_say() {
    let infra: Infra = good(&domains(
        "  pro:\n    trust_level: disposable\n    ai_provider: local-first\n    ai_sanitize: false\n    acl: [{direction: ingress, action: drop, destination_port: [80, 81], protocol: tcp}]\n",
    ));
    let pro = &infra.domains["pro"];
    assert_eq!(pro.trust_level, TrustLevel::Disposable);
    assert_eq!((pro.ai_provider, pro.ai_sanitize), (AiProvider::LocalFirst, Some(AiSanitize::Off)));
    assert_eq!(pro.acl[0].destination_port.as_deref(), Some("80,81"));
    assert_eq!(
        said(&domains("  pro: {trust_level: addmin, ai_sanitize: 'yes'}\n")),
        ["4:22 `trust_level` cannot be `addmin`", "4:43 `ai_sanitize` cannot be `yes`"]
    );
}

#[test]
fn a_cloud_init_map_becomes_the_document_it_describes() {
    let written = "cloud_init:\n          user_data:\n            packages: [git, 'no']\n            write_files:\n              - path: /a\n                permissions: '0644'\n                mode: 0755\n                content: |\n                  one\n                   two\n              - {path: /b, content: !!binary aGk=, \"on\": ~}\n            empty: []\n            x-kept: {}\n          network_config: |\n            version: 2\n";
    let infra = good(&domains(&format!("  pro:\n    machines:\n      dev:\n        {written}")));
    let cloud_init = &infra.domains["pro"].machines["dev"].cloud_init;
    let expected = "#cloud-config\npackages:\n  - git\n  - \"no\"\nwrite_files:\n  - path: /a\n    permissions: \"0644\"\n    mode: 0755\n    content: |\n      one\n       two\n  - path: /b\n    content: !!binary \"aGk=\"\n    \"on\": ~\nempty: []\nx-kept: {}\n";
    assert_eq!(cloud_init.user_data.as_deref(), Some(expected));
    assert_eq!(cloud_init.network_config.as_deref(), Some("version: 2\n"));
}

/// Those files are what the end-to-end tests of keys begin with.
#[test]
fn no_key_of_the_language_is_left_out_of_the_files_that_have_them_all() {
    for text in
        [include_str!("../../../tests/e2e/keys/everything.yml"), include_str!("../../../tests/e2e/keys/elsewhere.yml")]
    {
        assert!(load_text(text).is_ok());
    }
    for (known, written) in asked() {
        let left_out: Vec<&&str> = known.iter().filter(|key| !written.contains(**key)).collect();
        assert!(left_out.is_empty(), "{left_out:?} of {known:?}");
    }
}
