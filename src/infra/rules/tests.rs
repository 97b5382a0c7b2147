//! The edges of the rules: what is just still good, and what is just not. `tests/problems` has the rest.

use super::super::model::{GpuPolicy, Infra};
use super::super::problem::Level;
use super::super::sample::{domains, good, machine, said};
use super::{cron, host_rules};
use crate::host::facts::Facts;

/// A file whose `global` holds these fields, in flow style; they start in line 2, column 10.
fn global(fields: &str) -> String {
    format!("project_name: home\nglobal: {{{fields}}}\ndomains: {{}}\n")
}

#[test]
fn names_that_are_just_still_good() {
    let long = "a".repeat(63);
    good(&format!(
        "project_name: 7-of-nine\nglobal: {{}}\ndomains:\n  0-a: {{machines: {{0a: {{}}, {long}: {{}}}}}}\n"
    ));
    let too_long = "a".repeat(64);
    let said = said(&domains(&format!("  {too_long}: {{}}\n")));
    assert_eq!(said.len(), 1);
    assert!(
        said[0].starts_with("4:3 `aaaa") && said[0].ends_with("is too long for a domain name: 64 characters"),
        "{said:?}"
    );
}

#[test]
fn each_wrong_name_is_told_at_its_key() {
    for (lines, expected) in [
        ("  pro:\n    machines:\n      Pro: {}\n", "6:7 `Pro` is not a machine name"),
        ("  pro:\n    machines:\n      a--: {}\n", "6:7 `a--` is not a machine name"),
        (
            "  pro:\n    machines:\n      host: {}\n",
            "6:7 nothing can be called `host`: `host` is the host itself in `network_policies`",
        ),
        ("  pro:\n    profiles:\n      a/b: {}\n", "6:7 `a/b` is not a profile name"),
        ("  pro:\n    profiles:\n      a: {devices: {'': {type: disk}}}\n", "6:21 `` is not a device name"),
        ("  pro:\n    machines:\n      a: {storage_volumes: {.a: {path: /a}}}\n", "6:29 `.a` is not a volume name"),
    ] {
        assert_eq!(said(&domains(lines)), [expected]);
    }
}

#[test]
fn zones_and_addresses_fit_to_the_last_octet() {
    good(&global("addressing: {zone_base: 245, zone_step: 2}"));
    good(&global("addressing: {zone_base: 0, zone_step: 51}"));
    assert_eq!(
        said(&global("addressing: {zone_base: 245, zone_step: 3}")),
        ["2:50 the zones do not fit: `disposable` would be 10.260.…"]
    );
    let pro = |ip: &str| domains(&format!("  pro:\n    subnet_id: 254\n    machines:\n      a: {{ip: {ip}}}\n"));
    for ip in ["10.120.254.1", "10.120.254.99", "10.120.254.150", "10.120.254.253"] {
        good(&pro(ip));
    }
    for (ip, expected) in [
        ("10.120.254.254", "7:15 10.120.254.254 is the gateway of `pro`"),
        ("10.120.253.1", "7:15 10.120.253.1 is not in the network of `pro`, 10.120.254.0/24"),
        ("10.120.254.256", "7:15 `10.120.254.256` is not an IPv4 address"),
        ("10.120.254.01", "7:15 `10.120.254.01` is not an IPv4 address"),
    ] {
        assert_eq!(said(&pro(ip)), [expected]);
    }
}

#[test]
fn a_subnet_id_is_taken_once_per_zone_also_by_a_disabled_domain() {
    good(&domains("  a: {subnet_id: 1}\n  b: {subnet_id: 1, trust_level: admin}\n"));
    assert_eq!(
        said(&domains("  a: {subnet_id: 1, enabled: false}\n  b: {subnet_id: 1}\n")),
        ["5:18 `b` and `a` have the same network: subnet_id 1"]
    );
    let base = "project_name: home\nglobal: {base_subnet: 10.60}\ndomains:\n";
    assert_eq!(
        said(&format!("{base}  a: {{subnet_id: 1}}\n  b: {{subnet_id: 1, trust_level: admin}}\n")),
        ["5:18 `b` and `a` have the same network: subnet_id 1"]
    );
}

