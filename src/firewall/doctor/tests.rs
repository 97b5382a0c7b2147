//! Findings on rulesets as Docker, ufw and firewalld make them, before and after what mends them.

use serde_json::{Value, json};

use super::kernel::Kernel;
use super::{Check, Finding, Level, Readings, findings, told};
use crate::infra::model::{Infra, Policy, Protocol};
use crate::resolve::sample::{domain, infra, machine, policy, sound};

/// Two domains, one of them called as in the fixtures, and a policy.
fn file() -> Infra {
    let policy = Policy { protocol: Some(Protocol::Tcp), ..policy("pro", "lab") };
    let domains = [("pro", domain([("pro-dev", machine())])), ("lab", domain([("lab-1", machine())]))];
    let mut infra = Infra { network_policies: vec![policy], ..infra(domains) };
    infra.domains["lab"].internet = false;
    infra
}

fn found_for(infra: &Infra, ruleset: Value, filters_bridged: bool) -> Vec<Finding> {
    let kernel = Kernel { filters_bridged, ..Kernel::default() };
    let readings = Readings { ruleset, kernel, uplink: Some("up0".into()), ..Readings::default() };
    findings(&sound(infra), &readings)
}

fn found(ruleset: Value) -> Vec<Finding> {
    found_for(&file(), ruleset, false)
}

fn messages(found: &[Finding]) -> Vec<&str> {
    found.iter().map(|finding| finding.message.as_str()).collect()
}

