//! An infrastructure goes as a whole: all that carries its mark, nothing else, whatever cuts the run off.

use std::time::{Duration, Instant};

use crate::harness::{Bed, edited};

/// A bit of everything that is marked.
const ONE: &str = "
project_name: one
global: {default_os_image: images:alpine/3.20}
domains:
  a:
    ephemeral: true
    dns_zone: a.test
    acl: [{direction: egress, action: allow, protocol: tcp, destination_port: '80'}]
    profiles: {small: {config: {limits.processes: 200}}}
    machines:
      a1: {profiles: [default, small], storage_volumes: {data: {path: /data}}}
      a2: {persistent_data: {logs: {path: /var/log/own}}}
  b: {machines: {b1: {}}}
  c: {ephemeral: true, machines: {c1: {state: frozen}, c2: {instance_ephemeral: true}, c3: {state: stopped}}}
network_policies:
  - {from: a1, to: b1, ports: [80], protocol: tcp}
shared_volumes:
  papers: {consumers: {a2: rw}}
";

const TWO: &str = "
project_name: two
global: {default_os_image: images:alpine/3.20}
domains:
  x: {ephemeral: true, subnet_id: 8, machines: {x1: {}}}
  y: {ephemeral: true, subnet_id: 9, machines: {y1: {}}}
network_policies:
  - {description: The web site, from: x, to: y1, ports: [80], protocol: tcp}
";

/// What others have: as it is, but for what comes and goes by itself.
fn of_two(bed: &Bed) -> String {
    bed.sh(
        "for kind in projects/x networks/net-x 'instances/x1?project=x' 'profiles/default?project=x' projects/y 'instances/y1?project=y'; do
           incus query \"/1.0/$kind\" | jq 'del(.used_by)'; done
         incus query '/1.0/instances/x1/state?project=x' | jq .pid",
    )
    .ok()
    .stdout
}

/// What is left that has the mark of an infrastructure, and the bridges that the table knows.
fn marked(bed: &Bed, infra: &str) -> Vec<String> {
    let marked = bed.sh(&format!(
        "for kind in projects networks network-acls network-zones 'profiles?all-projects=true&' 'instances?all-projects=true&' \
           'storage-pools/default/volumes/custom?all-projects=true&'; do
           case $kind in *'&') path=\"/1.0/${{kind}}recursion=1\";; *) path=\"/1.0/$kind?recursion=1\";; esac
           incus query \"$path\" | jq -r '.[]? | select(.config[\"user.anklume.infra\"] == \"{infra}\") | .name'
         done"
    ));
    marked.ok().stdout.lines().map(str::to_owned).collect()
}

fn flush(bed: &Bed, more: &str) -> crate::harness::Output {
    bed.sh(&format!("$ANKLUME -f one.yml flush {more}"))
}