#[test]
fn a_zone_has_255_networks() {
    let many = |count: usize| domains(&(0..count).map(|at| format!("  d{at}: {{}}\n")).collect::<Vec<_>>().concat());
    good(&many(255));
    assert_eq!(said(&many(256)), ["259:3 `d255` is the 256th domain of its trust level, and there are 255 networks"]);
}

#[test]
fn base_subnets_are_two_octets() {
    for text in ["10.0", "\"192.168\"", "172.16"] {
        good(&global(&format!("base_subnet: {text}")));
    }
    for text in ["10", "10.0.0", "0.1", "127.0", "224.1", "10.256", "10.", "1e1.0", "10.05"] {
        let said = said(&global(&format!("base_subnet: {text}")));
        assert_eq!(said.len(), 1, "{text}");
        assert!(said[0].starts_with("2:23 `base_subnet` must be two numbers"), "{said:?}");
    }
}

#[test]
fn schedules_are_cron_or_aliases() {
    for good in
        ["@daily", "@startup,@weekly", "0 3 * * *", "*/15 * * * *", "0-30/10 8-18 1,15 jan-jun MON-FRI", "5 4 ? * 0"]
    {
        assert_eq!(cron::schedule(good), Ok(()), "{good}");
    }
    for (wrong, message) in [
        ("", "a schedule has five fields, and this has 0"),
        ("* * * * * *", "a schedule has five fields, and this has 6"),
        ("60 * * * *", "`60` is not a minute"),
        ("* 24 * * *", "`24` is not an hour"),
        ("* * 0 * *", "`0` is not a day of the month"),
        ("* * * 13 *", "`13` is not a month"),
        ("* * * * 7", "`7` is not a day of the week"),
        ("*/0 * * * *", "`*/0` is not a minute"),
        ("9-5 * * * *", "`9-5` is not a minute"),
        ("1,,2 * * * *", "`1,,2` is not a minute"),
        ("@dayly", "`@dayly` is not a schedule"),
        ("@daily @weekly", "`@daily @weekly` is not a schedule"),
    ] {
        assert_eq!(cron::schedule(wrong).map_err(|(message, _)| message), Err(message.to_owned()), "{wrong}");
    }
}

#[test]
fn durations_are_days_hours_or_minutes() {
    assert_eq!(["2d", "3h", "5m"].map(cron::duration), [Ok(172_800), Ok(10_800), Ok(300)]);
    for good in ["1d", "30d", "24h", "60m"] {
        assert!(cron::duration(good).is_ok(), "{good}");
    }
    for (wrong, help) in [
        ("2w", "write days: `14d`"),
        ("1y", "write days: `365d`"),
        ("12H", "write `12h`"),
        ("30 d", "write `30d`"),
        ("7 days", "write `7d`"),
        ("30", "write its unit: `30d` for days, `30h` for hours"),
        ("0d", "write days, hours or minutes: `30d`, `24h`, `60m`"),
        ("-1d", "write days, hours or minutes: `30d`, `24h`, `60m`"),
        ("99999999999d", "write days, hours or minutes: `30d`, `24h`, `60m`"),
        ("d", "write days, hours or minutes: `30d`, `24h`, `60m`"),
    ] {
        assert_eq!(cron::duration(wrong), Err(help.to_owned()), "{wrong}");
    }
}

#[test]
fn a_machine_says_each_thing_once() {
    for (fields, expected) in [
        (
            "boot_autostart: true, config: {boot.autostart: false}",
            "6:44 `boot.autostart` and `boot_autostart` say the same, and both are written",
        ),
        (
            "cloud_init: {vendor_data: '#cloud-config'}, config: {user.vendor-data: x}",
            "6:66 `user.vendor-data` and `cloud_init.vendor_data` say the same, and both are written",
        ),
        ("config: {image.os: x}", "6:22 `image.os` cannot be set: Incus copies it from the image"),
        ("config: {volatile.x: x}", "6:22 `volatile.x` cannot be set: Incus keeps its own notes there"),
        ("devices: {a: {path: /a}}", "6:23 the device `a` has no `type`"),
        ("devices: {a: {type: dsk}}", "6:33 no device has the type `dsk`"),
        ("type: vm, config: {raw.lxc: x}", "6:32 `raw.lxc` is for containers, and `dev` is a virtual machine"),
        ("config: {raw.qemu: x}", "6:22 `raw.qemu` is for virtual machines, and `dev` is a container"),
        ("type: vm, gpu: true", "6:28 `dev` is a virtual machine, and must say which GPU it gets"),
        ("profiles: [default, default]", "6:33 the profile `default` is listed twice"),
    ] {
        assert_eq!(said(&machine(fields)), [expected]);
    }
    good(&machine("boot_autostart: true, config: {boot.autostart.delay: 5, user.anklume: mine}"));
    good(&machine("type: vm, gpu: true, devices: {gpu: {type: gpu, pci: '0000:01:00.0'}}"));
}

