//! Rows 10 and 31: storage volumes are made, sized, attached, resized and kept; directories of the host are shared with
//! machines and outlive them.

use crate::harness::{Bed, edited, skip};

/// A domain that may be deleted, on a pool with quotas.
const STORE: &str = "
project_name: store
global: {default_os_image: images:alpine/3.20}
domains:
  pro:
    ephemeral: true
    machines:
      dev:
        storage_volumes:
          data: {path: /data, size: 20MiB}
          more: {path: /more}
      web:
        storage_volumes:
          data: {path: /srv/data}
";

/// A volume, as Incus has it.
fn volume(bed: &Bed, pool: &str, name: &str) -> serde_json::Value {
    bed.incus(&format!("/1.0/storage-pools/{pool}/volumes/custom/{name}?project=pro"))
}

/// Nothing is left to do, though something that is kept is still told.
#[track_caller]
fn only_kept(bed: &Bed, held: &[&str]) {
    let plan = bed.plan(&["--detailed-exitcode"]);
    assert_eq!((plan.actions(), plan.held()), (Vec::<String>::new(), held.iter().map(ToString::to_string).collect()));
}

/// Writes so many MiB into `/data`.
fn fill(bed: &Bed, size: u32) -> crate::harness::Output {
    bed.guest(
        "pro",
        "dev",
        &format!("dd if=/dev/urandom of=/data/big bs=1M count={size} && sync && rm /data/big && sync"),
    )
}

#[test]
fn coverage_10_storage_volumes_are_made_sized_attached_resized_and_moved_in_their_machine() {
    let bed = Bed::bare(&["--pool", "btrfs"]).unwrap();
    bed.infra(STORE);
    let plan = bed.plan(&[]).actions();
    for action in ["create volume default/dev-data", "create volume default/dev-more", "create volume default/web-data"]
    {
        assert!(plan.contains(&action.to_owned()), "{plan:#?}");
    }
    bed.apply(&[]);
    bed.plan_is_empty();
    let made = volume(&bed, "default", "dev-data");
    assert_eq!((&made["content_type"], &made["config"]["size"]), (&"filesystem".into(), &"20MiB".into()));
    assert_eq!(made["config"]["user.anklume.infra"], "store");
    assert_eq!(made["used_by"][0], "/1.0/instances/dev?project=pro");
    assert_eq!(volume(&bed, "default", "web-data")["used_by"][0], "/1.0/instances/web?project=pro");
    bed.guest("pro", "dev", "mount | grep -q ' on /data ' && echo kept > /data/f && echo more > /more/f").ok();
    fill(&bed, 10).ok();
    fill(&bed, 40).code(1).says(&["Disk quota exceeded"]);
    bed.guest("pro", "dev", "rm /data/big").ok();

    bed.sh("incus restart -f dev --project pro").ok();
    bed.guest("pro", "dev", "cat /data/f").ok().says(&["kept\n"]);

    let before = bed.pid("pro", "dev");
    bed.infra(&edited(STORE, &[("20MiB", "60MiB"), ("path: /more", "path: /moved")]));
    assert_eq!(bed.plan(&[]).actions(), ["update volume default/dev-data", "update instance dev"]);
    assert_eq!(bed.plan(&[]).fields("update volume default/dev-data"), ["size: 20MiB -> 60MiB (live)"]);
    assert_eq!(bed.plan(&[]).fields("update instance dev"), ["more path: /more -> /moved (live)"]);
    bed.apply(&[]);
    bed.plan_is_empty();
    assert_eq!(bed.pid("pro", "dev"), before, "all of it while it ran");
    fill(&bed, 40).ok();
    bed.guest("pro", "dev", "cat /moved/f; mount").ok().says(&["more\n"]).says_not(&[" on /more "]);
    // What Incus notes of the owners in a volume is still there: it attaches in another place without going over it.
    assert!(volume(&bed, "default", "dev-data")["config"]["volatile.idmap.last"].is_string());

    // Where files have a quota a volume shrinks too, but not under what is in it.
    bed.guest("pro", "dev", "dd if=/dev/urandom of=/data/big bs=1M count=30 && sync").ok();
    bed.infra(&edited(STORE, &[("20MiB", "4MiB"), ("path: /more", "path: /moved")]));
    bed.try_anklume(&["apply", "--yes"]).code(2).says(&["`data` holds 30 MiB, more than 4MiB", "size: 4MiB"]);
    bed.infra(&edited(STORE, &[("20MiB", "50MiB"), ("path: /more", "path: /moved")]));
    bed.apply(&[]);
    fill(&bed, 60).code(1).says(&["Disk quota exceeded"]);
    bed.plan_is_empty();
    another_pool_is_the_users_to_move_to(&bed);
}