fn fixture(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

/// A table with one chain at a hook.
fn table(hook: &str, policy: &str, rules: &[Value]) -> Value {
    let chain = json!({"family": "inet", "table": "strict", "name": "all", "type": "filter", "hook": hook, "prio": 0,
        "policy": policy});
    let rule = |expr: &Value| json!({"rule": {"family": "inet", "table": "strict", "chain": "all", "expr": expr}});
    let objects = [json!({"table": {"family": "inet", "name": "strict"}}), json!({ "chain": chain })];
    json!({"nftables": objects.into_iter().chain(rules.iter().map(rule)).collect::<Vec<_>>()})
}

fn matches(key: &str, right: &Value) -> Value {
    json!({"match": {"op": "==", "left": {"meta": {"key": key}}, "right": right}})
}

#[test]
fn without_filters_of_others_nothing_is_found() {
    assert_eq!(found(json!({"nftables": []})), []);
    let ours = json!({"nftables": [
        {"table": {"family": "inet", "name": "anklume"}},
        {"chain": {"family": "inet", "table": "anklume", "name": "forward", "type": "filter", "hook": "forward",
            "prio": -1, "policy": "drop"}},
        {"chain": {"family": "ip6", "table": "x", "name": "x", "type": "filter", "hook": "forward", "prio": 0,
            "policy": "drop"}}]});
    assert_eq!(found(ours), []);
}

#[test]
fn dockers_drop_is_found_with_its_own_place_for_accepts() {
    let found = found(fixture(include_str!("fixtures/docker.json")));
    assert_eq!(found.len(), 1, "{found:#?}");
    assert_eq!((found[0].check, found[0].level), (Check::Filters, Level::Failure));
    assert_eq!(
        found[0].message,
        "`ip filter FORWARD` (Docker) drops what machines send outside: pro; the answers from outside: pro; \
         what the policies allow: pro -> lab"
    );
    assert_eq!(
        found[0].mend,
        [
            "nft 'insert rule ip filter DOCKER-USER iifname \"net-lab\" accept'",
            "nft 'insert rule ip filter DOCKER-USER oifname \"net-lab\" accept'",
            "nft 'insert rule ip filter DOCKER-USER iifname \"net-pro\" accept'",
            "nft 'insert rule ip filter DOCKER-USER oifname \"net-pro\" accept'",
        ]
    );
}

#[test]
fn dockers_drop_hits_machines_of_one_domain_where_bridged_packets_are_filtered() {
    let mut alone = file();
    alone.network_policies.clear();
    alone.domains["pro"].internet = false;
    let docker = || fixture(include_str!("fixtures/docker.json"));
    assert_eq!(found_for(&alone, docker(), false), []);
    let found = found_for(&alone, docker(), true);
    assert!(found[0].message.contains("what machines of one domain send each other"), "{found:#?}");
    assert!(found[0].message.ends_with("lab, pro"), "{found:#?}");
}

#[test]
fn ufw_is_found_twice_and_its_own_commands_mend_it() {
    let before = found(fixture(include_str!("fixtures/ufw.json")));
    assert_eq!(
        messages(&before),
        [
            "`ip filter FORWARD` (ufw) drops what machines send outside: pro; what the policies allow: pro -> lab",
            "`ip filter INPUT` (ufw) drops DHCP and DNS: lab, pro",
        ]
    );
    assert!(before.iter().all(|finding| finding.level == Level::Failure));
    assert_eq!(before[0].mend[2..], ["ufw route allow in on net-pro", "ufw route allow out on net-pro"]);
    assert_eq!(before[1].mend, ["ufw allow in on net-lab", "ufw allow in on net-pro"]);
    // With what mends `net-pro`.
    let after = found(fixture(include_str!("fixtures/ufw-mended.json")));
    assert_eq!(messages(&after), ["`ip filter INPUT` (ufw) drops DHCP and DNS: lab"]);
}

#[test]
fn firewalld_is_found_and_its_trusted_zone_mends_it() {
    let before = found(fixture(include_str!("fixtures/firewalld.json")));
    assert_eq!(
        messages(&before),
        [
            "`inet firewalld filter_FORWARD` (firewalld) drops what machines send outside: pro; \
             what the policies allow: pro -> lab",
            "`inet firewalld filter_INPUT` (firewalld) drops DHCP and DNS: lab, pro",
        ]
    );
    let trusted = "firewall-cmd --permanent --zone=trusted --add-interface=net-";
    assert_eq!(before[1].mend, [format!("{trusted}lab"), format!("{trusted}pro"), "firewall-cmd --reload".into()]);
    let after = found(fixture(include_str!("fixtures/firewalld-mended.json")));
    assert_eq!(messages(&after), ["`inet firewalld filter_INPUT` (firewalld) drops DHCP and DNS: lab"]);
}

#[test]
fn any_other_drop_is_found_and_what_it_lets_through_is_not() {
    let forward = found(table("forward", "drop", &[]));
    assert_eq!(forward[0].mend[0], "nft 'insert rule inet strict all iifname \"net-lab\" accept'");
    let input = found(table("input", "drop", &[]));
    assert_eq!(
        input[0].mend,
        [
            "nft 'insert rule inet strict all iifname \"net-lab\" accept'",
            "nft 'insert rule inet strict all iifname \"net-pro\" accept'",
        ]
    );
    assert_eq!(found(table("output", "drop", &[])), []);
    assert_eq!(found(table("forward", "accept", &[])), []);
    let accept = |key: &str| json!([matches(key, &json!({"set": ["net-pro", "net-lab"]})), {"accept": null}]);
    assert_eq!(found(table("forward", "drop", &[accept("iifname"), accept("oifname")])), []);
    assert_eq!(found(table("input", "drop", &[accept("iifname")])), []);
    // A drop of what has nothing to do with us.
    let theirs = json!([matches("iifname", &json!("docker0")), {"drop": null}]);
    assert_eq!(found(table("forward", "accept", &[theirs])), []);
    // The last rule is as good as a policy.
    assert_eq!(found(table("forward", "accept", &[json!([{"reject": null}])])).len(), 1);
}

#[test]
fn where_a_rule_is_not_understood_it_is_only_a_warning() {
    let strange = json!({"match": {"op": "==", "left": {"meta": {"key": "mark"}}, "right": 7}});
    let level = |rule: Value| {
        let found = found(table("forward", "drop", &[rule]));
        assert_eq!(found.len(), 1);
        (found[0].level, found[0].message.contains("may drop"))
    };
    assert_eq!(level(json!([strange, {"accept": null}])), (Level::Warning, true));
    // These can let nothing through.
    assert_eq!(level(json!([strange, {"drop": null}])), (Level::Failure, false));
    assert_eq!(level(json!([strange, {"log": null}])), (Level::Failure, false));
    let theirs = matches("iifname", &json!("docker0"));
    assert_eq!(level(json!([theirs, strange, {"accept": null}])), (Level::Failure, false));
}

#[test]
fn a_policy_to_the_host_is_looked_for_at_the_input() {
    let mut infra = file();
    infra.network_policies = vec![policy("pro", "host"), policy("host", "pro")];
    let services = json!([{"match": {"op": "==", "left": {"payload": {"protocol": "udp", "field": "dport"}},
        "right": {"set": [53, 67]}}}, {"accept": null}]);
    let found = found_for(&infra, table("input", "drop", &[services]), false);
    assert_eq!(messages(&found), ["`inet strict all` drops what the policies allow: pro -> host"]);
}

#[test]
fn findings_are_told_by_check_and_each_check_that_finds_nothing_says_so() {
    let plain = crate::ui::Surface { terminal: false, color: false, width: 80 };
    let found = found(table("input", "drop", &[]));
    let text = told::text(&found, &plain);
    assert!(
        text.starts_with("ok the kernel forwards packets\nfailure: `inet strict all` drops DHCP and DNS"),
        "{text}"
    );
    assert!(text.contains("\n    nft 'insert rule inet strict all iifname \"net-lab\" accept'\n"), "{text}");
    assert!(text.ends_with("ok packets for each domain leave by its own bridge\n"), "{text}");
    let json: Value = serde_json::from_str(&told::json(&found)).unwrap();
    assert_eq!(json["findings"][0]["check"], "filters");
    assert_eq!(json["findings"][0]["level"], "failure");
}
