//! Row 29: the files that Ansible reads, the inventory that it asks for, and the roles that it is run with.

use std::path::Path;
use std::process::Command;
use std::time::SystemTime;

use serde_json::{Value, json};

use crate::harness::{Bed, Output, edited, skip, with_programs};

const TWO: &str = r#"
project_name: roles
global: {default_os_image: images:debian/13}
domains:
  ai-tools:
    ephemeral: true
    trust_level: trusted
    profiles: &programs
      programs:
        devices:
          @PROGRAMS@
    machines:
      web: {profiles: [default, programs], roles: [told], description: "as {{ it }} is"}
      still: {profiles: [default, programs], roles: [told], state: stopped}
  pro:
    ephemeral: true
    profiles: *programs
    machines:
      dev: {profiles: [default, programs], roles: [told], config: {user.note: x}}
"#;

/// Writes what it was told, and what its owner said beside anklume's variables.
const ROLE: &str = r#"
- name: Write it down
  ansible.builtin.copy:
    dest: /etc/told
    content: "{{ instance_name }} of {{ domain_name }}: {{ instance_description | default('-') }}, {{ mine | default('-') }}\n"
- name: Write another one
  tags: [other]
  ansible.builtin.copy: {dest: /etc/other, content: "other\n"}
"#;

/// A shell in a bed with Ansible in its PATH.
struct Ansible<'a> {
    bed: &'a Bed,
    dir: String,
}

impl Ansible<'_> {
    /// The directory that it is in, or why there is none.
    fn ready() -> Result<String, String> {
        let sandbox = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/sandbox");
        let told = Command::new(sandbox).arg("ansible").output().unwrap();
        let said = String::from_utf8_lossy(&told.stderr).trim().to_owned();
        match told.status.code() {
            Some(0) => Ok(String::from_utf8(told.stdout).unwrap().trim().to_owned()),
            Some(77) => Err(said.lines().last().unwrap_or_default().to_owned()),
            code => panic!("there is no Ansible ({code:?})\n{said}"),
        }
    }

    fn sh(&self, script: &str) -> Output {
        let dir = &self.dir;
        self.bed.sh(&format!(
            "export PATH={dir}/bin:$PATH ANSIBLE_COLLECTIONS_PATH={dir}/collections ANSIBLE_HOME=$PWD/.ansible
             export ANSIBLE_PYTHON_INTERPRETER=/usr/bin/python3 ANSIBLE_GATHERING=explicit ANSIBLE_NOCOLOR=1
             {script}"
        ))
    }
}

fn told(bed: &Bed, project: &str, machine: &str) -> String {
    bed.guest(
        project,
        machine,
        "cat /etc/told 2>/dev/null; rm -f /etc/told; ls /etc/other 2>/dev/null; rm -f /etc/other",
    )
    .stdout
    .trim()
    .replace('\n', " ")
}

#[test]
fn coverage_29_ansible_reaches_the_machines_and_gives_them_their_roles() {
    let dir = match Ansible::ready() {
        Ok(dir) => dir,
        Err(why) => return skip("coverage_29_ansible_reaches_the_machines_and_gives_them_their_roles", &why),
    };
    let bed = Bed::up();
    let ansible = Ansible { bed: &bed, dir };
    bed.infra(&with_programs(TWO));
    bed.write("roles/told/tasks/main.yml", ROLE);
    bed.write("host_vars/dev.yml", "mine: by hand\n");
    bed.try_anklume(&["apply", "--yes", "--provision"]).code(1).says(&["`ansible-playbook` is not installed"]);
    assert!(!bed.has("/1.0/projects/pro"), "nothing was made that could not be provisioned");

    // Those that the apply made, and of these those that run.
    bed.anklume(&["sync", "--offline"]);
    ansible.sh("$ANKLUME apply --yes --provision").ok().says(&["PLAY [told]", "changed: [web]", "changed: [dev]"]);
    assert_eq!(told(&bed, "pro", "dev"), "dev of pro: -, by hand /etc/other");
    assert_eq!(told(&bed, "ai-tools", "web"), "web of ai-tools: as {{ it }} is, - /etc/other");
    bed.infra(&with_programs(TWO).replace("{user.note: x}", "{security.privileged: false}"));
    ansible.sh("$ANKLUME apply --yes --restart --provision").ok().says(&["changed: [dev]"]).says_not(&["[web]"]);
    ansible.sh("$ANKLUME apply --yes --provision").ok().says_not(&["PLAY"]);
    bed.infra(&with_programs(TWO));
    bed.apply(&["--restart"]);

    both_inventories_lead_to_them(&ansible);
    provisioning_is_what_was_asked_for(&ansible);
}

