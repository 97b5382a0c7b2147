//! anklume in a machine, with the host's Incus behind a forwarded socket: the host's table is out of its reach.

use crate::harness::{Bed, edited, in_control, push_to_control, with_control};

/// The host's own infrastructure: a machine that has the host's programs and the socket of its Incus.
const HOST: &str = "
project_name: host
global: {default_os_image: images:alpine/3.20}
domains:
  control:
    ephemeral: true
    machines:
      ctl:
        devices:
          @CONTROL@
          shared: {type: disk, source: /srv, path: /srv, shift: true}
";

/// What is applied from within that machine.
const INNER: &str = "
project_name: inner
global: {default_os_image: images:alpine/3.20}
domains:
  a: {ephemeral: true, machines: {a1: {}}}
  b: {ephemeral: true, machines: {b1: {}}}
network_policies:
  - {from: a1, to: b1, ports: [80], protocol: tcp}
";

#[test]
fn coverage_19_proxy_devices_give_a_machine_the_hosts_socket_and_the_host_loads_its_table() {
    let bed = Bed::up();
    bed.sh("chmod 777 /srv").ok();
    bed.infra(&with_control(&bed, HOST));
    bed.apply(&[]);
    push_to_control(&bed, INNER);

    nothing_starts_without_the_hosts_table(&bed);
    the_host_loads_what_was_exported(&bed);
    a_change_has_to_be_exported_again(&bed);
    in_control(&bed, "anklume destroy --yes").ok();
    bed.apply(&[]);
    bed.plan_is_empty();
    bed.anklume(&["destroy", "--yes"]);
}

fn nothing_starts_without_the_hosts_table(bed: &Bed) {
    let before = bed.everything();
    let elsewhere = "Incus runs on another host than this program";
    in_control(bed, "anklume plan").ok().says(&["!", elsewhere, "`anklume firewall export FILE`"]);
    in_control(bed, "anklume apply --yes").code(1).says(&[
        "nothing was changed",
        elsewhere,
        "anklume firewall load FILE",
    ]);
    in_control(bed, "anklume status").ok().says(&["cannot be told: this machine cannot see what its host has loaded"]);
    in_control(bed, "anklume firewall verify").code(1).says(&[elsewhere]);
    in_control(bed, "anklume apply --firewall import x")
        .code(2)
        .says(&["`--firewall` takes the word `export` and a file"]);
    assert_eq!(bed.everything(), before);
    in_control(bed, "! nft list table inet anklume 2>/dev/null").ok();
    // On the host itself there is no need of that.
    bed.try_anklume(&["apply", "--yes", "--firewall", "export", "x"]).code(1).says(&["within reach"]);
}

fn the_host_loads_what_was_exported(bed: &Bed) {
    in_control(bed, "anklume apply --yes --firewall export /srv/table.json").ok().says(&["written to /srv/table.json"]);
    let _ = in_control(bed, "anklume plan --detailed-exitcode").ok().says(&["Nothing to do"]);
    in_control(bed, "anklume status")
        .ok()
        .says(&["exported to /srv/table.json, ", "cannot see what its host has loaded"]);
    in_control(bed, "! nft list table inet anklume 2>/dev/null").ok();
    bed.wait_for_guests(&[("a", "a1", "10.120.1.1"), ("b", "b1", "10.120.2.1"), ("control", "ctl", "10.120.0.1")]);
    let apart = [("b/b1", "tcp 10.120.1.1:80"), ("a/a1", "ping 10.120.2.1")];
    bed.packets(true, &apart);
    // The host's table knows its own bridge.
    bed.packets(false, &[("a/a1", "ping 10.120.0.1")]);

    the_host_refuses_what_is_not_such_a_table(bed);
    bed.try_anklume(&["firewall", "load", "/srv/table.json"]).code(1).says(&["a1 -> b1", "say `--yes`"]);
    bed.packets(true, &apart);
    bed.anklume(&["firewall", "load", "/srv/table.json", "--yes"]).says(&["a1 -> b1", "the table is in force"]);
    bed.packets(false, &apart);
    bed.packets(false, &[("a/a1", "ping 10.120.0.1"), ("control/ctl", "tcp 10.120.1.1:80")]);
    bed.packets(true, &[("a/a1", "tcp 10.120.2.1:80")]);
    bed.anklume(&["firewall", "load", "/srv/table.json", "--yes"]).says(&["Nothing to do"]);
    // The host's own infrastructure is as before, and its next apply leaves the other one as it is.
    bed.plan_is_empty();
}

fn the_host_refuses_what_is_not_such_a_table(bed: &Bed) {
    let table = bed.sh("nft list ruleset").ok().stdout;
    for (edit, why) in [
        ("s/.*/flush ruleset/", "it is not JSON"),
        (r#"$s/.*/,{"flush":{"ruleset":null}}]}/"#, "does something else"),
        (r#"s/"table":"anklume"/"table":"mine"/"#, "does something else"),
        (r#"s/"net-a"/"up0"/"#, "`up0`, which is no bridge of Incus's"),
        (r#"s/"net-control"/"net-nowhere"/"#, "leaves out the bridge `net-control`"),
    ] {
        bed.sh(&format!("sed '{edit}' /srv/table.json > /srv/bad.json; ! cmp -s /srv/table.json /srv/bad.json")).ok();
        bed.try_anklume(&["firewall", "load", "/srv/bad.json", "--yes"])
            .code(1)
            .says(&["/srv/bad.json was not loaded", why]);
    }
    assert_eq!(bed.sh("nft list ruleset").ok().stdout, table);
}

fn a_change_has_to_be_exported_again(bed: &Bed) {
    push_to_control(bed, &edited(INNER, &[("[80]", "[80, 7000]")]));
    in_control(bed, "anklume status").ok().says(&["NOT as the file says: exported to /srv/table.json"]);
    in_control(bed, "anklume apply --yes").code(1).says(&["nothing was changed"]);
    in_control(bed, "anklume firewall export /srv/table.json").ok().says(&["`anklume firewall load` on the host"]);
    in_control(bed, "anklume apply --yes").ok().says(&["Nothing to do"]);
    bed.anklume(&["firewall", "load", "/srv/table.json", "--yes"]).says(&["7000"]);
    bed.sh("nft list table inet anklume").ok().says(&["7000"]);
}
