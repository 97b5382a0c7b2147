//! What anklume says of the isolation, held against real packets: `firewall show`, `firewall explain`, and the plan
//! after a change of the policies or of the table itself.

use serde_json::{Value, json};

use crate::harness::{Bed, edited};

const INFRA: &str = "
project_name: words
global: {default_os_image: images:alpine/3.20}
domains:
  a: {ephemeral: true, machines: {a1: {}, a2: {}}}
  b: {ephemeral: true, machines: {b1: {}}}
  c: {ephemeral: true, internet: false, machines: {c1: {}}}
network_policies:
  - {from: a1, to: b1, ports: [80], protocol: tcp, description: The site}
  - {from: b, to: host, ports: [9000], protocol: tcp}
  - {from: c1, to: a}
";

const GUESTS: [(&str, &str, &str); 4] =
    [("a", "a1", "10.120.0.1"), ("a", "a2", "10.120.0.2"), ("b", "b1", "10.120.1.1"), ("c", "c1", "10.120.2.1")];

/// What is asked; the packet that shows whether the answer is true; whether it passes, and the words that say why.
const QUESTIONS: [(&str, (&str, &str), bool, &str); 18] = [
    ("a1 b1 80", ("a/a1", "tcp 10.120.1.1:80"), true, "by policy `a1 -> b1: The site` (infra.yml:9)"),
    ("a2 b1 80", ("a/a2", "tcp 10.120.1.1:80"), false, "by \"between domains\": no policy opens it"),
    ("a1 b1 icmp", ("a/a1", "ping 10.120.1.1"), false, "chain forward: iifname @bridges oifname @bridges drop"),
    ("b1 a1 80", ("b/b1", "tcp 10.120.0.1:80"), false, "no policy opens it"),
    ("c a", ("c/c1", "ping 10.120.0.2"), false, "c1 (10.120.2.1) -> a, everything: allowed"),
    ("c1 a", ("c/c1", "ping 10.120.0.2"), true, "by policy `c1 -> a` (infra.yml:11)"),
    ("a1 a2 80", ("a/a1", "tcp 10.120.0.2:80"), true, "by \"inside one domain\""),
    ("a1 host icmp", ("a/a1", "ping 10.120.0.254"), true, "by \"service: ping\""),
    ("a1 10.120.1.254 icmp", ("a/a1", "ping 10.120.1.254"), false, "\"gateways of other domains\""),
    ("b1 host 9000", ("b/b1", "tcp 10.120.1.254:9000"), true, "by policy `b -> host` (infra.yml:10)"),
    ("b1 198.51.100.1 9000", ("b/b1", "tcp 198.51.100.1:9000"), true, "198.51.100.1 (the host, on up0)"),
    ("a1 host 9000", ("a/a1", "tcp 10.120.0.254:9000"), false, "\"to the host\": no policy opens it"),
    ("a1 198.51.100.1 9000", ("a/a1", "tcp 198.51.100.1:9000"), false, "chain input: drop"),
    ("a1 outside 80", ("a/a1", "tcp 203.0.113.10:80"), true, "outside (by up0), tcp 80: allowed"),
    ("c1 203.0.113.10 80", ("c/c1", "tcp 203.0.113.10:80"), false, "by \"internet: false\""),
    ("a1 10.99.0.1 icmp", ("a/a1", "ping 10.99.0.1"), false, "10.99.0.1 (the host, on mybr0)"),
    ("internet a1 80", ("inet", "tcp 10.120.0.1:80"), false, "by \"into a domain\""),
    ("host c1 80", ("host", "tcp 10.120.2.1:80"), true, "by \"from the host\""),
];

#[test]
fn what_is_said_of_the_isolation_is_what_packets_meet() {
    let bed = Bed::up();
    bed.infra(INFRA);
    bed.try_anklume(&["firewall", "show"]).code(1).says(&["there is no table `inet anklume`", "`anklume apply`"]);
    bed.apply(&[]);
    bed.wait_for_guests(&GUESTS);
    bed.sh("busybox httpd -p 9000 -h /run/bed/www").ok();
    bed.inet("ip route add 10.120.0.0/24 via 198.51.100.1").ok();

    the_table_is_shown_without_a_file(&bed);
    answers_are_what_packets_meet(&bed);
    a_table_that_was_changed_by_hand_is_told(&bed);
    a_change_of_the_policies_is_named(&bed);
    what_cannot_be_asked_is_wrong_usage(&bed);
}

fn the_table_is_shown_without_a_file(bed: &Bed) {
    let shown = bed.sh("mkdir -p empty; cd empty; $ANKLUME firewall show").ok();
    let shown = shown.says(&["\n  b  net-b  10.120.1.254\n", "\n  c  net-c  10.120.2.254  no internet\n"]);
    let policy = "\n  a1 (10.120.0.1) -> b1 (10.120.1.1)  tcp 80      The site\n";
    let shown =
        shown.says(&[policy, "\n  c1 (10.120.2.1) -> a ", "  DHCP, IPv6 neighbour discovery, DNS, ping, IPv6 ping "]);
    shown.says(&[", mybr0, "]).says_not(&["changed by hand"]);
    bed.anklume(&["firewall", "show", "--rules"])
        .says(&["\tchain forward {", "comment \"a1 -> b1: The site (answers)\""]);
    let shown = bed.anklume(&["firewall", "show", "--format", "json"]).json();
    assert_eq!((&shown["altered"], &shown["bridges"][2]["internet"]), (&json!([]), &json!(false)));
    assert_eq!(shown["openings"].as_array().unwrap().len(), 3);
}

