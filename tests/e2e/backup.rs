//! Row 28: a machine with its volumes goes into one file, and comes back from it.

use crate::harness::{Bed, edited, wait_for};

const FILE: &str = "\
project_name: saved
global: {default_os_image: images:alpine/3.20}
domains:
  pro:
    machines:
      dev:
        description: The one with the work
        config: {limits.processes: 200}
        storage_volumes: {data: {path: /data}}
      web: {}
";

fn filled() -> Bed {
    let bed = Bed::up();
    bed.infra(FILE);
    bed.apply(&[]);
    bed.wait_for_guest("pro", "dev", "10.120.0.1");
    bed.guest("pro", "dev", "echo root > /root/f; echo volume > /data/f; sync").ok();
    bed.sh(
        "incus snapshot create dev before --project pro </dev/null; incus config set dev user.mine=yes --project pro",
    )
    .ok();
    bed
}

#[track_caller]
fn has_its_data(bed: &Bed, name: &str) {
    let said = bed.guest("pro", name, "cat /root/f /data/f").ok();
    assert_eq!(said.stdout, "root\nvolume\n", "{said}");
}

#[test]
fn coverage_28_backup_brings_a_machine_back_with_its_data() {
    let bed = filled();
    bed.try_anklume(&["backup", "dev", "dev.backup"]).code(1).says(&["there is no terminal"]);
    bed.anklume(&["backup", "dev", "dev.backup", "--yes"]).says(&["dev is in ", "MiB."]);
    bed.try_anklume(&["backup", "dev", "dev.backup", "--yes"]).code(1).says(&["is there already"]);
    bed.plan_is_empty();
    assert_eq!(bed.sh("ls; stat -c %a dev.backup").ok().stdout, "dev.backup\ninfra.yml\n600\n");
    bed.wait_for_guest("pro", "dev", "10.120.0.1");
    has_its_data(&bed, "dev");

    bed.try_anklume(&["restore-backup", "dev.backup", "--yes"]).code(1).says(&["a machine dev in the project pro"]);
    bed.anklume(&["destroy", "dev", "--force", "--yes"]);
    // What is in a volume is never written over.
    let refused = bed.try_anklume(&["restore-backup", "dev.backup", "--yes"]).code(1);
    let hint = "incus storage volume delete default dev-data --project pro";
    refused.says(&["volume default/dev-data is in the project pro already", hint]);
    bed.sh(hint).ok();
    damaged_files_are_refused(&bed);

    bed.anklume(&["restore-backup", "dev.backup", "--yes"]);
    bed.plan_is_empty();
    assert_eq!(bed.plan(&[]).held(), Vec::<String>::new());
    bed.wait_for_guest("pro", "dev", "10.120.0.1");
    has_its_data(&bed, "dev");
    let machine = bed.machine("pro", "dev");
    assert_eq!(
        (&machine["config"]["user.mine"], &machine["config"]["limits.processes"]),
        (&"yes".into(), &"200".into())
    );
    assert!(bed.has("/1.0/instances/dev/snapshots/before?project=pro"));
    assert_eq!(bed.sh("cat infra.yml").ok().stdout, FILE);

    under_another_name(&bed);
}

fn damaged_files_are_refused(bed: &Bed) {
    let before = bed.everything();
    // The middle of a file is the middle of the machine, its largest member.
    bed.sh("half=$(($(stat -c %s dev.backup) / 2)); head -c $half dev.backup > short; echo > none; cp dev.backup other
            printf 'not what was there' | dd of=other bs=1 seek=$half conv=notrunc")
        .ok();
    for file in ["short", "other", "none"] {
        bed.try_anklume(&["restore-backup", file, "--yes"])
            .code(1)
            .says(&["is no whole backup", "nothing was restored"]);
    }
    bed.is_unchanged(&before);
    bed.sh("rm short other none").ok();
}

fn under_another_name(bed: &Bed) {
    bed.anklume(&["restore-backup", "dev.backup", "--name", "again", "--yes"]).says(&["infra.yml", "+       again:"]);
    bed.plan_is_empty();
    bed.wait_for_guests(&[("pro", "dev", "10.120.0.1"), ("pro", "again", "10.120.0.3")]);
    has_its_data(bed, "again");
    has_its_data(bed, "dev");
    let text = bed.sh("cat infra.yml").ok().stdout;
    let entry = "      again:\n        description: The one with the work\n        config:\n";
    assert!(text.contains(entry), "{text}");
    assert_eq!(bed.sh("ls").ok().stdout, "dev.backup\ninfra.yml\n");
}

#[test]
fn a_restoring_that_is_killed_leaves_nothing_that_the_next_one_does_not_take_up() {
    let bed = filled();
    bed.anklume(&["backup", "dev", "dev.backup", "--yes"]);
    bed.infra(&edited(FILE, &[("      web: {}\n", "")]));
    bed.anklume(&["destroy", "dev", "--force", "--yes"]);
    bed.sh("incus storage volume delete default dev-data --project pro").ok();
    // An `incus` that waits before it imports the machine, its volume being there.
    bed.write(
        "bin/incus",
        "#!/bin/sh\ncase \"$1\" in import) touch waiting; while [ ! -e go ]; do sleep 0.05; done;; esac\nexec /usr/bin/incus \"$@\"",
    );
    bed.sh("chmod 755 bin/incus").ok();
    let restoring = bed.start("PATH=$PWD/bin:$PATH exec $ANKLUME restore-backup dev.backup --yes");
    wait_for("the middle of a restoring", || bed.dir().join("waiting").exists());
    restoring.signal("KILL");
    restoring.wait();
    assert_eq!(bed.plan(&[]).held(), ["unfinished volume default/dev-data.anklume-part", "protected instance web"]);
    bed.anklume(&["restore-backup", "dev.backup", "--yes"]);
    bed.write("go", "");
    bed.wait_for_guest("pro", "dev", "10.120.0.1");
    has_its_data(&bed, "dev");
    assert_eq!(bed.sh("ls").ok().stdout, "bin\ndev.backup\ngo\ninfra.yml\nwaiting\n");
}
