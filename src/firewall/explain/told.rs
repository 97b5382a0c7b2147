//! An answer for people and for programs.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{Answer, Case, Judgement, Ruling};
use crate::firewall::evaluate::packet::Peer;
use crate::render::json::pretty;
use crate::ui::{Style, Surface};

/// Where each policy of the file stands in it, by the comment of its rules: `infra.yml:31`.
pub(crate) type Places = BTreeMap<String, String>;

/// One paragraph for each case.
pub(crate) fn text(answer: &Answer, places: &Places, surface: &Surface) -> String {
    let paragraphs: Vec<String> = answer.cases.iter().map(|case| paragraph(answer, case, places, surface)).collect();
    paragraphs.join("\n")
}

fn paragraph(answer: &Answer, case: &Case, places: &Places, surface: &Surface) -> String {
    let (style, verdict) = if case.now.is_allowed() { (Style::Green, "allowed") } else { (Style::Red, "denied") };
    let verdict = surface.paint(style, verdict);
    let mut text = format!("{} -> {}, {}: {verdict}\n", case.from.name, case.to.name, case.traffic);
    if answer.table {
        text.push_str(&format!("  by {}\n", reason(case, &case.now, places)));
        text.push_str(&rule_line(case.now.decisive()));
    } else {
        text.push_str("  by nothing: there is no table `inet anklume` in force\n");
    }
    if !case.now.decisive().agrees(case.file.decisive()) {
        let wanted = if case.file.is_allowed() { "allowed" } else { "denied" };
        let says = format!("the file says {wanted}, by {}", reason(case, &case.file, places));
        text.push_str(&format!("  {} {says}\n", surface.paint(Style::Red, "!")));
        text.push_str(&rule_line(case.file.decisive()));
        text.push_str("    `anklume apply` corrects the table\n");
    }
    text
}

/// `policy …`, or the words of the rule.
fn reason(case: &Case, judgement: &Judgement, places: &Places) -> String {
    let ruling = judgement.decisive();
    if let Some(policy) = ruling.policy() {
        let place = places.get(policy).map_or("not in the file", String::as_str);
        return format!("policy `{policy}` ({place})");
    }
    let words = match (&ruling.chain, &ruling.comment) {
        (_, Some(comment)) => format!("\"{comment}\""),
        (Some(_), None) if ruling.rule.is_some() => "a rule without a comment".into(),
        (Some(chain), None) => format!("the end of chain {chain}"),
        (None, None) => "nothing: the table does not look at such packets".into(),
    };
    if judgement.opens.passes && !ruling.passes {
        format!("{words}: what is opened passes, and its answers are dropped")
    } else if !ruling.passes && !is_outside(case) {
        format!("{words}: no policy opens it")
    } else if ruling.passes && is_one_bridge(case) {
        format!("{words}: its machines talk on their own bridge, where the table sees them only with br_netfilter")
    } else {
        words
    }
}

/// No policy can name the outside.
fn is_outside(case: &Case) -> bool {
    case.now.decisive().chain.as_deref().is_some_and(|chain| ["outward", "inward"].contains(&chain))
}

fn is_one_bridge(case: &Case) -> bool {
    match (&case.from.peer, &case.to.peer) {
        (Peer::Behind { interface: from, .. }, Peer::Behind { interface: to, .. }) => from == to,
        _ => false,
    }
}

fn rule_line(ruling: &Ruling) -> String {
    match (&ruling.chain, &ruling.rule) {
        (Some(chain), Some(rule)) => match &ruling.comment {
            Some(comment) => format!("    chain {chain}: {rule} comment \"{comment}\"\n"),
            None => format!("    chain {chain}: {rule}\n"),
        },
        _ => String::new(),
    }
}

/// The whole answer for programs.
pub(crate) fn json(answer: &Answer, places: &Places) -> String {
    let cases: Vec<Value> = answer.cases.iter().map(|case| case_json(case, places)).collect();
    pretty(&json!({
        "allowed": answer.is_allowed(),
        "table": if answer.table { "in force" } else { "missing" },
        "cases": cases,
    }))
}

fn case_json(case: &Case, places: &Places) -> Value {
    let end = |place: &super::Place| match &place.peer {
        Peer::Host { address, on } => json!({"name": place.name, "host": true, "interface": on, "address": address}),
        Peer::Behind { interface, address } => {
            json!({"name": place.name, "host": false, "interface": interface, "address": address})
        }
    };
    json!({
        "from": end(&case.from),
        "to": end(&case.to),
        "traffic": case.traffic,
        "now": judgement_json(case, &case.now, places),
        "file": judgement_json(case, &case.file, places),
        "agree": case.now.decisive().agrees(case.file.decisive()),
    })
}

fn judgement_json(case: &Case, judgement: &Judgement, places: &Places) -> Value {
    let ruling = judgement.decisive();
    json!({
        "allowed": judgement.is_allowed(),
        "reason": reason(case, judgement, places),
        "policy": ruling.policy(),
        "place": ruling.policy().and_then(|policy| places.get(policy)),
        "chain": ruling.chain,
        "rule": ruling.rule,
        "comment": ruling.comment,
    })
}