#[test]
fn coverage_10_storage_volumes_outlive_the_file_their_machine_and_their_domain() {
    let bed = Bed::up();
    bed.infra(STORE);
    bed.apply(&[]);
    bed.guest("pro", "dev", "echo data > /data/f; echo more > /more/f").ok();

    // It leaves the file: detached, kept, told with the command that deletes it.
    let without = edited(STORE, &[("          more: {path: /more}\n", "")]);
    bed.infra(&without);
    let told = [
        "volume default/dev-more  not in the file; kept with its data; `incus storage volume delete default dev-more --project pro` deletes it",
    ];
    bed.anklume(&["plan"]).says(&told);
    bed.apply(&["--prune"]);
    bed.guest("pro", "dev", "mount").ok().says_not(&[" on /more "]);
    only_kept(&bed, &["kept volume default/dev-more"]);
    bed.anklume(&["status"]).says(&["volume default/dev-more: not in the file"]).says_not(&["differs"]);

    // It comes back into the file: attached again, with what was in it.
    bed.infra(STORE);
    assert_eq!(bed.plan(&[]).actions(), ["update instance dev"]);
    bed.apply(&[]);
    bed.guest("pro", "dev", "cat /more/f").ok().says(&["more\n"]);
    bed.plan_is_empty();

    // Its machine goes and is made anew.
    bed.anklume(&["destroy", "dev", "--yes"]).says(&["volume default/dev-data  kept with its data", "1 deleted."]);
    assert_eq!(bed.plan(&[]).actions(), ["create instance dev"]);
    bed.apply(&[]);
    bed.guest("pro", "dev", "cat /data/f /more/f").ok().says(&["data\nmore\n"]);
    bed.plan_is_empty();
    one_that_a_user_made_is_taken_over(&bed);

    // Its domain leaves the file: all goes but the volumes and what they need.
    bed.sh("incus snapshot create web s --project pro; incus storage volume snapshot create default web-data s --project pro").ok();
    bed.infra("project_name: store\nglobal: {}\ndomains: {}\n");
    bed.apply(&["--prune"]).says(&["project pro  still needed by volume default/dev-data"]);
    let kept = ["default/dev-data", "default/dev-more", "default/dev-own", "default/web-data"];
    let kept: Vec<String> = kept.iter().map(|name| format!("kept volume {name}")).collect();
    let around = ["kept project pro", "kept network net-pro"].map(str::to_owned);
    let held: Vec<&str> = around.iter().chain(&kept).map(String::as_str).collect();
    assert_eq!(bed.plan(&["--prune"]).held(), held);
    assert_eq!(bed.incus("/1.0/instances?project=pro"), serde_json::json!([]));
    bed.anklume(&["destroy", "pro", "--force", "--yes"]).says(&["Nothing to delete; 6 stay."]);
    // With them gone, by the commands that are told, the rest goes.
    let commands = "$ANKLUME destroy pro 2>&1 | sed -n 's/.*`\\(incus storage volume delete [^`]*\\)`.*/\\1/p'";
    assert_eq!(bed.sh(&format!("{commands} | tee /dev/stderr | sh")).ok().stderr.lines().count(), 4);
    bed.anklume(&["destroy", "pro", "--force", "--yes"]).says(&["3 deleted."]);
    assert!(!bed.has("/1.0/projects/pro") && !bed.has("/1.0/networks/net-pro"));
}

fn one_that_a_user_made_is_taken_over(bed: &Bed) {
    bed.sh("incus storage volume create default dev-own user.note=mine --project pro </dev/null").ok();
    bed.infra(&edited(STORE, &[("          more:", "          own: {path: /own}\n          more:")]));
    let plan = bed.plan(&[]);
    assert_eq!(plan.actions(), ["adopt volume default/dev-own", "update instance dev"]);
    bed.apply(&[]);
    bed.plan_is_empty();
    let config = volume(bed, "default", "dev-own")["config"].clone();
    assert_eq!((&config["user.note"], &config["user.anklume.infra"]), (&"mine".into(), &"store".into()));
}

