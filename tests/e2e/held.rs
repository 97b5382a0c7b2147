//! What a plan does not do by itself: restarts, rebuilds, what Incus cannot change, and the deletion of anything.

use serde_json::json;

use crate::harness::{Bed, edited};

const HELD: &str = "
project_name: held
global: {}
domains:
  safe:
    machines: {vault: {}, desk: {ephemeral: true}}
  work:
    ephemeral: true
    profiles: {tight: {config: {limits.processes: 200}}}
    machines:
      web: {profiles: [default, tight]}
      ice: {profiles: [default, tight], state: frozen}
      off: {profiles: [default, tight], state: stopped}
      fly: {profiles: [default, tight], instance_ephemeral: true}
";

fn held() -> Bed {
    let bed = Bed::up();
    bed.infra(HELD);
    bed.apply(&[]);
    bed
}

#[test]
fn coverage_09_instance_config_changes_live_or_waits_for_a_word_and_leaves_machines_as_they_stood() {
    let bed = held();
    let pids = || ["web", "ice", "fly"].map(|name| bed.pid("work", name));
    let stand =
        || ["web", "ice", "off", "fly"].map(|name| bed.machine("work", name)["status"].as_str().unwrap().to_owned());
    let as_declared = ["Running", "Frozen", "Stopped", "Running"];
    let before = pids();

    // Of one machine: what can be made at once is made, the rest waits.
    let mut file =
        edited(HELD, &[("web: {profiles", "web: {config: {limits.kernel.nofile: 5000, user.note: x}, profiles")]);
    bed.infra(&file);
    let plan = bed.plan(&[]);
    assert_eq!(plan.held(), ["restart instance web: limits.kernel.nofile"]);
    assert_eq!(plan.fields("update instance web"), ["user.note: - -> x (live)"]);
    bed.try_anklume(&["apply", "--yes"]).code(1).says(&["1 done.", "1 not made", "`anklume apply --restart`"]);
    let config = bed.machine("work", "web")["config"].clone();
    assert_eq!((&config["user.note"], &config["limits.kernel.nofile"]), (&json!("x"), &json!(null)));
    bed.try_anklume(&["plan", "--detailed-exitcode"]).code(2).says(&["0 to change, 0 to delete; 1 not made."]);
    assert_eq!(pids(), before);
    bed.turns(&file, &["--restart"], &["update instance web"]);
    assert_eq!(bed.guest("work", "web", "ulimit -n").ok().stdout, "5000\n");
    assert_ne!(pids()[0], before[0]);
    assert_eq!(pids()[1..], before[1..]);
    assert_eq!(stand(), as_declared);

    // Of a profile: all who use it and run.
    file = edited(&file, &[("limits.processes: 200", "limits.processes: 200, limits.kernel.nproc: 3000")]);
    bed.infra(&file);
    assert_eq!(bed.plan(&[]).held(), ["restart profile work/tight: limits.kernel.nproc"]);
    let before = pids();
    bed.turns(&file, &["--restart"], &["update profile work/tight"]);
    assert!(pids().iter().zip(before).all(|(now, before)| *now != before), "all of them were restarted");
    assert_eq!(stand(), as_declared);
    assert_eq!(bed.guest("work", "fly", "ulimit -p || ulimit -u").ok().stdout, "3000\n");

    // It goes the same way that it came.
    file = edited(&file, &[(", limits.kernel.nproc: 3000", ""), ("limits.kernel.nofile: 5000, ", "")]);
    bed.turns(&file, &["--restart"], &["update instance web", "update profile work/tight"]);
    assert_eq!(stand(), as_declared);
}

#[test]
fn what_incus_cannot_change_in_place_is_shown_with_what_can_be_done() {
    let bed = held();
    bed.sh("incus storage create second dir").ok();
    let pid = bed.pid("work", "web");

    let image = edited(HELD, &[("web: {", "web: {os_image: images:alpine/3.20, ")]);
    bed.infra(&image);
    let plan = bed.plan(&["--restart"]);
    assert_eq!((plan.actions(), plan.held()), (vec![], vec!["rebuild instance web: image".to_owned()]));
    bed.try_anklume(&["plan", "--detailed-exitcode"]).code(2).says(&["images:debian/13 → images:alpine/3.20  rebuild"]);
    let said = ["1 not made", "`anklume apply --replace web` makes it anew", "keeps the one that is there"];
    bed.try_anklume(&["apply", "--yes", "--restart"]).code(1).says(&said);

    bed.infra(&edited(HELD, &[("web: {", "web: {type: vm, ")]));
    assert_eq!(bed.plan(&["--restart"]).held(), ["rebuild instance web: type"]);

    let root = "devices: {root: {type: disk, path: /, pool: second}}";
    bed.infra(&edited(HELD, &[("web: {", &format!("web: {{{root}, "))]));
    assert_eq!(bed.plan(&["--restart"]).held(), ["refused instance web: root path, root pool, root type"]);
    bed.try_anklume(&["apply", "--yes"]).code(1).says(&["1 not made", "another pool"]);
    bed.infra(&edited(HELD, &[("{tight: {", &format!("{{tight: {{{root}, "))]));
    assert_eq!(bed.plan(&["--restart"]).held(), ["refused profile work/tight: root path, root pool, root type"]);
    bed.try_anklume(&["apply", "--yes"]).code(1).says(&["1 not made", "another pool"]);
    bed.infra(&edited(HELD, &[("global: {}", "global: {default_pool: second}")]));
    let refused = ["refused profile safe/default: root pool", "refused profile work/default: root pool"];
    assert_eq!(bed.plan(&["--restart"]).held(), refused);
    assert_eq!(bed.pid("work", "web"), pid);

    // The advice is good.
    let actions = ["create image images:alpine/3.20", "create instance web", "keep instance web"];
    bed.infra(&image);
    assert_eq!(bed.plan(&["--replace", "web"]).sorted(), actions);
    bed.apply(&["--replace", "web"]);
    bed.plan_is_empty();
    bed.guest("work", "web", "cat /etc/os-release").says(&["ID=alpine"]);
}

