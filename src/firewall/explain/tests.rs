//! Questions about a small infrastructure, and their answers.

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::ends::{Named, named};
use super::told::{self, Places};
use super::{Answer, Ground, Question, Unanswered, answer};
use crate::firewall::live::LiveTable;
use crate::host::facts::Facts;
use crate::host::routes::Route;
use crate::resolve::desired::Desired;
use crate::resolve::{Holds, resolve};
use crate::ui::Surface;

const SMALL: &str = "
project_name: small
global: {}
domains:
  pro: {machines: {pro-dev: {}, pro-web: {}, pro-db: {}}}
  perso: {machines: {perso-a: {}, perso-b: {}}}
  vault: {internet: false, machines: {keys: {}}}
network_policies:
  - {from: perso, to: pro-web, ports: [80, 443], protocol: tcp, description: The site}
  - {from: pro-dev, to: host, ports: [22], protocol: tcp}
  - {from: vault, to: pro, bidirectional: true}
";

const PLAIN: Surface = Surface { terminal: false, color: false, width: 100 };

/// Perso is 10.120.0, pro 10.120.1, vault 10.120.2.
fn desired(text: &str) -> Desired {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("infra.yml");
    std::fs::write(&path, text).unwrap();
    let Ok(loaded) = crate::infra::load(Some(&path)) else { panic!("a wrong file:\n{text}") };
    resolve(&loaded.infra, &Facts::default(), &Holds::default()).0
}

fn ask(desired: &Desired, live: Option<&LiveTable>, words: &str) -> Result<Answer, Unanswered> {
    let words: Vec<&str> = words.split(' ').collect();
    let end = |word: &str| named(word, desired).unwrap_or_else(|| panic!("what is {word}?"));
    let traffic = words.get(2).unwrap_or(&"1-65535").parse().unwrap();
    let traffic = if words.len() == 2 { super::traffic::Traffic::Everything } else { traffic };
    let question = Question { from: end(words[0]), to: end(words[1]), traffic };
    let route = |address: &str, interface: &str, local| {
        (address.parse::<IpAddr>().unwrap(), Route { interface: interface.into(), local })
    };
    let routes = BTreeMap::from([
        route("172.17.0.2", "docker0", false),
        route("203.0.113.9", "up0", false),
        route("198.51.100.1", "up0", true),
        route("fd00::7", "net-pro", false),
    ]);
    answer(&question, Ground { desired, live, uplink: Some("up0"), routes: &routes })
}

/// `pro -> perso, tcp 22: denied by "…": …`, one for each case, by the table that the file asks for.
fn told(words: &str) -> Vec<String> {
    let desired = desired(SMALL);
    let live = LiveTable::wanted(&desired.wall);
    let text = told::text(&ask(&desired, Some(&live), words).unwrap(), &Places::new(), &PLAIN);
    assert!(!text.contains("the file says"), "{text}");
    let rules = |line: &&str| !line.starts_with("    ");
    let lines: Vec<&str> = text.lines().filter(|line| !line.is_empty()).filter(rules).collect();
    lines.chunks(2).map(|lines| lines.concat().replace("  by", " by")).collect()
}

#[test]
fn a_policy_opens_its_ports_to_its_ends_and_nothing_else() {
    let site = "by policy `perso -> pro-web: The site` (not in the file)";
    let closed = "by \"between domains\": no policy opens it";
    assert_eq!(
        told("perso-a pro-web 443"),
        [format!("perso-a (10.120.0.1) -> pro-web (10.120.1.2), tcp 443: allowed {site}")]
    );
    assert_eq!(
        told("perso-a pro-web 443/udp"),
        [format!("perso-a (10.120.0.1) -> pro-web (10.120.1.2), udp 443: denied {closed}")]
    );
    assert_eq!(
        told("perso-a pro-dev 443"),
        [format!("perso-a (10.120.0.1) -> pro-dev (10.120.1.1), tcp 443: denied {closed}")]
    );
    assert_eq!(
        told("pro-web perso-a icmp"),
        [format!("pro-web (10.120.1.2) -> perso-a (10.120.0.1), ping: denied {closed}")]
    );
}

