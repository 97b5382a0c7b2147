//! A machine is rebuilt from wherever an earlier run stood.

use super::*;
use crate::infra::model::RunState;
use crate::plan::Kind;

const MAC: &str = "10:66:6a:00:00:01";

fn machine() -> Value {
    json!({"name": "dev", "project": "pro", "type": "container", "status": "Running", "description": "The one",
        "profiles": ["default", "small"], "ephemeral": false,
        "config": {"user.anklume.infra": "lab", "user.anklume.domain": "pro", "user.mine": "by hand",
            "user.anklume.image": "images:debian/12", "boot.autostart": "true", "snapshots.schedule": "@daily",
            "image.os": "Debian", "volatile.base_image": "aa", "volatile.eth0.hwaddr": MAC},
        "devices": {
            "root": {"type": "disk", "path": "/", "pool": "p", "size": "5GiB"},
            "data": {"type": "disk", "path": "/data", "pool": "p", "source": "dev-data"},
            "eth0": {"type": "nic", "network": "net-pro", "ipv4.address": "10.0.0.1"}},
        "expanded_devices": {"eth0": {"type": "nic"}, "eth1": {"type": "nic"}, "root": {"type": "disk"}}})
}

/// As it is kept.
fn kept() -> Value {
    let mut old = Record::of(&machine()).giving_up("dev", &machine()).apply(&machine());
    old["name"] = json!("dev-anklume-old");
    for (key, value) in [("project", "pro"), ("type", "container"), ("status", "Stopped")] {
        old[key] = json!(value);
    }
    old
}

fn wanted() -> WantedInstance {
    WantedInstance {
        vm: false,
        image: "images:debian/13".into(),
        files: Vec::new(),
        state: RunState::Running,
        state_written: false,
    }
}

/// What a run does for a machine that stands so.
fn told(there: Option<&Value>, old: Option<&Value>, what: impl Fn(&Rebuild<'_>) -> Vec<Action>) -> Vec<String> {
    let found = |listed: &Value| Instances.found(listed).unwrap();
    let (there_found, old_found) = (there.map(found), old.map(found));
    let rebuild = Rebuild {
        id: Id::within(Kind::Instance, "pro", "dev"),
        domain: "pro",
        name: "dev",
        instance: wanted(),
        there: there_found.as_ref().zip(there),
        old: old_found.as_ref().zip(old),
    };
    what(&rebuild).iter().flat_map(|action| &action.calls).map(Call::words).collect()
}

fn making(rebuild: &Rebuild<'_>) -> Vec<Action> {
    rebuild.making(&rebuild.record())
}

const STOP: &str = "incus stop dev --project pro --timeout 60";
const EDIT: &str = "incus config edit dev --project pro";
const ASIDE: &str = "incus rename dev dev-anklume-old --project pro";
const CREATE: &str = "incus create anklume/images/debian/13 dev --project pro";
const START: &str = "incus start dev --project pro";
const UNPROTECT: &str = "incus config unset dev-anklume-old security.protection.delete --project pro";

#[test]
fn each_run_goes_on_from_where_the_last_one_stood() {
    let stopped = |mut listed: Value| {
        listed["status"] = json!("Stopped");
        listed
    };
    let of = |there: Option<Value>, old: Option<Value>| told(there.as_ref(), old.as_ref(), making);
    assert_eq!(of(Some(machine()), None), [STOP, EDIT, ASIDE, CREATE, START]);
    assert_eq!(of(Some(stopped(machine())), None), [EDIT, ASIDE, CREATE, START]);
    let mut marked = kept();
    marked["name"] = json!("dev");
    assert_eq!(of(Some(marked), None), [EDIT, ASIDE, CREATE, START]);
    assert_eq!(of(None, Some(kept())), [CREATE, START]);
    assert_eq!(of(Some(stopped(machine())), Some(kept())), [START]);
    assert_eq!(of(Some(machine()), Some(kept())), [""; 0], "only its health is left to be seen");
}

#[test]
fn what_is_kept_has_nothing_that_the_new_one_is_to_have() {
    let old = kept();
    let root = json!({"type": "disk", "path": "/", "pool": "p", "size": "5GiB"});
    let none = json!({"type": "none"});
    assert_eq!(old["devices"], json!({"root": root, "eth0": none, "eth1": none}));
    let config = old["config"].as_object().unwrap();
    assert!(!config.contains_key("volatile.eth0.hwaddr") && !config.contains_key("snapshots.schedule"));
    assert_eq!((&config["boot.autostart"], &config["security.protection.delete"]), (&json!("false"), &json!("true")));
}

#[test]
fn the_new_one_has_all_that_the_old_one_had_but_its_root_disk() {
    let of = |there: Option<&Value>, old: Option<&Value>| {
        let body = std::cell::RefCell::new(Value::Null);
        told(there, old, |rebuild| {
            let actions = making(rebuild);
            let create = actions.iter().find(|action| action.verb == Verb::Create).unwrap();
            let crate::incus::call::Input::Body(sent) = &create.calls[0].input else { panic!("no body") };
            *body.borrow_mut() = sent.clone();
            actions
        });
        body.into_inner()
    };
    let body = of(Some(&machine()), None);
    assert_eq!(body, of(None, Some(&kept())), "whether an earlier run set the old one aside or this one");
    assert_eq!(body["devices"], machine()["devices"]);
    assert_eq!((&body["profiles"], &body["description"]), (&machine()["profiles"], &json!("The one")));
    let expected = json!({"user.anklume.infra": "lab", "user.anklume.domain": "pro", "user.mine": "by hand",
        "user.anklume.image": "images:debian/13", "boot.autostart": "true", "snapshots.schedule": "@daily",
        "volatile.eth0.hwaddr": MAC});
    assert_eq!(body["config"], expected);
}

#[test]
fn the_old_one_comes_back_whole_from_wherever_it_is() {
    let putting_back = |rebuild: &Rebuild<'_>| rebuild.putting_back();
    let back = |there: Option<&Value>, old: Option<&Value>| told(there, old, putting_back);
    let rename = "incus rename dev-anklume-old dev --project pro";
    assert_eq!(
        back(Some(&machine()), Some(&kept())),
        ["incus delete dev --force --project pro", rename, EDIT, EDIT, START]
    );
    assert_eq!(back(None, Some(&kept())), [rename, EDIT, EDIT, START]);
    let mut marked = kept();
    marked["name"] = json!("dev");
    assert_eq!(back(Some(&marked), None), [EDIT, EDIT, START]);
    let mut stopped = machine();
    stopped["status"] = json!("Stopped");
    assert_eq!(back(Some(&stopped), None), [START]);
    let [devices, config] = Record::read(&kept()).unwrap().getting_back(&kept());
    let whole = config.apply(&devices.apply(&kept()));
    for part in ["config", "devices", "profiles", "description"] {
        assert_eq!(whole[part], machine()[part]);
    }
}

#[test]
fn the_old_one_goes_in_the_end_unless_it_has_snapshots() {
    let (there, old) = (machine(), kept());
    let ending = |snapshots: bool| {
        told(Some(&there), Some(&old), |rebuild| rebuild.ending(snapshots, "20261124-190000").into_iter().collect())
    };
    assert_eq!(ending(false), [UNPROTECT, "incus delete dev-anklume-old --force --project pro"]);
    let edit = "incus config edit dev-anklume-old --project pro";
    let rename = "incus rename dev-anklume-old dev-before-replace-20261124-190000 --project pro";
    assert_eq!(ending(true), [edit, rename]);
}