#[test]
fn coverage_13_what_is_protected_goes_only_by_name_and_by_force() {
    let bed = held();
    let protection = |name: &str| bed.machine("safe", name)["config"]["security.protection.delete"].clone();
    assert_eq!((protection("vault"), protection("desk")), (json!("true"), json!(null)));
    // Incus stops it for a forced deletion, and then refuses.
    bed.sh("incus delete -f vault --project safe").code(1);
    bed.turns(HELD, &[], &["start instance vault"]);

    // On and off again.
    let swapped = edited(HELD, &[("vault: {}, desk: {ephemeral: true}", "vault: {ephemeral: true}, desk: {}")]);
    bed.turns(&swapped, &[], &["update instance desk", "update instance vault"]);
    assert_eq!((protection("vault"), protection("desk")), (json!(null), json!("true")));
    bed.turns(HELD, &[], &["update instance desk", "update instance vault"]);

    // Left the file: kept, whatever is pruned; what needs it is kept too.
    let file = edited(HELD, &[("vault: {}, desk: {ephemeral: true}", "")]);
    bed.infra(&file);
    assert_eq!(bed.plan(&[]).held(), ["orphan instance desk", "protected instance vault"]);
    bed.turns(&file, &["--prune"], &["delete instance desk"]);
    assert!(bed.has("/1.0/instances/vault?project=safe"));
    bed.try_anklume(&["plan", "--prune"]).says(&["protected; `anklume destroy vault --force` deletes it"]);
    let gone = file.replace("  safe:\n    machines: {}\n", "");
    bed.infra(&gone);
    bed.anklume(&["apply", "--yes", "--prune"]);
    let kept = ["protected project safe", "protected network net-safe", "protected instance vault"];
    assert_eq!(bed.plan(&["--prune"]).held(), kept);

    // Domains and machines by name.
    bed.try_anklume(&["destroy", "--yes", "vault"])
        .code(1)
        .says(&["1 of what was named stay", "`--force` also deletes"]);
    bed.try_anklume(&["destroy", "--yes", "vaults"]).code(1).says(&["called `vaults`, so nothing was deleted"]);
    bed.anklume(&["destroy", "--yes", "vault", "--force"]).says(&["1 deleted."]);
    assert!(!bed.has("/1.0/instances/vault?project=safe") && bed.has("/1.0/projects/safe"));
    bed.anklume(&["destroy", "--yes", "safe", "--force"]);
    assert!(!bed.has("/1.0/projects/safe") && !bed.has("/1.0/networks/net-safe"));
    bed.plan_is_empty();
    // Without a name nothing protected goes, whatever else is said.
    bed.infra(HELD);
    bed.apply(&[]);
    bed.anklume(&["destroy", "--yes", "--force"]);
    assert!(bed.has("/1.0/instances/vault?project=safe") && !bed.has("/1.0/projects/work"));
    assert!(bed.sh("nft list table inet anklume").ok().stdout.contains("net-safe"));
}

#[test]
fn a_disabled_domain_stays_as_it_is() {
    let bed = held();
    let before = bed.everything();
    let off = edited(HELD, &[("  work:\n", "  work:\n    enabled: false\n")]);
    let off =
        edited(&off, &[("limits.processes: 200", "limits.processes: 300"), ("web: {", "web: {ip: 10.120.1.77, ")]);
    bed.infra(&off);
    let plan = bed.plan(&["--prune"]);
    assert_eq!((plan.actions(), plan.held()), (vec![], vec![]));
    bed.apply(&["--prune"]);
    bed.is_unchanged(&before);
    bed.packets(
        false,
        &[("work/web", "ping 10.120.0.1"), ("safe/vault", "ping 10.120.1.1"), ("work/web", "tcp 198.51.100.1:22")],
    );
    // Its network stays taken.
    bed.infra(&(off + "  zoo: {ephemeral: true, machines: {ape: {}}}\n"));
    bed.apply(&[]);
    assert_eq!(bed.incus("/1.0/networks/net-zoo")["config"]["ipv4.address"], "10.120.2.254/24");
    // Disabled before it was ever made, nothing of it comes.
    bed.infra(
        &(HELD.to_owned()
            + "  zoo: {ephemeral: true, machines: {ape: {}}}\n  new: {enabled: false, machines: {one: {}}}\n"),
    );
    bed.plan_is_empty();
}