fn another_pool_is_the_users_to_move_to(bed: &Bed) {
    bed.sh("incus storage create other dir </dev/null").ok();
    let moved =
        [("path: /data, size: 20MiB", "pool: other, path: /data, size: 50MiB"), ("path: /more", "path: /moved")];
    let moved = edited(STORE, &moved);
    bed.infra(&moved);
    let plan = bed.plan(&[]);
    assert_eq!((plan.actions().len(), plan.held()), (0, vec!["refused volume default/dev-data: pool".to_owned()]));
    let by_hand = "incus storage volume move default/dev-data other/dev-data --project pro";
    bed.try_anklume(&["apply", "--yes"]).code(1).says(&[by_hand]);
    bed.guest("pro", "dev", "cat /data/f").ok();
    // Incus takes half a minute to move it from under a machine, be it stopped.
    bed.anklume(&["destroy", "dev", "--yes"]);
    bed.sh(by_hand).ok();
    assert_eq!(bed.plan(&[]).actions(), ["create instance dev"]);
    bed.apply(&[]);
    bed.plan_is_empty();
    bed.guest("pro", "dev", "cat /data/f").ok().says(&["kept\n"]);
}

#[test]
fn a_raw_disk_grows_when_its_machine_may_restart_and_never_shrinks() {
    let bed = match Bed::bare(&["--vm"]) {
        Ok(bed) => bed,
        Err(why) => return skip("a_raw_disk_grows_when_its_machine_may_restart_and_never_shrinks", &why),
    };
    let disk = |size: &str| {
        format!(
            "project_name: raw\nglobal: {{}}\ndomains:\n  pro:\n    ephemeral: true\n    machines:\n      vm:\n        type: vm
        config: {{limits.memory: 256MiB}}\n        storage_volumes:\n          raw: {{content_type: block, size: {size}}}\n"
        )
    };
    bed.infra(&disk("20MiB"));
    bed.apply(&[]);
    bed.plan_is_empty();
    assert_eq!(volume(&bed, "default", "vm-raw")["content_type"], "block");
    assert_eq!(bed.machine("pro", "vm")["devices"]["raw"]["source"], "vm-raw");

    bed.infra(&disk("40MiB"));
    let plan = bed.plan(&[]);
    assert_eq!((plan.actions().len(), plan.held()), (0, vec!["restart volume default/vm-raw: size".to_owned()]));
    let before = bed.pid("pro", "vm");
    // What boots here has no ear for the power button: a frozen one is cut off.
    bed.sh("incus pause vm --project pro").ok();
    bed.apply(&["--restart"]);
    assert_ne!(bed.pid("pro", "vm"), before);
    bed.plan_is_empty();
    let size = "stat -c %s /var/lib/incus/storage-pools/default/custom/pro_vm-raw/root.img";
    bed.sh(size).ok().says(&["41943040\n"]);

    bed.infra(&disk("30MiB"));
    assert_eq!(bed.plan(&["--restart"]).held(), ["refused volume default/vm-raw: size"]);
    bed.anklume(&["plan"]).says(&["a raw disk cannot shrink"]);
    // Attached by hand on a stopped machine it would not be told from the file: there it grows at once.
    bed.sh("incus stop -f vm --project pro").ok();
    bed.infra(&edited(&disk("50MiB"), &[("type: vm", "type: vm\n        state: stopped")]));
    assert_eq!(bed.plan(&[]).fields("update volume default/vm-raw"), ["size: 40MiB -> 50MiB (live)"]);
    bed.apply(&[]);
    bed.plan_is_empty();
}

const SHARES: &str = "
project_name: shares
global: {default_os_image: images:alpine/3.20, persistent_data_base: /srv/data}
domains:
  pro:
    machines:
      dev:
        persistent_data:
          notes: {path: /notes}
          papers: {path: /papers, readonly: true}
      deep: {config: {security.nesting: true}}
  perso:
    ephemeral: true
    machines: {mail: {}}
shared_volumes:
  docs: {consumers: {pro: ro, mail: rw}}
  all: {source: /srv/all, path: /all, propagate: true, consumers: {pro: rw}}
";

