//! What cannot be done here: each is told before anything is written, with an exit code, a sentence and what to type.

use crate::harness::{Bed, Output, edited, wait_for};

const GOOD: &str = "
project_name: bad
global: {}
domains:
  one: {ephemeral: true, machines: {m: {}}}
";

/// The file with something else for its machine.
fn machine(text: &str) -> String {
    edited(GOOD, &[("m: {}", &format!("m: {text}"))])
}

/// Nothing was written, and something was said with a hint.
#[track_caller]
fn told(output: Output, code: i32, texts: &[&str]) {
    let output = output.code(code).says(texts);
    let hinted = output.stderr.contains("hint: ") || output.stderr.contains("help: ");
    assert!(hinted && output.stderr.contains("error: "), "an error and what to do about it\n{output}");
    assert!(!output.stderr.contains("panicked"), "{output}");
}

#[test]
fn a_file_that_this_host_cannot_have_is_refused_before_anything_is_written() {
    let bed = Bed::up();
    bed.sh("printf '  dead:\n    addr: https://203.0.113.10\n    protocol: simplestreams\n    public: true\n' >> /run/bed/conf/config.yml")
        .ok();
    let before = bed.everything();
    let cases: [(&str, &[&str]); 12] = [
        (
            "{os_image: 'images:debian/99'}",
            &["there is no image `images:debian/99`", "infra.yml:5:", "`incus image list images:`"],
        ),
        ("{os_image: 'mirror:debian/13'}", &["no image server called `mirror`", "`incus remote list`"]),
        (
            "{os_image: 'dead:debian/13'}",
            &["the image `dead:debian/13` cannot be asked for", "connection refused", "is the server reachable?"],
        ),
        ("{os_image: golden}", &["there is no image `golden` on this host", "`incus image list --project default`"]),
        (
            "{config: {limits.memroy: 1GiB}}",
            &["Incus knows no config key `limits.memroy`", "did you mean `limits.memory`?"],
        ),
        ("{config: {boot.autostart: perhaps}}", &["`boot.autostart` is `true` or `false`, not `perhaps`"]),
        (
            "{config: {security.secureboot: false}}",
            &["`security.secureboot` is for virtual machines, and `m` is a container"],
        ),
        ("{config: {boot.host_shutdown_timeout: 1m}}", &["`boot.host_shutdown_timeout` is a whole number, not `1m`"]),
        ("{devices: {root: {type: disk, path: /, pool: fast}}}", &["`fast`", "default"]),
        ("{type: vm}", &["this host cannot run virtual machines", "`type: lxc`"]),
        ("{config: {security.privileged: true}}", &["security.privileged", "--yolo"]),
        ("{ip: 10.120.9.1}", &["10.120.9.1 is not in the network of `one`"]),
    ];
    for (text, said) in cases {
        bed.infra(&machine(text));
        told(bed.try_anklume(&["apply", "--yes"]), 2, said);
        told(bed.try_anklume(&["plan"]), 2, said);
    }
    bed.infra(&machine("{os_image: 'images:debian/99', type: vm, config: {limits.memroy: 1, user.x: 2}}"));
    // All that is wrong, at once.
    let all = [
        "no config key `limits.memroy`",
        "cannot run virtual machines",
        "there is no image `images:debian/99`",
        "3 errors in infra.yml",
    ];
    told(bed.try_anklume(&["apply", "--yes"]), 2, &all);
    bed.infra(&edited(GOOD, &[("global: {}", "global: {default_pool: fast}")]));
    told(bed.try_anklume(&["apply", "--yes"]), 2, &["there is no storage pool `fast`", "write `default`"]);
    bed.infra(GOOD);
    for (args, code, said) in [
        (&["-f", "nowhere.yml", "plan"][..], 2, "nowhere.yml"),
        (&["-f", "bin", "apply", "--yes"], 2, "bin"),
        (&["destroy", "nobody", "--yes"], 1, "`nobody`"),
    ] {
        told(bed.try_anklume(args), code, &[said]);
    }
    bed.sh("rm infra.yml").ok();
    told(bed.try_anklume(&["apply", "--yes"]), 2, &["infra.yml"]);
    bed.is_unchanged(&before);
}

