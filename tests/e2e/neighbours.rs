//! Several infrastructures on one host: each keeps what is its own, in Incus and in the one table.

use crate::harness::Bed;

const ONE: &str = r"
project_name: one
global: {default_os_image: images:alpine/3.20}
domains:
  a: {ephemeral: true, machines: {a1: {}}}
  b: {ephemeral: true, machines: {b1: {}}}
  c: {ephemeral: true, internet: false, machines: {c1: {}}}
network_policies:
  - {description: The web site, from: a, to: b1, ports: [80], protocol: tcp}
  - {from: c1, to: host, ports: [9000], protocol: tcp}
";

const TWO: &str = r"
project_name: two
global: {default_os_image: images:alpine/3.20}
domains:
  x: {ephemeral: true, machines: {x1: {}}}
  y: {ephemeral: true, machines: {y1: {}}}
network_policies:
  - {from: x, to: y1, ports: [80], protocol: tcp}
";

const PASS: [(&str, &str); 3] =
    [("a/a1", "tcp 10.120.1.1:80"), ("c/c1", "tcp 10.120.2.254:9000"), ("x/x1", "tcp 10.120.4.1:80")];
const DROPPED: [(&str, &str); 7] = [
    ("b/b1", "tcp 10.120.0.1:80"),
    ("x/x1", "tcp 10.120.0.1:80"),
    ("a/a1", "tcp 10.120.3.1:80"),
    ("a/a1", "ping 10.120.4.1"),
    ("y/y1", "tcp 10.120.3.1:80"),
    ("x/x1", "tcp 10.120.3.254:9000"),
    ("x/x1", "ping 10.120.1.254"),
];

#[test]
fn infrastructures_on_one_host_keep_out_of_each_others_way() {
    let bed = Bed::up();
    bed.write("one.yml", ONE);
    bed.write("two.yml", TWO);
    bed.sh("busybox httpd -p 9000 -h /run/bed/www").ok();
    let apply = |file: &str| bed.anklume(&["-f", file, "apply", "--yes"]);
    let both_are_settled = || {
        for file in ["one.yml", "two.yml"] {
            bed.anklume(&["-f", file, "plan", "--detailed-exitcode"]).says(&["Nothing to do"]);
        }
    };
    apply("one.yml");
    let table = bed.sh("nft list table inet anklume").ok().stdout;
    apply("two.yml");
    let both = bed.sh("nft list table inet anklume").ok().stdout;
    assert!(table != both && both.contains("The web site"), "{both}");
    both_are_settled();
    bed.wait_for_guests(&[("a", "a1", "10.120.0.1"), ("b", "b1", "10.120.1.1"), ("c", "c1", "10.120.2.1")]);
    bed.wait_for_guests(&[("x", "x1", "10.120.3.1"), ("y", "y1", "10.120.4.1")]);
    bed.packets(true, &PASS);
    bed.packets(false, &DROPPED);
    // `internet: false` of the other one holds too, where the host would masquerade.
    bed.sh("nft 'add table ip out; add chain ip out post { type nat hook postrouting priority 100; }
                 add rule ip out post oifname up0 masquerade'")
        .ok();
    bed.packets(false, &[("c/c1", "tcp 203.0.113.10:80")]);

    // A change of one is none of the other's.
    bed.write("two.yml", &TWO.replace("[80]", "[81]"));
    apply("two.yml");
    both_are_settled();
    bed.packets(true, &PASS[..2]);
    bed.packets(false, &[("x/x1", "tcp 10.120.4.1:80")]);

    // Without the table nothing is known of the other's openings: closed, until its own next apply.
    bed.sh("nft delete table inet anklume").ok();
    apply("two.yml");
    bed.packets(false, &[PASS[0], PASS[1], DROPPED[0], DROPPED[1]]);
    apply("one.yml");
    both_are_settled();
    bed.packets(true, &PASS[..2]);

    bed.anklume(&["-f", "two.yml", "destroy", "--yes"]);
    assert_eq!(bed.sh("nft list table inet anklume").ok().stdout, table);
    bed.anklume(&["-f", "one.yml", "plan", "--detailed-exitcode"]).says(&["Nothing to do"]);
    bed.packets(true, &PASS[..2]);
    // A domain of the same name is the other one's, and stays so.
    bed.write("two.yml", &TWO.replace("  x:", "  a:").replace("from: x", "from: a"));
    bed.try_anklume(&["-f", "two.yml", "apply", "--yes"]).code(1).says(&["belongs to the infrastructure `one`"]);
}