/// By the files, and by what Incus says.
fn both_inventories_lead_to_them(ansible: &Ansible<'_>) {
    let bed = ansible.bed;
    bed.anklume(&["sync"]);
    // Not beside the infrastructure, and not run there either.
    bed.sh("mkdir -p scripts; ln -s $ANKLUME scripts/anklume-inventory").ok();
    let script = "-i scripts/anklume-inventory";
    let files = "-i inventory -c community.general.incus";
    for inventory in [script, files] {
        let ping = ansible.sh(&format!("ansible {inventory} 'all:!still' -m ping -o")).ok();
        let _ = ping.says(&["web | SUCCESS", "dev | SUCCESS"]);
        let groups = ansible.sh(&format!("ansible {inventory} ai_tools --list-hosts")).ok();
        let _ = groups.says(&["web", "still"]).says_not(&["dev"]);
    }
    ansible
        .sh(&format!("ansible {script} 'state_running:&role_told:&type_lxc:!trust_trusted' -m ping -o"))
        .ok()
        .says(&["dev | SUCCESS"])
        .says_not(&["web"]);
    ansible.sh(&format!("ansible {script} state_stopped -m ping -o")).code(4).says(&["still | UNREACHABLE"]);

    let list = |inventory: &str| ansible.sh(&format!("ansible-inventory {inventory} --list")).ok().json();
    let (live, written) = (list(script), list("-i inventory"));
    for machine in ["web", "dev", "still"] {
        let of = |list: &Value| list["_meta"]["hostvars"][machine].as_object().unwrap().clone();
        let (mut live, written) = (of(&live), of(&written));
        assert_eq!(live.remove("ansible_connection"), Some(json!("community.general.incus")));
        assert_eq!(live.remove("ansible_incus_remote"), Some(json!("local")));
        let names: Vec<&str> = written.keys().map(String::as_str).collect();
        assert!(!names.contains(&"ansible_connection") && !names.contains(&"ansible_user"), "{names:?}");
        // Ansible reads the files beside where it is run for either.
        assert_eq!(Value::Object(live), Value::Object(written), "{machine}");
    }
    let address = &bed.machine("pro", "dev")["devices"]["eth0"]["ipv4.address"];
    assert_eq!(&written["_meta"]["hostvars"]["dev"]["instance_ip"], address);
    // From elsewhere it finds the infrastructure all the same, or is told where it is.
    ansible.sh("D=$PWD; cd /; ansible-inventory -i $D/scripts/anklume-inventory --graph").ok().says(&["--dev"]);
    ansible.sh("cp -d scripts/anklume-inventory /srv; D=$PWD; cd /; ! /srv/anklume-inventory --list; ANKLUME_FILE=$D/infra.yml /srv/anklume-inventory --host dev")
        .ok()
        .says(&["there is no `infra.yml`", "\"instance_name\": \"dev\""]);
    bed.anklume(&["inventory", "--graph"])
        .says(&["@all:", "  |--@role_told:\n  |  |--web\n  |  |--still\n  |  |--dev\n"]);
    bed.try_anklume(&["inventory", "--host", "dav"]).code(1).says(&["did you mean `dev`?"]);
}

