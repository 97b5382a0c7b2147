//! Rows 18 and 19: anklume in a machine that anklume made: with an Incus of its own, two levels deep, and with the
//! host's Incus behind a forwarded socket.

use crate::harness::{Bed, with_programs};

/// A container that has the host's programs, and can run an Incus of its own.
const HOST: &str = r#"
    profiles:
      host:
        config: {security.nesting: true}
        devices:
          @PROGRAMS@
          anklume: {type: disk, source: "@ANKLUME@", path: /opt/anklume, readonly: true}
          images: {type: disk, source: /srv/images, path: /srv/images, readonly: true}
"#;

/// The infrastructure of one level: its domain, its machine, and a plain one beside it.
fn level(number: u32, anklume: &str) -> String {
    let profile = with_programs(HOST).replace("@ANKLUME@", anklume);
    format!(
        "project_name: level{number}
global:
  default_os_image: images:alpine/3.20
  image_repository: /srv/images
  addressing: {{zone_base: {zone}}}
domains:
  deep{number}:
    ephemeral: true{profile}    machines:
      host{number}: {{profiles: [default, host]}}
      plain{number}: {{}}
",
        zone = 100 + 20 * number,
    )
}

/// Starts an Incus in a container; so many ids are left for the containers in it.
fn incusd(ids: &str) -> String {
    format!(
        "mkdir -p /var/lib/incus /var/log/incus /var/cache/incus /run
         grep -q nobody /etc/passwd || echo nobody:x:65534:65534::/:/bin/false >> /etc/passwd
         grep -q nogroup /etc/group || echo nogroup:x:65534: >> /etc/group
         echo root:{ids} > /etc/subuid; echo root:{ids} > /etc/subgid
         INCUS_SKIP_INSTANCE_TYPES=1 INCUS_SECURITY_APPARMOR=false setsid /usr/libexec/incus/incusd --group root \
             --logfile /var/log/incus/incusd.log </dev/null >/var/log/incusd.out 2>&1 &
         incus admin waitready --timeout 60 && incus storage create default dir &&
         incus profile device add default root disk path=/ pool=default"
    )
}

/// Not `/usr/sbin` first: its `ip` is a link to `/bin/ip`, which is the image's own there.
const PATH: &str = "export PATH=/opt/anklume:/usr/bin:/usr/sbin:/bin:/sbin";

#[test]
fn coverage_18_nesting_works_two_levels_deep() {
    let bed = Bed::up();
    let anklume = bed.sh("dirname $ANKLUME").ok().stdout.trim().to_owned();
    bed.infra(&level(1, &anklume));
    bed.sh("mkdir -p /srv/images").ok();
    bed.anklume(&["image", "export"]);
    bed.apply(&[]);
    bed.plan_is_empty();
    let context = "cd /etc/anklume && head -n 1 absolute_level relative_level vm_nested yolo | grep -v '^$'";
    let expected = |level: u32| {
        format!(
            "==> absolute_level <==\n{level}\n==> relative_level <==\n{level}\n==> vm_nested <==\nfalse\n==> yolo <==\nfalse\n"
        )
    };
    assert_eq!(bed.guest("deep1", "host1", context).ok().stdout, expected(1));
    bed.guest("deep1", "plain1", "ls /etc/anklume").code(1);
    let key = bed.machine("deep1", "plain1")["config"]["user.anklume.absolute_level"].clone();
    assert_eq!(key, "1", "every machine carries its context");

    // One level down: the same program, an Incus of its own, names with the level's prefix.
    let in_host1 = |script: &str| bed.guest("deep1", "host1", &format!("{PATH}; cd /root; {script}"));
    in_host1(&incusd("100000000:200000000")).ok();
    bed.write("level2.yml", &level(2, "/opt/anklume"));
    bed.sh("incus file push level2.yml host1/root/infra.yml --project deep1 -q").ok();
    in_host1("anklume apply --yes").ok().says(&["project 001-deep2", "001-host2"]);
    in_host1("anklume plan --detailed-exitcode").ok();
    in_host1("incus list --project 001-deep2 -f csv -c ns").ok().says(&["001-host2,RUNNING", "001-plain2,RUNNING"]);
    let table = in_host1("nft list table inet anklume").ok();
    table.says(&["001-net-deep2"]);
    bed.sh("nft list table inet anklume").ok().says(&["net-deep1"]).says_not(&["net-deep2"]);

    // Two levels down.
    let in_host2 = |script: &str| {
        in_host1(&format!("incus exec 001-host2 --project 001-deep2 -- sh -c '{PATH}; cd /root; {script}'"))
    };
    assert_eq!(in_host2(context.replace('\'', "\"").as_str()).ok().stdout, expected(2));
    bed.write("level3.yml", &level(3, "/opt/anklume"));
    bed.write("incusd.sh", &incusd("10000000:100000000"));
    bed.sh("for file in level3.yml incusd.sh; do incus file push $file host1/root/ --project deep1 -q; done").ok();
    in_host1("for file in level3.yml incusd.sh; do incus file push $file 001-host2/root/ --project 001-deep2 -q; done")
        .ok();
    in_host2("sh incusd.sh").ok();
    in_host2("anklume -f level3.yml apply --yes").ok().says(&["002-host3"]);
    in_host2("anklume -f level3.yml plan --detailed-exitcode").ok();
    in_host2("anklume -f level3.yml exec plain3 -- cat /etc/os-release").ok().says(&["ID=alpine"]);
    in_host2("anklume -f level3.yml exec host3 -- cat /etc/anklume/absolute_level").ok().says(&["3"]);
}
