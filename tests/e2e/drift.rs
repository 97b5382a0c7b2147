//! What happens beside the file: things changed by hand, things that were there before, things of somebody else.

use serde_json::json;

use crate::harness::{Bed, edited};

const DRIFT: &str = "
project_name: drift
global: {}
domains:
  lab:
    ephemeral: true
    profiles: {small: {config: {limits.processes: 200}}}
    machines:
      one: {config: {limits.cpu: 1, user.note: ours}, profiles: [default, small]}
      two: {}
  out:
    ephemeral: true
    machines: {far: {}}
network_policies:
  - {from: far, to: two, ports: [80], protocol: tcp}
";

fn drift() -> Bed {
    let bed = Bed::up();
    bed.infra(DRIFT);
    bed.apply(&[]);
    bed
}

#[test]
fn coverage_32_what_was_added_by_hand_stays_and_what_was_changed_is_put_back() {
    let bed = drift();
    let by_hand = |script: &str, actions: &[&str]| {
        bed.sh(&format!("exec </dev/null; export INCUS_PROJECT=lab; {script}")).ok();
        bed.turns(DRIFT, &[], actions)
    };
    // Changed, unset, and added beside: keys, devices, profiles, descriptions.
    let plan = by_hand(
        "incus config set one limits.cpu=2 user.mine=by-hand; incus config unset one user.note
         incus config device add one mine disk source=/usr/share/common-licenses path=/mnt
         incus config device set one eth0 user.mine=x",
        &["update instance one"],
    );
    assert_eq!(plan.fields("update instance one"), ["limits.cpu: 2 -> 1 (live)", "user.note: - -> ours (live)"]);
    let one = bed.machine("lab", "one");
    assert_eq!((&one["config"]["user.mine"], &one["devices"]["mine"]["path"]), (&json!("by-hand"), &json!("/mnt")));
    assert_eq!(one["devices"]["eth0"]["user.mine"], "x");
    // The file says nothing of the project's description.
    let actions = ["update network net-lab", "update profile lab/default", "update profile lab/small"];
    by_hand(
        "incus network set net-lab ipv4.nat=false user.mine=x; incus profile set small limits.processes=7 user.mine=x
         incus profile device set default eth0 security.mac_filtering=false
         incus project set lab user.mine=x; incus query /1.0/projects/lab -X PATCH -d '{\"description\": \"x\"}'",
        &actions,
    );
    assert_eq!(bed.incus("/1.0/networks/net-lab")["config"]["user.mine"], "x");
    assert_eq!(bed.incus("/1.0/profiles/small?project=lab")["config"]["user.mine"], "x");
    let lab = bed.incus("/1.0/projects/lab");
    assert_eq!((&lab["config"]["user.mine"], &lab["description"]), (&json!("x"), &json!("x")));
    by_hand("incus profile assign one default; incus config device remove one mine", &["update instance one"]);
    // Nothing of it is ours: no plan.
    by_hand(
        "incus profile create mine; incus profile assign two default,mine; incus config set two user.x=1",
        &["update instance two"],
    );
    by_hand("incus snapshot create one s1; incus config set one user.y=2; incus create --empty hand -n net-lab", &[]);

    // Gone by hand, from the machine to the whole domain.
    by_hand("incus stop -f two", &["start instance two"]);
    by_hand("incus pause two", &[]);
    by_hand("incus resume two; incus delete -f two", &["create instance two"]);
    by_hand(
        "incus delete -f hand; incus profile assign one default; incus profile delete small",
        &["create profile lab/small", "update instance one"],
    );
    let everything = [
        "create instance one",
        "create instance two",
        "create network net-lab",
        "create profile lab/default",
        "create profile lab/small",
        "create project lab",
    ];
    by_hand(
        "incus delete -f one two; incus profile delete small; incus profile delete mine; incus profile device remove default eth0; incus network delete net-lab; incus project delete lab",
        &everything,
    );
    bed.wait_for_guests(&[("lab", "one", "10.120.0.1"), ("lab", "two", "10.120.0.2")]);
    bed.packets(true, &[("out/far", "tcp 10.120.0.2:80")]);
    bed.packets(false, &[("out/far", "tcp 10.120.0.1:80")]);
}