#[test]
fn coverage_31_shared_and_persistent_data_has_the_right_owners_and_outlives_machines() {
    let bed = Bed::up();
    bed.infra(SHARES);
    let directories = ["/srv/all", "/srv/anklume/shares/docs", "/srv/data/pro/dev/notes", "/srv/data/pro/dev/papers"];
    let made: Vec<String> = directories.iter().map(|path| format!("create directory {path}")).collect();
    let plan = bed.plan(&[]).actions();
    assert_eq!(plan.iter().filter(|action| action.contains("directory")).cloned().collect::<Vec<_>>(), made);
    bed.apply(&[]);
    bed.plan_is_empty();
    let modes = bed.sh(&format!("stat -c '%a %u:%g' {}", directories.join(" "))).ok();
    assert_eq!(modes.stdout, "755 0:0\n".repeat(4));

    // The guest's root is the host's, as far as the directory goes; so is everybody else.
    bed.guest("pro", "dev", "echo mine > /notes/f; touch /notes/g; chown 1000:1000 /notes/g").ok();
    bed.sh("stat -c '%n %u:%g' /srv/data/pro/dev/notes/*").ok().says(&["notes/f 0:0\n", "notes/g 1000:1000\n"]);
    bed.sh("echo paper > /srv/data/pro/dev/papers/p; chown 1234 /srv/data/pro/dev/papers/p").ok();
    bed.guest("pro", "dev", "cat /papers/p; stat -c %u /papers/p").ok().says(&["paper\n1234\n"]);
    bed.guest("pro", "dev", "touch /papers/x").code(1).says(&["Read-only"]);

    // One writes, the other reads; a machine that nests sees what propagates.
    bed.guest("perso", "mail", "echo hello > /shared/docs/f").ok();
    bed.guest("pro", "dev", "cat /shared/docs/f").ok().says(&["hello\n"]);
    bed.guest("pro", "dev", "echo no > /shared/docs/f").code(1).says(&["Read-only"]);
    bed.guest("pro", "deep", "echo deep > /all/f; ls /shared").says_not(&["docs"]);
    bed.guest("pro", "dev", "cat /all/f").ok().says(&["deep\n"]);
    bed.guest("perso", "mail", "ls /all").code(1);

    changes_while_it_runs(&bed);
    one_on_a_file_system_without_owners_to_shift(&bed);

    // Machines and domains go; directories and what is in them never do.
    bed.infra(SHARES);
    bed.apply(&[]);
    bed.anklume(&["destroy", "pro", "perso", "--force", "--yes"]);
    bed.sh("cat /srv/data/pro/dev/notes/f /srv/anklume/shares/docs/f /srv/all/f").ok().says(&["mine\nhello\ndeep\n"]);
    let plan = bed.plan(&[]).actions();
    assert!(!plan.iter().any(|action| action.contains("directory")), "{plan:#?}");
    bed.apply(&[]);
    bed.guest("pro", "dev", "cat /notes/f /papers/p /shared/docs/f /all/f").ok().says(&["mine\npaper\nhello\ndeep\n"]);
    bed.plan_is_empty();
}

fn changes_while_it_runs(bed: &Bed) {
    let before = bed.pid("pro", "dev");
    let changes = [
        ("          papers: {path: /papers, readonly: true}\n", ""),
        ("notes: {path: /notes}", "notes: {path: /notebook, readonly: true}"),
        ("{pro: ro, mail: rw}", "{pro: ro, dev: rw, mail: ro}"),
    ];
    bed.infra(&edited(SHARES, &changes));
    assert_eq!(bed.plan(&[]).sorted(), ["update instance dev", "update instance mail"]);
    bed.apply(&[]);
    bed.plan_is_empty();
    bed.guest("pro", "dev", "ls /papers").says_not(&["p\n"]);
    bed.guest("pro", "dev", "cat /notebook/f; touch /notebook/x").code(1).says(&["mine\n", "Read-only"]);
    bed.guest("pro", "dev", "touch /shared/docs/x").ok();
    bed.guest("perso", "mail", "touch /shared/docs/y").code(1);
    assert_eq!(bed.pid("pro", "dev"), before, "all of it while it ran");
    bed.sh("cat /srv/data/pro/dev/papers/p; rm -r /srv/data/pro/dev/papers").ok().says(&["paper\n"]);
    // One that is missing is made again, for the machine that is to see it.
    bed.infra(SHARES);
    assert_eq!(bed.plan(&["--target", "dev"]).actions()[0], "create directory /srv/data/pro/dev/papers");
    bed.apply(&[]);
    bed.sh("echo paper > /srv/data/pro/dev/papers/p").ok();
    bed.plan_is_empty();
}

/// An overlay, as `/var/lib` is in a bed.
fn one_on_a_file_system_without_owners_to_shift(bed: &Bed) {
    let overlay = "  docs: {source: /var/lib/shared-docs, consumers: {mail: rw}}\n";
    let shares = edited(SHARES, &[("  docs: {consumers: {pro: ro, mail: rw}}\n", overlay)]);
    bed.infra(&shares);
    let failed = bed.try_anklume(&["apply", "--yes"]).code(1);
    failed.says(&["Required idmapping abilities not available", "`shift: false`"]);
    bed.infra(&edited(&shares, &[("docs: {source", "docs: {shift: false, source")]));
    bed.apply(&[]);
    bed.plan_is_empty();
    bed.sh("touch /var/lib/shared-docs/f").ok();
    bed.guest("perso", "mail", "stat -c %u /shared/docs/f").ok().says(&["65534\n"]);
}