fn explain(bed: &Bed, question: &str) -> crate::harness::Output {
    let words: Vec<&str> = ["firewall", "explain"].into_iter().chain(question.split(' ')).collect();
    bed.try_anklume(&words)
}

fn answers_are_what_packets_meet(bed: &Bed) {
    for (question, _, passes, words) in QUESTIONS {
        explain(bed, question).code(i32::from(!passes)).says(&[words]).says_not(&["the file says"]);
    }
    let packets =
        |pass| QUESTIONS.iter().filter(|one| one.2 == pass && one.0 != "c a").map(|one| one.1).collect::<Vec<_>>();
    bed.packets(true, &packets(true));
    bed.packets(false, &packets(false));
}

/// Somebody takes a rule out of the table, or puts one in: `explain` says what packets meet then, and the plan names
/// that very rule.
fn a_table_that_was_changed_by_hand_is_told(bed: &Bed) {
    let rule = "iifname @bridges oifname @bridges drop comment \"between domains\"";
    bed.sh("handle=$(nft -a list chain inet anklume forward | sed -n 's/.*\"between domains\" # handle //p')
         nft delete rule inet anklume forward handle $handle")
        .ok();
    let said = explain(bed, "a1 b1 icmp").code(1);
    said.says(&["its answers are dropped", "! the file says denied, by \"between domains\"", rule]);
    bed.packets(false, &[("a/a1", "ping 10.120.1.1")]);
    bed.anklume(&["firewall", "show"]).says(&["changed by hand", "chain forward, rule removed", rule]);
    let fields = bed.plan(&[]).fields("update firewall");
    assert_eq!(fields, [format!("chain forward, rule removed: - -> {rule} (live)")]);

    bed.sh("nft insert rule inet anklume forward accept comment '\"mine\"'").ok();
    explain(bed, "a1 b1 icmp").code(0).says(&["ping: allowed\n  by \"mine\"\n", "! the file says denied"]);
    bed.packets(true, &[("a/a1", "ping 10.120.1.1")]);
    let fields = bed.plan(&[]).fields("update firewall");
    assert_eq!(fields[0], "chain forward, rule added: accept comment \"mine\" -> - (live)");
    bed.apply(&[]);
    bed.packets(false, &[("a/a1", "ping 10.120.1.1")]);
    bed.plan_is_empty();
    // A rule that anklume does not understand, where the packets meet it.
    bed.sh("nft insert rule inet anklume forward limit rate 5/second accept").ok();
    explain(bed, "a1 b1 80").code(1).says(&[
        "it cannot be told: rule 1 of chain `forward`",
        "limit",
        "`anklume apply`",
    ]);
    bed.apply(&[]);
    // Without the table everything passes.
    bed.sh("nft delete table inet anklume").ok();
    explain(bed, "a2 b1 80").code(0).says(&["there is no table `inet anklume` in force", "! the file says denied"]);
    bed.packets(true, &[("a/a2", "tcp 10.120.1.1:80")]);
    bed.apply(&[]);
    bed.packets(false, &[("a/a2", "tcp 10.120.1.1:80")]);
}

fn a_change_of_the_policies_is_named(bed: &Bed) {
    let more = "[80], protocol: tcp, description: The site}\n  - {from: a2, to: b, protocol: udp}";
    let changed = edited(
        INFRA,
        &[
            ("[80], protocol: tcp, description: The site}", &more.replace("[80]", "[80, 7000]")),
            ("\n  - {from: c1, to: a}", ""),
            ("internet: false, ", ""),
        ],
    );
    bed.infra(&changed);
    let fields: Vec<String> =
        bed.plan(&[]).fields("update firewall").iter().map(|field| field.replace(" (live)", "")).collect();
    let expected = [
        "no internet: c (net-c) -> -",
        "policy: a1 -> b1: The site (tcp 80) -> a1 -> b1: The site (tcp 80, 7000)",
        "policy: - -> a2 -> b (udp, all ports)",
        "policy: c1 -> a (everything) -> -",
    ];
    assert_eq!(fields, expected);
    bed.anklume(&["plan"]).says(&["policy       c1 -> a (everything) → (unset)"]);
    explain(bed, "c1 a1 80").code(0).says(&["by policy `c1 -> a` (not in the file)", "! the file says denied"]);
    explain(bed, "a1 b1 7000").code(1).says(&["! the file says allowed, by policy `a1 -> b1: The site` (infra.yml:9)"]);
    let answer = bed.try_anklume(&["firewall", "explain", "a1", "b1", "7000", "--format", "json"]).code(1).json();
    let case: &Value = &answer["cases"][0];
    assert_eq!((&case["now"]["allowed"], &case["file"]["allowed"]), (&json!(false), &json!(true)));
    bed.apply(&[]);
    bed.plan_is_empty();
    explain(bed, "a1 b1 7000").code(0).says_not(&["the file says"]);
    bed.packets(false, &[("c/c1", "tcp 10.120.0.1:80")]);
    bed.packets(true, &[("c/c1", "tcp 203.0.113.10:80"), ("a/a1", "tcp 10.120.1.1:80")]);
}

fn what_cannot_be_asked_is_wrong_usage(bed: &Bed) {
    explain(bed, "a1 b2").code(2).says(&["`b2` is no domain or machine", "did you mean `b`?"]);
    explain(bed, "a1 b1 80/icmp").code(2).says(&["`icmp` has no ports"]);
    explain(bed, "a1 b1 70000").code(2).says(&["`70000` is no port"]);
    explain(bed, "a1").code(2);
}