#[test]
fn a_network_that_this_host_is_in_is_not_given_to_a_domain() {
    let bed = Bed::up();
    // An address of the host's own, a route to somewhere, and a bridge that another made.
    bed.sh("ip link add lan0 type veth peer name lan1; ip addr add 10.120.0.77/24 dev lan0; ip link set lan0 up
            ip route add 10.120.0.0/23 via 198.51.100.2 dev up0
            incus network create lab0 ipv4.address=10.120.2.1/24 ipv6.address=none </dev/null")
        .ok();
    let before = bed.everything();
    let numbered = |id: u8| edited(GOOD, &[("one: {", &format!("one: {{subnet_id: {id}, "))]);
    let taken = [
        (GOOD.to_owned(), "`one` takes 10.120.0.0/24, and `lan0` is on 10.120.0.0/24 already"),
        (numbered(1), "`one` takes 10.120.1.0/24, and `up0` is on 10.120.0.0/23 already"),
        (numbered(2), "`one` takes 10.120.2.0/24, and `lab0` is on 10.120.2.0/24 already"),
    ];
    for (file, said) in taken {
        bed.infra(&file);
        for args in [&["plan"][..], &["apply", "--yes"]] {
            told(bed.try_anklume(args), 2, &[said, "write `subnet_id: 3` for `one`"]);
        }
    }
    bed.is_unchanged(&before);
    bed.infra(&numbered(3));
    bed.apply(&[]);
    bed.plan_is_empty();
}

#[test]
fn a_host_that_lacks_something_is_told_apart_from_an_empty_one() {
    let bed = Bed::up();
    bed.infra(GOOD);
    let before = bed.everything();
    // A PATH with some of what there is.
    let with = |programs: &str, args: &str| {
        bed.sh(&format!(
            "rm -rf path; mkdir path; for program in {programs}; do ln -s $(command -v $program) path/; done
             PATH=$PWD/path exec $ANKLUME {args}"
        ))
    };
    for args in ["plan", "apply --yes", "status", "destroy --yes"] {
        told(with("nft ip", args), 1, &["`incus` is not installed, or not in the PATH", "`apt install incus`"]);
        told(with("nft incus", args), 1, &["`ip` is not installed", "`apt install iproute2`"]);
    }
    // What can be planned is, and nothing is made where it could not be kept apart.
    with("incus ip", "plan").ok().says(&["the isolation cannot be told", "`apt install nftables`", "+ project one"]);
    told(
        with("incus ip", "apply --yes"),
        1,
        &["nothing was changed: the domains could not be kept apart", "`apt install nftables`"],
    );
    let nft = |fails: &str| {
        bed.write("bin/nft", &format!("#!/bin/sh\ncase \" $* \" in *' {fails} '*) echo 'Error: Could not process rule: Operation not supported' >&2; exit 1;; esac\nexec /usr/sbin/nft \"$@\""));
        bed.sh("chmod 755 bin/nft; PATH=$PWD/bin:$PATH exec $ANKLUME apply --yes")
    };
    told(nft("-c"), 1, &["the kernel refuses the table", "Operation not supported"]);
    told(nft("list"), 1, &["nothing was changed: the domains could not be kept apart", "Operation not supported"]);
    // Somebody who may do neither.
    bed.sh("chmod 755 .").ok();
    let nobody = |args: &str| bed.sh(&format!("setpriv --reuid=65534 --regid=65534 --clear-groups $ANKLUME {args}"));
    told(nobody("plan"), 1, &["needed permissions to talk to the incus daemon", "usermod -aG incus-admin"]);
    told(nobody("apply --yes"), 1, &["sudo"]);
    nobody("plan --offline").ok().says(&["+ project one"]);
    nobody("check").ok();
    bed.is_unchanged(&before);

    // A daemon that is not running.
    bed.sh("kill $(cat /run/bed/incusd.pid)").ok();
    wait_for("the daemon to be gone", || bed.sh("incus query /1.0").stderr.contains("appear to be started"));
    for args in
        [&["plan"][..], &["apply", "--yes"], &["status"], &["destroy", "--yes"], &["plan", "--detailed-exitcode"]]
    {
        told(bed.try_anklume(args), 1, &["Incus cannot be read", "`systemctl start incus`"]);
    }
    bed.sh("/run/bed/start-incusd; incus admin waitready").ok();
    bed.is_unchanged(&before);
}

#[test]
fn an_incus_without_a_pool_is_told_how_to_get_one() {
    let bed = Bed::bare(&["--pool", "none"]).unwrap();
    bed.infra(GOOD);
    let before = bed.everything();
    for args in [&["plan"][..], &["apply", "--yes"]] {
        told(bed.try_anklume(args), 1, &["Incus has no storage pool yet", "`incus admin init --minimal`"]);
    }
    bed.is_unchanged(&before);
    // The hint is good; the network that it makes beside is nobody's business.
    bed.sh("incus admin init --minimal").ok();
    bed.apply(&[]);
    bed.plan_is_empty();
}

/// Types this on a terminal on which anklume asks.
fn on_terminal(bed: &Bed, typed: &str, args: &str) -> Output {
    bed.sh(&format!("printf '{typed}' | script -qec \"$ANKLUME {args}\" /dev/null"))
}

#[test]
fn nobody_agrees_by_accident() {
    let bed = Bed::up();
    bed.infra(GOOD);
    let before = bed.everything();
    told(
        bed.try_anklume(&["apply"]),
        1,
        &["there is no terminal to ask on, so nothing was changed", "`--yes`", "+ project one"],
    );
    bed.sh("echo y | $ANKLUME apply").code(1);
    for typed in ["n\\n", "\\n", "yess\\n", "\\004"] {
        on_terminal(&bed, typed, "apply").code(1).says(&["Do this? [y/N]", "nothing was changed"]);
    }
    bed.is_unchanged(&before);
    on_terminal(&bed, "y\\n", "apply").ok().says(&["Do this? [y/N]", "done."]);
    bed.plan_is_empty();
    let before = bed.everything();
    told(bed.try_anklume(&["destroy"]), 1, &["there is no terminal", "`--yes`"]);
    on_terminal(&bed, "\\n", "destroy").code(1).says(&["Delete these for good? [y/N]", "nothing was deleted"]);
    bed.is_unchanged(&before);
    on_terminal(&bed, "yes\\n", "destroy").ok().says(&["deleted."]);
    assert!(!bed.has("/1.0/projects/one"));
    // Nothing to do is nothing to ask.
    bed.sh("$ANKLUME destroy </dev/null").ok();
}
