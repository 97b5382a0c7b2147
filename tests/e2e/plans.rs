//! What a plan looks like: for people, programs and merge requests, of a part of the file, without an Incus; and that
//! nothing of it tells a secret.

use serde_json::json;

use crate::harness::{Bed, edited, skip};

const PLANS: &str = r##"
project_name: plans
global: {}
domains:
  web:
    ephemeral: true
    profiles: {small: {config: {limits.processes: 200}}}
    machines:
      front: {profiles: [default, small], config: {environment.TOKEN: "hunter2-in-the-environment"}}
      back:
        cloud_init: {user_data: "#cloud-config\npassword: hunter2-in-cloud-init\n"}
  data:
    ephemeral: true
    trust_level: trusted
    internet: false
    machines: {store: {ip: 10.110.0.7, boot_autostart: true}, spare: {state: stopped}}
network_policies:
  - {description: "it's the store", from: front, to: store, ports: [80], protocol: tcp}
"##;

/// A word of every secret in the file.
const SECRET: &str = "hunter2";

#[test]
fn a_plan_tells_people_programs_and_merge_requests_the_same_and_no_secret() {
    let bed = Bed::up();
    bed.infra(PLANS);
    let shown = |args: &[&str]| bed.anklume(&[&["plan"], args].concat()).says_not(&[SECRET]).stdout;
    for format in [&["--format", "text"][..], &["--format", "json"], &["--format", "markdown"], &["--commands"]] {
        assert_eq!(shown(format), shown(format), "the same input gives the same bytes: {format:?}");
    }
    let plan = bed.plan(&[]);
    let totals = json!({"create": 13, "change": 0, "delete": 0, "not_made": 0, "orphans": 0});
    assert_eq!((&plan.0["totals"], &plan.0["infra"]), (&totals, &json!("plans")));
    let afters = plan.0["actions"].as_array().unwrap().iter().map(|action| action["after"].as_array().unwrap());
    for (at, after) in afters.enumerate() {
        assert!(
            after.iter().all(|before| before.as_u64().unwrap() < at as u64),
            "what an action waits for comes first"
        );
    }
    assert!(shown(&[]).ends_with("Plan: 13 to create, 0 to change, 0 to delete.\n"));
    let markdown = shown(&["--format", "markdown"]);
    for text in [
        "### anklume plan: plans\n\nPlan: 13 to create",
        "#### web\n\n```diff\n+ create project web\n",
        "\n#### data\n",
    ] {
        assert!(markdown.contains(text), "{text}\n{markdown}");
    }
    assert_eq!(markdown.matches("```").count(), 6, "each block is closed\n{markdown}");

    // Nothing that is said while it is made tells them either, however much is asked for; and the machines have them.
    let said = bed.anklume(&["apply", "--yes", "-vv"]).says_not(&[SECRET]);
    assert!(said.stderr.contains("launch"), "{said}");
    bed.guest("web", "front", "echo $TOKEN").ok().says(&["hunter2-in-the-environment"]);
    let data = bed.machine("web", "back")["config"]["cloud-init.user-data"].clone();
    assert_eq!(data, "#cloud-config\npassword: hunter2-in-cloud-init\n");
    for args in [&["status"][..], &["status", "--format", "json"], &["firewall", "show"], &["check", "-vv"]] {
        bed.anklume(args).says_not(&[SECRET]);
    }
    // A change of a secret is seen, and is not told.
    bed.infra(&PLANS.replace(SECRET, "hunter2-now-longer"));
    let changed = bed.plan(&[]);
    assert_eq!(changed.sorted(), ["update instance back", "update instance front"]);
    let field = &changed.fields("update instance front")[0];
    assert!(
        field.starts_with("environment.TOKEN: (26 bytes, sha256 ") && field.contains(" -> (37 bytes, sha256 "),
        "{field}"
    );
    for format in [&["--format", "text"][..], &["--format", "json"], &["--format", "markdown"], &["--commands"]] {
        shown(format);
    }
    bed.anklume(&["apply", "--yes", "-vv"]).says_not(&[SECRET]);
    bed.plan_is_empty();
}

#[test]
fn exit_codes_say_what_a_plan_found() {
    let bed = Bed::bare(&["--no-images"]).unwrap();
    bed.infra("project_name: codes\nglobal: {}\ndomains: {}\n");
    bed.try_anklume(&["plan"]).code(0).says(&["Nothing to do: everything is as the file says."]);
    bed.try_anklume(&["plan", "--detailed-exitcode"]).code(0);
    bed.infra("project_name: codes\nglobal: {}\ndomains: {one: {}}\n");
    bed.try_anklume(&["plan"]).code(0);
    bed.try_anklume(&["plan", "--detailed-exitcode"]).code(2);
    bed.infra("project_name: codes\nglobal: {}\ndomains: {ONE: {}}\n");
    bed.try_anklume(&["plan"]).code(2);
    bed.try_anklume(&["plan", "--detailed-exitcode"]).code(1);
    bed.try_anklume(&["plan", "--no-such-option"]).code(2);
    bed.try_anklume(&["plan", "--detailed-exitcode", "--no-such-option"]).code(1);
    bed.try_anklume(&["--help"]).code(0);
}