#[test]
fn of_a_domain_a_machine_is_named_where_it_is_not_like_the_others() {
    let expected = [
        "perso -> pro, everything: denied by \"between domains\": no policy opens it",
        "perso -> pro-web (10.120.1.2), tcp 80, 443: allowed by policy `perso -> pro-web: The site` (not in the file)",
        "perso -> pro-web (10.120.1.2), everything else: denied by \"between domains\": no policy opens it",
    ];
    assert_eq!(told("perso pro"), expected);
    let whole = "pro -> vault, everything: allowed by policy `pro -> vault` (not in the file)";
    assert_eq!(told("pro vault"), [whole]);
}

#[test]
fn a_range_is_cut_where_the_answer_changes() {
    let expected = [
        "perso-b (10.120.0.2) -> pro-web (10.120.1.2), tcp 79, 81: denied by \"between domains\": no policy opens it",
        "perso-b (10.120.0.2) -> pro-web (10.120.1.2), tcp 80: allowed by policy `perso -> pro-web: The site` (not in the file)",
    ];
    assert_eq!(told("perso-b pro-web 79-81/tcp"), expected);
}

#[test]
fn the_host_serves_on_its_own_gateway_and_opens_by_policy() {
    assert_eq!(told("perso host 53/udp"), ["perso -> host (10.120.0.254), udp 53: allowed by \"service: DNS\""]);
    assert_eq!(told("perso host ping"), ["perso -> host (10.120.0.254), ping: allowed by \"service: ping\""]);
    assert_eq!(
        told("perso host 22"),
        ["perso -> host (10.120.0.254), tcp 22: denied by \"to the host\": no policy opens it"]
    );
    let ssh = "allowed by policy `pro-dev -> host` (not in the file)";
    assert_eq!(told("pro-dev host 22"), [format!("pro-dev (10.120.1.1) -> host (10.120.1.254), tcp 22: {ssh}")]);
    assert_eq!(
        told("pro-dev 198.51.100.1 22"),
        [format!("pro-dev (10.120.1.1) -> 198.51.100.1 (the host, on up0), tcp 22: {ssh}")]
    );
    let other = told("pro-dev 10.120.0.254 22");
    assert_eq!(
        other,
        [
            "pro-dev (10.120.1.1) -> 10.120.0.254 (the host, on net-perso), tcp 22: denied by \"gateways of other domains\": no policy opens it"
        ]
    );
    assert_eq!(
        told("host perso-a"),
        ["host (10.120.0.254) -> perso-a (10.120.0.1), everything: allowed by \"from the host\""]
    );
}

#[test]
fn the_outside_and_other_networks_are_told_by_their_interface() {
    assert_eq!(told("pro outside 443"), ["pro -> outside (by up0), tcp 443: allowed by \"to the outside\""]);
    assert_eq!(
        told("vault 203.0.113.9 443"),
        ["vault -> 203.0.113.9 (by up0), tcp 443: denied by \"internet: false\""]
    );
    assert_eq!(
        told("pro 172.17.0.2 80"),
        ["pro -> 172.17.0.2 (by docker0), tcp 80: denied by \"other local networks\""]
    );
    assert_eq!(
        told("internet pro-web 80"),
        ["outside (by up0) -> pro-web (10.120.1.2), tcp 80: denied by \"into a domain\""]
    );
    assert_eq!(told("outside host 22"), ["outside (by up0) -> host, tcp 22: allowed by \"none of anklume's bridges\""]);
    let inside = told("pro-dev 10.120.1.77 22");
    assert!(
        inside[0]
            .starts_with("pro-dev (10.120.1.1) -> 10.120.1.77 (by net-pro), tcp 22: allowed by \"inside one domain\""),
        "{inside:?}"
    );
    assert_eq!(
        told("perso fd00::7 443"),
        ["perso -> fd00::7 (by net-pro), tcp 443: denied by \"between domains\": no policy opens it"]
    );
}

#[test]
fn names_are_told_from_words_and_addresses() {
    let desired = desired(SMALL);
    assert!(matches!(named("pro", &desired), Some(Named::Domain { machines, .. }) if machines.len() == 3));
    assert!(matches!(named("keys", &desired), Some(Named::Machine { .. })));
    assert_eq!(named("10.0.0.1", &desired), Some(Named::Address([10, 0, 0, 1].into())));
    assert_eq!(named("prod", &desired), None);
    let renamed = self::desired(&SMALL.replace("vault", "internet"));
    assert!(matches!(named("internet", &renamed), Some(Named::Domain { .. })), "names of the file come first");
    let lost = ask(&desired, None, "pro 192.0.2.77").unwrap_err();
    assert_eq!(lost.to_string(), "this host has no route to 192.0.2.77: nothing gets there, or comes from there");
    assert!(matches!(ask(&desired, None, "203.0.113.9 fd00::7"), Err(Unanswered::Families)));
}