fn provisioning_is_what_was_asked_for(ansible: &Ansible<'_>) {
    let bed = ansible.bed;
    for (project, machine) in [("ai-tools", "web"), ("pro", "dev")] {
        told(bed, project, machine);
    }
    ansible.sh("$ANKLUME provision --check").ok().says(&["changed: [web]", "still is left out: it is stopped"]);
    ansible
        .sh("$ANKLUME provision pro --tags other -- -v --diff")
        .ok()
        .says(&["+++ after: /etc/other", "changed: [dev]"])
        .says_not(&["web"]);
    assert_eq!((told(bed, "pro", "dev").as_str(), told(bed, "ai-tools", "web").as_str()), ("/etc/other", ""));
    ansible.sh("mkdir -p elsewhere; cd elsewhere; $ANKLUME -f ../infra.yml provision").ok();
    assert_eq!(told(bed, "ai-tools", "web"), "web of ai-tools: as {{ it }} is, - /etc/other");
    let left = bed.sh("ls -A").ok();
    let _ = left.says_not(&["provision", ".anklume-inventory"]);

    ansible.sh("$ANKLUME provision still").code(1).says(&["no machine that has roles runs", "`anklume apply`"]);
    ansible.sh("$ANKLUME provision dav").code(1).says(&["no domain or machine is called `dav`"]);
    bed.write("roles/told/tasks/main.yml", "- ansible.builtin.command: 'false'\n");
    ansible.sh("$ANKLUME provision").code(1).says(&["FAILED!", "Ansible ended with exit code 2"]);
    bed.write("roles/told/tasks/main.yml", "- odd\n");
    ansible.sh("$ANKLUME provision").code(1).says(&["Ansible refuses the roles of these machines"]);
    bed.infra(&with_programs(TWO).replace(
        "dev: {profiles: [default, programs], roles: [told]",
        "dev: {profiles: [default, programs], roles: [lost]",
    ));
    bed.write("roles/told/tasks/main.yml", ROLE);
    let lost =
        ["Ansible finds no role `lost`, which the file gives to dev", "`roles/lost`", "2 files of variables are older"];
    ansible.sh("echo 'mine: 1' >> host_vars/web.yml; sed -i s/ephemeral:.*/ephemeral:x/ host_vars/web.yml; $ANKLUME provision").code(1).says(&lost);
    bed.infra(&with_programs(TWO).replace("roles: [told]", "weight: 2"));
    ansible.sh("$ANKLUME provision").code(1).says(&["no machine in the file has roles"]);
    ansible.sh("$ANKLUME provision web").code(1).says(&["`web` has no roles"]);
}

const PLAIN: &str = "
project_name: files
global: {}
domains:
  pro: {machines: {dev: {}, web: {}}}
  play: {ephemeral: true, machines: {toy: {}}}
";

fn modified(path: &Path) -> SystemTime {
    std::fs::metadata(path).unwrap().modified().unwrap()
}