#[test]
fn what_is_mounted_in_a_machine_hides_nothing() {
    for (fields, expected) in [
        (
            "devices: {a: {type: disk, path: /a}}, persistent_data: {b: {path: /a/}}",
            "6:69 `dev` would have two things mounted at `/a/`",
        ),
        (
            "devices: {pd-b: {type: none}}, persistent_data: {b: {path: /b}}",
            "6:62 `dev` would have two devices called `pd-b`",
        ),
        ("storage_volumes: {eth0: {path: /b}}", "6:31 `eth0` is the name of a device that every machine has"),
        ("persistent_data: {b: {path: ../b}}", "6:41 `../b` is not an absolute path"),
        ("persistent_data: {b: {path: //}}", "6:41 nothing can be mounted over `/`, the machine's own disk"),
    ] {
        assert_eq!(said(&machine(fields)), [expected]);
    }
    good(&machine(
        "devices: {a: {type: nic}, root: {type: disk, path: /}}, persistent_data: {b: {path: /b}, c: {path: /b/c}}",
    ));
}

#[test]
fn a_shared_volume_collides_in_each_machine_that_sees_it() {
    let shared = |consumers: &str| {
        format!(
            "{}shared_volumes: {{v: {{path: /b, consumers: {consumers}}}}}\n",
            machine("persistent_data: {b: {path: /b}}")
        )
    };
    for consumers in ["{pro: ro}", "{dev: rw}", "{pro: ro, dev: rw}"] {
        assert_eq!(said(&shared(consumers)), ["7:18 `dev` would have two things mounted at `/b`"], "{consumers}");
    }
    assert_eq!(said(&shared("{devv: ro}")), ["7:44 no domain or machine is called `devv`"]);
}

#[test]
fn a_machine_that_nests_is_told_that_it_does_not_get_what_it_is_named_for() {
    let shared = |rest: &str, consumers: &str| {
        let nests = machine("config: {security.nesting: true}, persistent_data: {b: {path: /b}}");
        format!("{nests}shared_volumes: {{v: {{{rest}, consumers: {consumers}}}}}\n")
    };
    good(&shared("path: /b", "{pro: ro}"));
    assert_eq!(said(&shared("path: /b", "{dev: ro}")), ["7:44 `dev` does not get `v`: it can run machines of its own"]);
    good(&shared("propagate: true", "{dev: ro}"));
    assert_eq!(
        said(&shared("propagate: true, path: /b", "{pro: ro}")),
        ["7:18 `dev` would have two things mounted at `/b`"]
    );
}

#[test]
fn the_ends_of_a_policy_are_one_thing_each() {
    let policy = |policy: &str| {
        domains("  pro: {machines: {dev: {}, web: {}}}\n  perso: {machines: {mail: {}}}\n")
            + &format!("network_policies: [{{{policy}}}]\n")
    };
    for text in ["from: pro, to: perso", "from: dev, to: mail", "from: host, to: pro", "from: mail, to: host"] {
        good(&policy(text));
    }
    for (text, expected) in [
        ("from: dev, to: nobody", "6:36 no domain or machine is called `nobody`"),
        (
            "from: dev, to: web",
            "6:36 this opens nothing: both ends are in `pro`, where machines reach each other anyway",
        ),
        ("from: host, to: host", "6:37 both ends are the host"),
        ("from: dev", "6:20 `to` is missing"),
    ] {
        assert_eq!(said(&policy(text)), [expected]);
    }
}