#[test]
fn the_bridge_and_the_table_come_back() {
    let bed = drift();
    // A bridge whose interface was deleted under Incus; the table flushed, and changed.
    bed.sh("nft flush ruleset; nft 'add table inet mine; add chain inet mine keep'").ok();
    bed.turns(DRIFT, &[], &["create firewall"]);
    bed.wait_for_guests(&[("lab", "one", "10.120.0.1"), ("lab", "two", "10.120.0.2"), ("out", "far", "10.120.1.1")]);
    for change in [
        "delete element inet anklume bridges '{ \"net-lab\" }'",
        "flush chain inet anklume forward",
        "add chain inet anklume own",
    ] {
        bed.sh(&format!("nft {change}")).ok();
        bed.turns(DRIFT, &[], &["update firewall"]);
    }
    bed.packets(false, &[("out/far", "tcp 10.120.0.1:80"), ("lab/one", "ping 10.120.1.1")]);
    bed.packets(true, &[("out/far", "tcp 10.120.0.2:80")]);
    // Stopped machines and no bridge: it is made again, and they start.
    bed.sh("exec </dev/null; incus stop -f one two --project lab; incus query /1.0/networks/net-lab > net.json
            incus profile device remove default eth0 --project lab
            incus config device remove one eth0 --project lab; incus config device remove two eth0 --project lab
            incus network delete net-lab")
        .ok();
    let actions = [
        "create network net-lab",
        "start instance one",
        "start instance two",
        "update instance one",
        "update instance two",
        "update profile lab/default",
    ];
    bed.turns(DRIFT, &[], &actions);
    bed.wait_for_guests(&[("lab", "one", "10.120.0.1"), ("lab", "two", "10.120.0.2")]);
}

#[test]
fn things_of_the_same_name_are_taken_over_in_sight() {
    let bed = Bed::up();
    bed.sh("exec </dev/null; incus project create lab -c features.images=false -c user.mine=x
            incus network create net-lab ipv4.address=10.120.0.254/24 ipv4.nat=true ipv6.address=none
            incus profile create small --project lab; incus profile set small user.mine=x --project lab
            incus profile device add default root disk path=/ pool=default --project lab
            incus launch images:debian/13 two --project lab -n net-lab -c user.mine=x")
        .ok();
    bed.infra(DRIFT);
    let pid = bed.pid("lab", "two");
    let plan = bed.plan(&[]);
    let adopted: Vec<String> = plan.sorted().into_iter().filter(|action| action.starts_with("adopt")).collect();
    let all = [
        "adopt instance two",
        "adopt network net-lab",
        "adopt profile lab/default",
        "adopt profile lab/small",
        "adopt project lab",
    ];
    assert_eq!(adopted, all);
    bed.anklume(&["plan"]).says(&["anklume takes it over", "~ adopt instance two"]);
    let held = plan.held();
    assert_eq!(held, ["restart instance two: eth0 ipv4.address"]);
    bed.try_anklume(&["apply", "--yes"]).code(1);
    assert_eq!(bed.pid("lab", "two"), pid, "it was not restarted");
    bed.apply(&["--restart"]);
    bed.plan_is_empty();
    let two = bed.machine("lab", "two");
    assert_eq!((&two["config"]["user.mine"], &two["config"]["user.anklume.infra"]), (&json!("x"), &json!("drift")));
    assert_eq!(bed.incus("/1.0/projects/lab")["config"]["user.mine"], "x");
    bed.wait_for_guest("lab", "two", "10.120.0.2");
}

#[test]
fn coverage_32_what_belongs_to_another_infrastructure_is_never_touched() {
    let bed = drift();
    let before = bed.everything();
    let other = "project_name: other\nglobal: {}\ndomains:\n  lab: {ephemeral: true, machines: {spy: {}}}\n";
    bed.write("other.yml", other);
    let refused = bed.try_anklume(&["-f", "other.yml", "apply", "--yes"]).code(1);
    let said = [
        "project lab belongs to the infrastructure `drift`",
        "network net-lab belongs to",
        "`project_name` (now `other`)",
    ];
    refused.says(&said);
    bed.try_anklume(&["-f", "other.yml", "destroy", "--yes", "lab", "--force"]).ok().says(&["Nothing to delete."]);
    bed.anklume(&["-f", "other.yml", "destroy", "--yes"]).says(&["Nothing to delete."]);
    bed.is_unchanged(&before);
    // Beside each other, both are as their files say.
    bed.write("other.yml", &edited(other, &[("  lab:", "  lab2:")]));
    bed.anklume(&["-f", "other.yml", "apply", "--yes", "--prune"]);
    assert_eq!(bed.incus("/1.0/networks/net-lab2")["config"]["ipv4.address"], "10.120.2.254/24");
    bed.plan_is_empty();
    bed.anklume(&["-f", "other.yml", "plan", "--detailed-exitcode"]).says(&["Nothing to do"]);
    bed.packets(false, &[("lab2/spy", "ping 10.120.0.1"), ("lab/one", "ping 10.120.2.1")]);
    bed.packets(true, &[("out/far", "tcp 10.120.0.2:80")]);
    bed.anklume(&["-f", "other.yml", "destroy", "--yes"]);
    bed.plan_is_empty();
    bed.packets(false, &[("out/far", "ping 10.120.0.1")]);
}