#[test]
fn coverage_29_sync_keeps_what_is_not_anklumes_byte_for_byte() {
    let bed = Bed::bare(&["--no-incus"]).unwrap();
    let place = |name: &str| bed.dir().join(name);
    let read = |name: &str| std::fs::read_to_string(place(name)).unwrap();
    let own = "---\r\n# Mine\r\nsecret: !vault |\r\n  1234\r\nodd: [";
    bed.infra(PLAIN);
    bed.write("host_vars/dev.yml", own);
    bed.write("elsewhere/web.yml", "mine: 1\n");
    bed.sh("chmod 600 elsewhere/web.yml; ln -s ../elsewhere/web.yml host_vars/web.yml").ok();
    let sync = ["sync", "--offline"];
    bed.try_anklume(&["sync", "--offline", "--check", "--diff"]).code(1).says(&[
        "~ host_vars/dev.yml",
        "+ instance_name: dev",
        "+ group_vars/all.yml",
        "8 would be written, of 8 files",
    ]);
    assert!(!place("group_vars").exists());
    bed.sh("chmod 640 infra.yml").ok();
    bed.anklume(&sync).says(&["8 written, of 8 files"]);
    assert_eq!(bed.sh("stat -c %a group_vars/all.yml").ok().stdout, "640\n");
    let dev = read("host_vars/dev.yml");
    assert!(
        dev.starts_with("---\r\n# === MANAGED BY infra.yml ===\r\n")
            && dev.ends_with(own.trim_start_matches("---\r\n"))
    );
    bed.sh("test -L host_vars/web.yml && test $(stat -c %a elsewhere/web.yml) = 600").ok();
    assert!(read("elsewhere/web.yml").ends_with("=== END MANAGED ===\nmine: 1\n"));
    assert!(read("group_vars/pro.yml").contains("\n# Write your own variables here"));

    // The second time nothing is touched.
    let names = bed.sh("find inventory group_vars host_vars -type f").ok().stdout;
    let before: Vec<SystemTime> = names.lines().map(|name| modified(&place(name))).collect();
    bed.anklume(&["sync", "--offline", "--prune", "--diff"]).says(&["0 written"]);
    assert_eq!(names.lines().map(|name| modified(&place(name))).collect::<Vec<_>>(), before);
    bed.anklume(&["sync", "--offline", "--check"]);

    // By hand: in what is anklume's, beside it, and where Ansible reads only one of two.
    bed.write("group_vars/pro.yml", &edited(&read("group_vars/pro.yml"), &[("domain_name: pro", "domain_name: mine")]));
    bed.sh("echo 'instance_ip: 1.2.3.4' >> elsewhere/web.yml; mkdir group_vars/play").ok();
    bed.anklume(&sync).says(&[
        "~ group_vars/pro.yml",
        "changed by hand: it is kept as group_vars/pro.yml.bak",
        "host_vars/web.yml: `instance_ip` is written twice",
        "group_vars/play.yml is not read by Ansible, since group_vars/play is there too",
        "1 written",
    ]);
    assert!(
        read("group_vars/pro.yml.bak").contains("domain_name: mine")
            && read("group_vars/pro.yml").contains("domain_name: pro\n")
    );
    bed.write("group_vars/pro.yml", "# === MANAGED BY infra.yml ===\nolder: 1\n# === END MANAGED ===\nmine: 2");
    bed.anklume(&sync).says(&["an earlier anklume wrote it", "group_vars/pro.yml.2.bak"]);
    assert!(read("group_vars/pro.yml").ends_with("=== END MANAGED ===\nmine: 2"));

    // What left the infrastructure.
    bed.infra(&edited(PLAIN, &[("dev: {}, ", ""), ("  play: {ephemeral: true, machines: {toy: {}}}\n", "")]));
    bed.write("host_vars/another.yml", "mine: 3\n");
    bed.anklume(&sync).says(&["! host_vars/toy.yml  not in the infrastructure; `--prune` removes it", "3 written"]);
    bed.anklume(&["sync", "--offline", "--prune"]).says(&[
        "- host_vars/toy.yml",
        "- group_vars/play.yml",
        "! host_vars/dev.yml",
        "it was protected",
    ]);
    assert!(
        !place("host_vars/toy.yml").exists()
            && !place("inventory/play.yml").exists()
            && place("host_vars/another.yml").exists()
    );

    // And out again.
    bed.anklume(&["sync", "--clear"]);
    assert_eq!(read("host_vars/dev.yml"), own);
    assert_eq!(read("elsewhere/web.yml"), "mine: 1\ninstance_ip: 1.2.3.4\n");
    assert_eq!(read("group_vars/pro.yml"), "mine: 2");
    assert!(!place("inventory").exists() && !place("group_vars/all.yml").exists());
    bed.infra(&edited(PLAIN, &[("play:", "ungrouped:")]));
    bed.try_anklume(&sync).code(1).says(&["Ansible has a group of its own that is called `ungrouped`"]);
}

#[test]
fn the_files_have_the_addresses_that_incus_holds() {
    let bed = Bed::up();
    let file = "project_name: held\nglobal: {default_os_image: images:alpine/3.20}\ndomains:\n  pro:\n    ephemeral: true\n    machines:\n      dev: {state: stopped}\n";
    bed.infra(file);
    bed.apply(&[]);
    // Another domain and machine come first, and would have these addresses on an empty host.
    bed.infra(&edited(
        file,
        &[("      dev:", "      first: {}\n      dev:"), ("  pro:", "  a: {machines: {}}\n  pro:")],
    ));
    bed.anklume(&["sync", "--dir", "held"]);
    bed.anklume(&["sync", "--dir", "empty", "--offline"]);
    let address = |dir: &str| bed.sh(&format!("grep -h ^instance_ip {dir}/host_vars/dev.yml")).ok().stdout;
    assert_eq!(address("held"), "instance_ip: \"10.120.0.1\"\n");
    assert_eq!(address("empty"), "instance_ip: \"10.120.1.2\"\n");
    // What is not made yet is in the files and not in the inventory.
    bed.sh("test -e held/host_vars/first.yml").ok();
    bed.anklume(&["inventory", "--list"]).says(&["\"dev\""]).says_not(&["\"first\""]);
}
