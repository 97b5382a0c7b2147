//! Files of an older form, and files for another anklume.

use crate::firewall_kept::booted_by_systemd;
use crate::harness::{Bed, edited};

const OLD: &str = "\
project_name: old   # as it was written for the earlier one
global: {base_subnet: \"10.120\", default_os_image: images:alpine/3.20}
domains:
  pro:
    subnet_id: \"7\"
    ephemeral: yes
    machines:
      # The first one.
      dev: {ip: 10.120.7.1, boot_autostart: On}
";

#[test]
fn files_of_an_older_form_are_brought_to_the_form_of_this_one() {
    let bed = booted_by_systemd();
    bed.infra(OLD);
    let upgrade = |more: &str| bed.sh(&format!("PATH=$PWD/bin:$PATH $ANKLUME upgrade files {more}"));
    let edits = [
        "infra.yml:5\n  -     subnet_id: \"7\"\n  +     subnet_id: 7",
        "+     ephemeral: true",
        "{zone_base: 100}",
        "--write",
    ];
    upgrade("").code(1).says(&edits);
    assert_eq!(bed.sh("cat infra.yml").ok().stdout, OLD, "it is only shown");
    upgrade("--write").code(1).says(&["there is no terminal"]);
    assert_eq!(bed.sh("cat infra.yml").ok().stdout, OLD);
    upgrade("--write --yes").ok().says(&["infra.yml is written"]);
    let new = [
        ("base_subnet: \"10.120\"", "addressing: {zone_base: 100}"),
        ("subnet_id: \"7\"", "subnet_id: 7"),
        ("ephemeral: yes", "ephemeral: true"),
        ("boot_autostart: On", "boot_autostart: true"),
    ];
    assert_eq!(bed.sh("cat infra.yml").ok().stdout, edited(OLD, &new), "comments and all else are kept");
    upgrade("--write --yes").ok().says(&["Every file is as this anklume writes it."]);
    bed.sh("PATH=$PWD/bin:$PATH $ANKLUME apply --yes").ok();
    bed.wait_for_guest("pro", "dev", "10.120.7.1");
    upgrade("").ok().says(&["Every file is as this anklume writes it."]);

    // The same table in another form; then a file and a unit that somebody changed.
    let (kept, unit) = ("/etc/anklume/firewall.json", "/etc/systemd/system/anklume-firewall.service");
    bed.sh(&format!("cp {kept} kept; cp {unit} unit; python3 -c 'import json; print(json.dumps(json.load(open(\"kept\"))))' > {kept}")).ok();
    upgrade("").code(1).says(&["~ file /etc/anklume/firewall.json  (the same table", "there is no terminal"]);
    upgrade("--yes").ok();
    bed.sh(&format!("cmp {kept} kept; test ! -e {kept}.bak; test $(stat -c %a {kept}) = 600")).ok();
    bed.sh(&format!("echo by hand > {kept}; echo '# by hand' >> {unit}")).ok();
    upgrade("--yes").ok().says(&["~ service anklume-firewall  (what is there is kept with `.bak`"]);
    bed.sh(&format!("cmp {kept} kept; cmp {unit} unit; grep -x 'by hand' {kept}.bak; grep -x '# by hand' {unit}.bak"))
        .ok();
    upgrade("--yes").ok().says(&["Every file is as"]);
}

#[test]
fn every_command_that_reads_the_file_refuses_one_for_another_anklume() {
    let bed = Bed::bare(&["--no-incus", "--no-images"]).unwrap();
    bed.infra("project_name: x\nrequires_anklume: '>=99'\nglobal: {}\ndomains: {}\na_key_of_then: 1\n");
    let commands = [
        "check",
        "plan",
        "plan --offline",
        "apply --yes",
        "status",
        "destroy --yes",
        "start",
        "stop",
        "restart",
        "pause",
        "resume",
        "exec a -- true",
        "shell a",
        "logs a",
        "move a --to b",
        "copy a b",
        "backup a /nowhere/at/all",
        "image list",
        "image refresh",
        "image export",
        "image import",
        "image prune",
        "firewall apply",
        "firewall explain a b",
        "firewall verify",
        "firewall doctor",
        "firewall export",
        "upgrade",
        "upgrade images",
        "upgrade guests",
        "upgrade files --write --yes",
        "upgrade --rebuild a",
    ];
    for command in commands {
        let words: Vec<&str> = command.split(' ').collect();
        let refused = bed.try_anklume(&words).code(2).says(&["the file asks for `>=99`"]);
        refused.says_not(&["a_key_of_then:"]).says_not(&["is not a key"]);
    }
}