fn paragraph(live: Option<&LiveTable>, words: &str) -> String {
    let desired = desired(SMALL);
    let places = Places::from([("perso -> pro-web: The site".to_owned(), "infra.yml:9".to_owned())]);
    told::text(&ask(&desired, live, words).unwrap(), &places, &PLAIN)
}

#[test]
fn a_table_that_decides_otherwise_than_the_file_says_so() {
    let allowed = paragraph(Some(&LiveTable::wanted(&desired(SMALL).wall)), "perso pro-web 80");
    let rule = "    chain from/net-perso/to/net-pro: ct reply ip saddr 10.120.1.2 ct direction original tcp dport { 80, 443 } \
                accept comment \"perso -> pro-web: The site\"\n";
    let by = "by policy `perso -> pro-web: The site` (infra.yml:9)\n";
    assert_eq!(allowed, format!("perso -> pro-web (10.120.1.2), tcp 80: allowed\n  {by}{rule}"));

    let before = LiveTable::wanted(&desired(&SMALL.replace("[80, 443]", "[443]")).wall);
    let denied = paragraph(Some(&before), "perso pro-web 80");
    let expected = format!(
        "perso -> pro-web (10.120.1.2), tcp 80: denied\n  by \"between domains\": no policy opens it\n    \
         chain forward: iifname @bridges oifname @bridges drop comment \"between domains\"\n  \
         ! the file says allowed, {by}{rule}    `anklume apply` corrects the table\n"
    );
    assert_eq!(denied, expected);

    let gone = paragraph(None, "perso pro-web 81");
    let expected = "perso -> pro-web (10.120.1.2), tcp 81: allowed\n  \
                    by nothing: there is no table `inet anklume` in force\n  \
                    ! the file says denied, by \"between domains\": no policy opens it\n    \
                    chain forward: iifname @bridges oifname @bridges drop comment \"between domains\"\n    \
                    `anklume apply` corrects the table\n";
    assert_eq!(gone, expected);
}

#[test]
fn an_answer_that_is_dropped_is_no_connection() {
    let mut live = LiveTable::wanted(&desired(SMALL).wall);
    let rules = &mut live.chains.get_mut("from/net-perso/to/net-pro").unwrap().rules;
    rules.retain(|rule| rule.comment.as_deref() != Some("perso -> pro-web: The site (answers)"));
    let told = paragraph(Some(&live), "perso pro-web 80");
    let begin = "perso -> pro-web (10.120.1.2), tcp 80: denied\n  \
                 by \"between domains\": what is opened passes, and its answers are dropped\n";
    assert!(told.starts_with(begin) && told.contains("! the file says allowed"), "{told}");
}

#[test]
fn a_rule_that_is_not_understood_is_no_answer() {
    let mut live = LiveTable::wanted(&desired(SMALL).wall);
    let limit = serde_json::json!({"limit": {"rate": 5}});
    live.chains.get_mut("outward").unwrap().rules[3].steps.insert(0, limit);
    let desired = desired(SMALL);
    assert!(matches!(ask(&desired, Some(&live), "pro outside 80"), Err(Unanswered::Unclear(_))));
    assert!(ask(&desired, Some(&live), "pro perso 80").is_ok(), "packets that do not meet it are clear");
}

#[test]
fn programs_get_both_judgements() {
    let desired = desired(SMALL);
    let live = LiveTable::wanted(&desired.wall);
    let answer = ask(&desired, Some(&live), "perso-a pro-web 443").unwrap();
    let json: serde_json::Value = serde_json::from_str(&told::json(&answer, &Places::new())).unwrap();
    assert_eq!((&json["allowed"], &json["table"]), (&true.into(), &"in force".into()));
    let case = &json["cases"][0];
    assert_eq!(case["from"]["address"], "10.120.0.1");
    assert_eq!((&case["now"]["policy"], &case["agree"]), (&"perso -> pro-web: The site".into(), &true.into()));
    assert_eq!(case["now"]["chain"], "from/net-perso/to/net-pro");
    assert_eq!(case["now"], case["file"]);
}
