//! From a bare Incus and no file to machines that run: `anklume bootstrap`, `anklume init`, `anklume apply`.

use crate::harness::Bed;

#[test]
fn a_bare_incus_is_made_ready_and_the_first_file_applies() {
    let bed = Bed::bare(&["--pool", "none"]).unwrap();
    let before = bed.everything();
    // It shows what it would run, and runs nothing by itself.
    bed.try_anklume(&["bootstrap"]).code(1).says(&[
        "create pool default  (dir)",
        "incus admin init --preseed",
        "no terminal to ask on",
    ]);
    bed.is_unchanged(&before);
    bed.anklume(&["bootstrap", "--yes"]).says(&["Incus is ready"]);
    assert_eq!(bed.incus("/1.0/storage-pools/default")["driver"], "dir");
    let root = &bed.incus("/1.0/profiles/default")["devices"]["root"];
    assert_eq!((&root["pool"], &root["path"]), (&"default".into(), &"/".into()));
    let networks =
        bed.sh("incus query '/1.0/networks?recursion=1' | jq -r '.[] | select(.managed) | .name'").ok().stdout;
    assert_eq!(networks, "", "each domain has a bridge of its own");

    bed.anklume(&["init", "lab"]).says(&["lab/infra.yml is there"]);
    let file = "lab/infra.yml";
    bed.anklume(&["-f", file, "check"]);
    bed.anklume(&["-f", file, "plan", "--offline"]).says(&["Plan: "]);
    bed.anklume(&["-f", file, "apply", "--yes"]);
    bed.anklume(&["-f", file, "plan", "--detailed-exitcode"]).says(&["Nothing to do"]);
    assert_eq!(bed.machine("play", "play-ground")["config"]["user.anklume.infra"], "lab");
    let there = std::fs::read_to_string(bed.dir().join(file)).unwrap();
    bed.try_anklume(&["init", "lab"]).code(1).says(&["is there already, and stays as it is"]);
    assert_eq!(std::fs::read_to_string(bed.dir().join(file)).unwrap(), there);

    // What somebody has is theirs: nothing of it is made again, or otherwise.
    let before = bed.everything();
    bed.anklume(&["bootstrap", "--yes"]).says(&["Nothing to do: Incus is initialised, with the storage pool default."]);
    bed.is_unchanged(&before);
    // Docker is there from now on.
    bed.write("bin/dockerd", "#!/bin/sh\n");
    bed.sh("chmod 755 bin/dockerd; PATH=$PWD/bin:$PATH $ANKLUME bootstrap --yes")
        .ok()
        .says(&["60-anklume-forwarding.conf"]);
    bed.sh("grep -qx 'net.ipv4.ip_forward = 1' /etc/sysctl.d/60-anklume-forwarding.conf").ok();
    bed.sh("PATH=$PWD/bin:$PATH $ANKLUME bootstrap --yes").ok().says(&["Nothing to do"]);
}

#[test]
fn where_nothing_can_start_incus_that_is_told_before_anything_is_done() {
    let bed = Bed::bare(&["--pool", "none", "--no-images"]).unwrap();
    // Two ids for containers are too few, and a daemon reads them when it starts.
    bed.sh("echo 'me:100000:65536' | tee /etc/subuid > /etc/subgid").ok();
    bed.try_anklume(&["bootstrap", "--yes"]).code(1).says(&["neither systemd nor OpenRC"]);
    bed.sh("test \"$(cat /etc/subuid)\" = me:100000:65536").ok();
    // With something that can.
    let systemctl = "#!/bin/sh
        [ \"$*\" = 'restart incus.service' ] || exit 1
        kill -TERM $(cat /run/bed/incusd.pid); while incus query /1.0 >/dev/null 2>&1; do sleep 0.05; done
        /run/bed/start-incusd";
    bed.write("bin/systemctl", systemctl);
    bed.sh("mkdir -p /run/systemd/system; chmod 755 bin/systemctl; PATH=$PWD/bin:$PATH $ANKLUME bootstrap --yes").ok();
    bed.sh("grep -qx root:1000000:1000000000 /etc/subuid && grep -qx root:1000000:1000000000 /etc/subgid").ok();
    assert!(bed.has("/1.0/storage-pools/default"));
}
