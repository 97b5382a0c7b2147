//! What Incus cannot change in place: a machine is made anew beside the one that is kept.

use serde_json::{Value, json};

use crate::harness::{Bed, edited};

const FILE: &str = "
project_name: anew
global: {default_os_image: images:alpine/3.20}
domains:
  pro:
    machines:
      dev:
        storage_volumes: {data: {path: /data}}
      web: {}
";

/// The one that is kept.
#[track_caller]
fn kept(bed: &Bed) -> String {
    let listed = bed.incus("/1.0/instances?project=pro");
    let names = listed.as_array().unwrap().iter().filter_map(|path| path.as_str()?.rsplit('/').next());
    let names: Vec<&str> = names.map(|name| name.split('?').next().unwrap()).collect();
    let kept: Vec<&&str> = names.iter().filter(|name| name.starts_with("dev-before-replace-")).collect();
    assert_eq!(kept.len(), 1, "{names:?}");
    (*kept[0]).to_owned()
}

#[test]
fn a_machine_is_made_anew_and_what_was_in_it_is_kept() {
    let bed = Bed::up();
    bed.infra(FILE);
    bed.apply(&[]);
    bed.wait_for_guest("pro", "dev", "10.120.0.1");
    bed.guest("pro", "dev", "echo root > /root/f; echo volume > /data/f; sync").ok();
    let before = bed.machine("pro", "dev");

    bed.infra(&edited(FILE, &[("dev:\n", "dev:\n        os_image: images:debian/13\n")]));
    assert_eq!(bed.plan(&[]).held(), ["rebuild instance dev: image"]);
    bed.try_anklume(&["apply", "--yes"]).code(1).says(&["`anklume apply --replace dev` makes it anew"]);
    assert_eq!(bed.machine("pro", "dev")["config"], before["config"], "nothing was done");
    bed.try_anklume(&["apply", "--yes", "--replace", "nobody"]).code(1).says(&["called `nobody`"]);

    let actions = ["create image images:debian/13", "keep instance dev", "create instance dev"];
    assert_eq!(bed.plan(&["--replace", "dev"]).actions(), actions);
    bed.apply(&["--replace", "dev"]).says(&["as dev-before-replace-", "3 done."]);
    bed.wait_for_guest("pro", "dev", "10.120.0.1");
    bed.guest("pro", "dev", "cat /etc/os-release /data/f; ls /root")
        .ok()
        .says(&["ID=debian", "volume\n"])
        .says_not(&["f\n\n"]);
    bed.guest("pro", "dev", "test -e /root/f").code(1);

    let kept = kept(&bed);
    it_is_out_of_the_way(&bed, &kept);
    cloud_init_is_read_later(&bed);

    // It gets its name back, and is the machine again.
    bed.anklume(&["destroy", "dev", "--force", "--yes"]);
    bed.sh(&format!("incus rename {kept} dev --project pro </dev/null")).ok();
    bed.infra(FILE);
    let actions = ["update instance dev", "start instance dev", "update instance web"];
    assert_eq!(bed.plan(&[]).actions(), actions);
    bed.apply(&[]);
    bed.plan_is_empty();
    bed.wait_for_guest("pro", "dev", "10.120.0.1");
    bed.guest("pro", "dev", "cat /root/f /data/f").ok().says(&["root\nvolume\n"]);
}

fn it_is_out_of_the_way(bed: &Bed, kept: &str) {
    let plan = bed.plan(&["--detailed-exitcode"]);
    assert_eq!((plan.actions(), plan.held()), (Vec::new(), vec![format!("kept instance {kept}")]));
    let stands = bed.machine("pro", kept);
    assert_eq!((&stands["status"], &stands["devices"]["eth0"]["ipv4.address"]), (&json!("Stopped"), &Value::Null));
    bed.sh(&format!("incus file pull {kept}/root/f - --project pro </dev/null")).ok().says(&["root\n"]);

    bed.anklume(&["apply", "--prune", "--yes"]);
    bed.anklume(&["start"]).says(&["0 started."]);
    bed.anklume(&["restart", "pro"]).says(&["2 restarted."]);
    bed.try_anklume(&["destroy", kept, "--yes"]).code(1).says(&["protected"]);
    assert_eq!(bed.machine("pro", kept)["status"], "Stopped");
}

fn cloud_init_is_read_later(bed: &Bed) {
    let instance = |bed: &Bed| bed.machine("pro", "web")["config"]["volatile.cloud-init.instance-id"].clone();
    let before = instance(bed);
    let debian = "dev:\n        os_image: images:debian/13\n";
    bed.infra(&edited(FILE, &[("dev:\n", debian), ("web: {}", "web: {cloud_init: {user_data: {runcmd: [id]}}}")]));
    bed.anklume(&["plan"]).says(&["cloud-init runs again at the next start", "`--replace web`"]);
    bed.apply(&[]);
    assert_ne!(instance(bed), before, "for cloud-init it is a new machine at its next start");
}
