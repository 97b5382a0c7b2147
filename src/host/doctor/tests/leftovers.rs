//! What is left of something that was cut off.

use super::*;

#[test]
fn what_was_left_half_done_is_told_each_with_what_ends_it() {
    let journey = r#"{"name":"dev","by":"anklume move dev --to home"}"#;
    let machine = |name: &str, key: &str, value: &str| {
        let mut config = marked("pro");
        config[key] = json!(value);
        found(
            7,
            &json!({"name": name, "project": "pro", "type": "container", "status": "Stopped", "profiles": [], "config": config}),
        )
    };
    let of = |all: Vec<Found>| {
        lines(&of_answers(|answers| answers.live = live(all)), &File::None, Check::Leftovers).remove(0)
    };
    let part = of(vec![project("pro"), machine("dev-anklume-part", "user.anklume.journey", journey)]);
    is(&part, Level::Warning, "dev-anklume-part is a copy", &["anklume move dev --to home"]);
    let nameless = of(vec![machine("dev-anklume-part", "user.x", "y")]);
    is(&nameless, Level::Warning, "a copy", &["anklume destroy dev-anklume-part --force"]);
    let aside = of(vec![machine("dev-before-replace-1", "user.anklume.kept", r#"{"name":"dev"}"#)]);
    is(&aside, Level::Warning, "was set aside", &["anklume destroy dev-before-replace-1 --force"]);
    let volume =
        found(6, &json!({"name": "dev-data.anklume-part", "project": "pro", "pool": "p", "config": marked("pro")}));
    let deletion = "incus storage volume delete p dev-data.anklume-part --project pro";
    is(&of(vec![volume]), Level::Warning, "a copy of a volume", &[deletion]);
    let alone = of(vec![bridge("pro")]);
    is(&alone, Level::Warning, "net-pro of lab stands without its domain", &["anklume apply"]);
    assert!(alone.note.contains("anklume flush --infra lab"), "{alone:?}");
    is(&of(vec![project("pro"), bridge("pro")]), Level::Ok, "nothing", &[]);
    let pending = json!([{"name": "net-pro", "managed": true, "status": "Pending", "config": marked("pro")}]);
    let begun =
        of_answers(|answers| answers.live = Live { interfaces: pending, ..live([project("pro"), bridge("pro")]) });
    is(&line(&begun, Check::Leftovers), Level::Warning, "began the bridge net-pro", &["anklume apply"]);
}

#[test]
fn a_port_of_no_machine_is_told_on_bridges_of_anklume_only() {
    let host = |port: &str, bridge_of: &str| {
        let ports = vec![(format!("net-{bridge_of}"), port.to_owned())];
        let answers = of_answers(|answers| {
            answers.live = live([project("pro"), bridge("pro")]);
            answers.host_names = vec!["veth00000001".into()];
        });
        line(&Readings { ports, ..answers }, Check::Leftovers)
    };
    is(
        &host("veth00000002", "pro"),
        Level::Warning,
        "veth00000002 in net-pro is of no machine",
        &["ip link delete veth00000002"],
    );
    assert_eq!(host("veth00000001", "pro").level, Level::Ok);
    assert_eq!(host("veth00000002", "other").level, Level::Ok);
}

#[test]
fn a_table_that_is_for_nobody_is_told() {
    let table = Table::Known(Some(LiveTable::default()));
    let host = |bridges: bool| {
        let live = Live {
            table: table.clone(),
            ..live(bridges.then(|| [project("pro"), bridge("pro")]).into_iter().flatten())
        };
        line(&of_answers(|answers| answers.live = live), Check::Leftovers)
    };
    is(&host(false), Level::Warning, "no domain is", &["anklume flush --force"]);
    assert_eq!(host(true).level, Level::Ok);
}