/// The commands of a plan, typed in a shell instead of applied: they make the same, from nothing and after a change.
#[test]
fn the_printed_commands_are_those_that_make_it_so() {
    let bed = Bed::up();
    if bed.sh("command -v jq").code != 0 {
        skip("the_printed_commands_are_those_that_make_it_so", "there is no jq, through which edits are shown");
        return;
    }
    let mut file =
        PLANS.replace("environment.TOKEN", "user.it's").replace("cloud_init: {user_data:", "config: {user.text:");
    let by_hand = |file: &str, more: &str| {
        bed.infra(file);
        let script = bed.sh(&format!("$ANKLUME plan --commands {more} > commands && cat commands")).ok();
        assert!(script.stdout.starts_with("# "), "{script}");
        bed.sh("sh -ex commands").ok();
        bed.plan_is_empty();
    };
    by_hand(&file, "");
    bed.wait_for_guests(&[("web", "front", "10.120.0.1"), ("data", "store", "10.110.0.7")]);
    bed.packets(true, &[("web/front", "tcp 10.110.0.7:80")]);
    file = edited(
        &file,
        &[
            ("limits.processes: 200", "limits.processes: 300"),
            ("hunter2-in-the", "it's \\\"$HOME\\\" `now`"),
            ("10.110.0.7, boot_autostart: true", "10.110.0.8"),
        ],
    );
    file = edited(
        &file,
        &[
            ("    internet: false\n", ""),
            ("      back:", "      other: {}\n      back:"),
            ("ports: [80]", "ports: [81]"),
        ],
    );
    by_hand(&file, "--restart");
    assert_eq!(bed.machine("web", "front")["config"]["user.it's"], "it's \"$HOME\" `now`-environment");
    bed.wait_for_guests(&[("web", "other", "10.120.0.3"), ("data", "store", "10.110.0.8")]);
    bed.packets(false, &[("web/front", "tcp 10.110.0.8:80")]);
    let (rest, _) = file.split_once("  data:\n").unwrap();
    by_hand(&rest.replace("      other: {}\n", ""), "--prune");
    assert!(!bed.has("/1.0/projects/data") && !bed.has("/1.0/instances/other?project=web"));
}

#[test]
fn a_plan_can_be_made_without_any_incus() {
    let bed = Bed::up();
    bed.infra(PLANS);
    let real = bed.plan(&[]).actions();
    assert_eq!(bed.plan(&["--offline"]).actions(), real);
    // Neither incus nor nft nor ip is asked, nor the daemon.
    bed.sh("kill $(cat /run/bed/incusd.pid)").ok();
    let offline = |args: &str| bed.sh(&format!("PATH=/nowhere $ANKLUME plan --offline {args}"));
    offline("").ok().says(&["Plan: 13 to create, 0 to change, 0 to delete."]);
    offline("--detailed-exitcode").code(2);
    offline("--format markdown").ok().says(&["+ create instance store"]);
    offline("--commands").ok().says(&["incus launch anklume/images/debian/13 store --project data"]);
    let offline = offline("--format json").ok().json();
    assert_eq!(crate::harness::Plan(offline).actions(), real);
    bed.sh("/run/bed/start-incusd; incus admin waitready").ok();
    assert_eq!(bed.plan(&[]).actions(), real);
}

#[test]
fn a_part_of_the_file_is_made_with_what_it_needs_and_nothing_else() {
    let bed = Bed::up();
    bed.infra(PLANS);
    bed.try_anklume(&["plan", "--target", "fronts"]).code(1).says(&["no domain or machine is called `fronts`"]);
    let front = [
        "create firewall",
        "create image images:debian/13",
        "create instance front",
        "create network net-web",
        "create profile web/default",
        "create profile web/small",
        "create project web",
    ];
    assert_eq!(bed.plan(&["--target", "front"]).sorted(), front);
    bed.apply(&["--target", "front"]);
    assert_eq!(bed.plan(&["--target", "front"]).actions(), Vec::<String>::new());
    assert!(!bed.has("/1.0/projects/data") && !bed.has("/1.0/instances/back?project=web"));
    bed.wait_for_guest("web", "front", "10.120.0.1");

    let data = [
        "create instance spare",
        "create instance store",
        "create network net-data",
        "create profile data/default",
        "create project data",
    ];
    assert_eq!(bed.plan(&["-t", "data"]).sorted(), data);
    assert_eq!(bed.plan(&["-t", "data", "-t", "back"]).sorted().len(), data.len() + 1);
    bed.apply(&["-t", "data", "-t", "back"]);
    bed.plan_is_empty();

    // What differs elsewhere stays; who gives up an address for the one that was named is part of it.
    let swapped = edited(
        PLANS,
        &[
            ("store: {ip: 10.110.0.7", "store: {ip: 10.110.0.8"),
            ("spare: {state", "spare: {ip: 10.110.0.7, state"),
            ("200", "201"),
        ],
    );
    bed.infra(&swapped);
    let actions = ["release instance store", "update firewall", "update instance spare", "update instance store"];
    assert_eq!(bed.plan(&["--restart", "-t", "spare"]).sorted(), actions);
    bed.apply(&["--restart", "-t", "spare"]);
    assert_eq!(bed.plan(&[]).actions(), ["update profile web/small"]);
    bed.wait_for_guest("data", "store", "10.110.0.8");
    // Of what left the file, only what was named goes.
    bed.infra(
        &edited(&swapped, &[("  web:", "  webs:")]).replace("store: {", "stores: {").replace("to: store", "to: stores"),
    );
    assert_eq!(
        bed.plan(&["--prune", "-t", "data"]).sorted(),
        ["create instance stores", "delete instance store", "update firewall"]
    );
    bed.apply(&["--prune", "-t", "data"]);
    assert!(bed.has("/1.0/instances/front?project=web") && !bed.has("/1.0/instances/store?project=data"));
}