#[test]
fn a_gpu_is_counted_wherever_it_comes_from_but_not_in_disabled_domains() {
    let two = |policy: &str, enabled: bool| {
        format!(
            "project_name: home\nglobal: {{gpu_policy: {policy}}}\ndomains:\n  a: {{machines: {{x: {{gpu: true}}}}}}\n  \
             b: {{enabled: {enabled}, profiles: {{p: {{devices: {{g: {{type: gpu}}}}}}}}, machines: {{y: {{profiles: [p]}}}}}}\n"
        )
    };
    assert_eq!(said(&two("exclusive", true)), ["5:91 `x` and `y` both have the GPU"]);
    good(&two("exclusive", false));
    let warned = super::super::sample::load_text(&two("shared", true));
    let levels: Vec<Level> =
        warned.map(|loaded| loaded.problems.iter().map(|problem| problem.level).collect()).unwrap_or_default();
    assert_eq!(levels, [Level::Warning]);
    assert_eq!(good(&two("shared", false)).global.gpu_policy, GpuPolicy::Shared);
}

fn exclusive(rest: &str) -> String {
    format!(
        "project_name: home\nglobal: {{ai_access_policy: exclusive, ai_access_default: pro}}\n\
         domains: {{pro: {{}}, ai-tools: {{}}}}\n{rest}"
    )
}

#[test]
fn exclusive_ai_access_opens_one_way_to_the_tools() {
    let opened = |infra: &Infra| -> Vec<(String, bool)> {
        infra.network_policies.iter().map(|policy| (policy.from.clone(), policy.bidirectional)).collect()
    };
    assert_eq!(opened(&good(&exclusive(""))), [("pro".to_owned(), true)]);
    let own = good(&exclusive("network_policies: [{from: host, to: ai-tools, ports: [80]}]\n"));
    assert_eq!(opened(&own), [("host".to_owned(), false)]);
    let two = "network_policies: [{from: host, to: ai-tools}, {from: pro, to: ai-tools}]\n";
    assert_eq!(
        said(&exclusive(two)),
        ["4:64 with `ai_access_policy: exclusive`, only one policy may lead to `ai-tools`"]
    );
}

#[test]
fn a_firewall_machine_is_added_unless_there_is_one() {
    let vm = |domains: &str| good(&format!("project_name: home\nglobal: {{firewall_mode: vm}}\ndomains: {domains}\n"));
    let infra = vm("{anklume: {}, pro: {}}");
    let firewall = &infra.domains["anklume"].machines["anklume-firewall"];
    assert!(firewall.vm && firewall.ephemeral == Some(false) && firewall.host_part == Some(253));
    assert_eq!(firewall.config["limits.memory"], "2GiB");
    assert_eq!(firewall.roles, ["base_system", "firewall_router"]);
    for own in ["{pro: {machines: {sys-firewall: {}}}}", "{pro: {machines: {anklume-firewall: {}}}, anklume: {}}"] {
        assert!(vm(own).domains.get("anklume").is_none_or(|domain| domain.machines.is_empty()), "{own}");
    }
}

#[test]
fn a_privileged_container_passes_only_where_something_contains_it() {
    let own = machine("config: {security.privileged: true}");
    let through_profile =
        domains("  pro: {profiles: {p: {config: {security.privileged: 'yes'}}}, machines: {dev: {profiles: [p]}}}\n");
    let levels = |text: &str, facts: &Facts| -> Vec<Level> {
        host_rules(&good(text), facts).iter().map(|problem| problem.level).collect()
    };
    let nested = Facts { vm_nested: true, ..Facts::default() };
    let yolo = Facts { yolo: true, ..Facts::default() };
    for text in [&own, &through_profile] {
        assert_eq!(levels(text, &Facts::default()), [Level::Error]);
        assert_eq!(levels(text, &nested), [Level::Warning]);
        assert_eq!(levels(text, &yolo), [Level::Warning]);
    }
    let overruled = through_profile.replace("[p]", "[p], config: {security.privileged: false}");
    assert_eq!(levels(&overruled, &Facts::default()), []);
}

#[test]
fn a_required_version_is_compared_with_this_one() {
    let asks =
        |version: &str| format!("project_name: home\nrequires_anklume: {version}\nglobal: {{}}\ndomains: {{}}\n");
    good(&asks("\">=0.0.1\""));
    good(&asks("'*'"));
    assert_eq!(
        said(&asks("\"<0.0.1\"")),
        [format!("2:19 this is anklume {}, and the file asks for `<0.0.1`", env!("CARGO_PKG_VERSION"))]
    );
    assert_eq!(said(&asks("newest")), ["2:19 `newest` is not a version requirement"]);
}