#[test]
fn coverage_30_a_flush_takes_all_of_its_own_and_leaves_all_else() {
    let bed = Bed::up();
    bed.write("one.yml", ONE);
    bed.write("two.yml", TWO);
    for file in ["one.yml", "two.yml"] {
        bed.anklume(&["-f", file, "apply", "--yes"]);
    }
    bed.anklume(&["-f", "one.yml", "sync"]);
    bed.sh("echo mine: true >> group_vars/a.yml").ok();
    // The table of both is kept for a boot script.
    bed.anklume(&["-f", "one.yml", "firewall", "export", "/etc/anklume/firewall.json"]);
    bed.write("one.yml", &edited(ONE, &[("c3: {state: stopped}", "c3: {state: stopped, os_image: images:debian/13}")]));
    bed.anklume(&["-f", "one.yml", "apply", "--yes", "--replace", "c3"]);
    bed.wait_for_guests(&[("x", "x1", "10.120.8.1"), ("y", "y1", "10.120.9.1")]);
    bed.sh("touch /srv/anklume/shares/papers/mine").ok();
    let (two, whole) = (of_two(&bed), bed.everything());

    // On a host of its own the word is asked for, whoever agrees; and somebody has to.
    flush(&bed, "--yes").code(1).says(&["delete", "this is a production host", "--force"]);
    flush(&bed, "--force </dev/null").code(1).says(&["there is no terminal to ask on", "--yes"]);
    bed.is_unchanged(&whole);

    // Nested, what is protected and what holds data stays without its word. Nothing of the file but its name matters.
    bed.write("one.yml", "project_name: one\ndomains: {a: {machines: 7}, Z: }\nnonsense: true\n");
    bed.sh("echo 1 > /etc/anklume/absolute_level").ok();
    let said = [
        "protected; `anklume flush --force`",
        "kept with its data; `anklume flush --volumes`",
        "directories of this host stay",
    ];
    flush(&bed, "--yes").ok().says(&said);
    assert!(bed.has("/1.0/instances/b1?project=b") && !bed.has("/1.0/instances/a2?project=a"));
    assert!(bed.has("/1.0/storage-pools/default/volumes/custom/a1-data?project=a"));
    let kept = bed.sh("incus list --project c -f csv -c n").ok().stdout;
    assert!(kept.starts_with("c3-before-replace-"), "what was set aside is protected: {kept}");
    flush(&bed, "--yes").ok().says(&["Nothing to delete"]);

    bed.sh("rm /etc/anklume/absolute_level").ok();

    // A volume that somebody else's machine has stays, and what it is in; a record by hand keeps its zone.
    bed.sh("incus network zone record create a.test by-hand </dev/null
            incus create --empty pet --project a --no-profiles -s default </dev/null
            incus storage volume attach default a1-data pet /data --project a")
        .ok();
    let needed = ["still needed by instance pet", "record a.test/by-hand", "stay, since something needs them"];
    flush(&bed, "--force --volumes --yes").code(1).says(&needed);
    let mut left = marked(&bed, "one");
    left.sort();
    left.dedup();
    assert_eq!(left, ["a", "a.test", "a1-data", "default", "net-a"]);

    bed.sh("incus delete pet --project a; incus network zone record delete a.test by-hand").ok();
    // What a run over snapshots wrote down that was cut off.
    let under_way = "incus config get user.anklume.under-way.one";
    bed.sh("incus config set user.anklume.under-way.one='{\"doing\":\"create\",\"name\":\"x\",\"machines\":[]}'").ok();
    let again = flush(&bed, "--force --volumes --yes").ok();
    assert_eq!(bed.sh(under_way).ok().stdout.trim(), "");
    again.says(&["firewall", "deleted."]);
    assert_eq!(marked(&bed, "one"), Vec::<String>::new());
    assert_eq!(of_two(&bed), two);
    bed.sh("test -e /srv/anklume/shares/papers/mine && test -d /srv/anklume/data/a/a2/logs").ok();
    bed.sh("grep -qx 'mine: true' group_vars/a.yml && ! grep -rq MANAGED group_vars && test ! -e inventory").ok();
    bed.sh("! grep -q net-a /etc/anklume/firewall.json && grep -q net-x /etc/anklume/firewall.json").ok();
    bed.anklume(&["-f", "two.yml", "plan", "--detailed-exitcode"]).says(&["Nothing to do"]);
    bed.packets(true, &[("x/x1", "tcp 10.120.9.1:80")]);
    bed.packets(false, &[("y/y1", "tcp 10.120.8.1:80")]);

    flush(&bed, "--force --volumes --yes").ok().says(&["nothing on this host carries the mark of `one`; there is two"]);
    bed.anklume(&["flush", "--infra", "two", "--force", "--yes"]);
    bed.sh("! nft list table inet anklume && test ! -e /etc/anklume/firewall.json").ok();
    assert_eq!(marked(&bed, "two"), Vec::<String>::new());
}

#[test]
fn a_daemon_that_is_gone_is_no_empty_host() {
    let bed = Bed::bare(&[]).unwrap();
    bed.write("one.yml", TWO);
    bed.sh("kill -TERM $(cat /run/bed/incusd.pid); while incus query /1.0 2>/dev/null; do sleep 0.05; done").code(0);
    flush(&bed, "--force --yes").code(1).says(&["Incus cannot be read"]).says_not(&["Nothing", "nothing on this host"]);
}

#[test]
fn the_name_has_to_be_typed() {
    let bed = Bed::bare(&["--no-images"]).unwrap();
    bed.write("one.yml", "project_name: one\nglobal: {}\ndomains: {a: {ephemeral: true, machines: {}}}\n");
    bed.anklume(&["-f", "one.yml", "apply", "--yes"]);
    let typed = |answer: &str| {
        bed.write("answer", answer);
        bed.sh("script -qec \"$ANKLUME -f one.yml flush --force\" /dev/null < answer")
    };
    typed("y\n").code(1).says(&["Delete these for good? Type `one` to go on:", "nothing was deleted"]);
    assert!(bed.has("/1.0/projects/a"));
    typed("one\n").ok().says(&["deleted."]);
    assert!(!bed.has("/1.0/projects/a") && !bed.has("/1.0/networks/net-a"));
}

#[test]
fn a_flush_that_is_cut_off_at_any_moment_is_finished_by_the_next_one() {
    let bed = Bed::up();
    bed.write("one.yml", ONE);
    bed.write("two.yml", TWO);
    bed.anklume(&["-f", "two.yml", "apply", "--yes"]);
    bed.anklume(&["-f", "one.yml", "apply", "--yes"]);
    let two = of_two(&bed);
    let begin = Instant::now();
    flush(&bed, "--force --volumes --yes").ok();
    let takes = begin.elapsed();
    for part in 1..=4 {
        bed.anklume(&["-f", "one.yml", "apply", "--yes"]);
        cut_off(&bed, takes * part / 5);
        flush(&bed, "--force --volumes --yes").ok();
        assert_eq!(marked(&bed, "one"), Vec::<String>::new(), "after {part} parts of 5");
        let table = bed.sh("nft list table inet anklume").ok().stdout;
        assert!(!table.contains("net-a") && table.contains("The web site"), "{table}");
        assert_eq!(of_two(&bed), two);
    }
    bed.anklume(&["-f", "two.yml", "plan", "--detailed-exitcode"]).says(&["Nothing to do"]);
}

/// Ends a flush without a word; what it has under way goes on. What runs then still does so behind the table.
fn cut_off(bed: &Bed, after: Duration) {
    let run = bed.start_anklume(&["-f", "one.yml", "flush", "--force", "--volumes", "--yes"]);
    let _ = run.pid();
    // A moment of the run, whatever it does then.
    std::thread::sleep(after);
    run.signal_if_under_way("KILL");
    run.wait();
    let up =
        bed.sh("incus list --all-projects -f csv -c e status=running | grep -xE '[abc]' | sort -u || :").ok().stdout;
    let table = bed.sh("nft list table inet anklume").ok().stdout;
    for domain in up.lines() {
        assert!(table.contains(&format!("\"net-{domain}\"")), "{domain} runs, and nothing keeps it apart:\n{table}");
    }
}
