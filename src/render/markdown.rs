//! A plan as Markdown, for a comment on a merge request.

use super::{groups, totals_line};
use crate::plan::{Field, Plan};
use crate::resolve::desired::Desired;

/// A heading and one block a domain, in the `diff` colours that forges know.
pub(crate) fn plan(plan: &Plan, desired: &Desired) -> String {
    let mut text = format!("### anklume plan: {}\n\n{}\n", desired.infra, totals_line(plan));
    for group in groups(plan, desired) {
        let name = if group.name.is_empty() { "host" } else { group.name };
        text.push_str(&format!("\n#### {name}\n\n```diff\n"));
        for action in &group.actions {
            let note = if action.note.is_empty() { String::new() } else { format!(" ({})", action.note) };
            // A change is shown in orange by `!`; `~` has no colour of its own.
            let sign = if action.verb.sign() == '~' { '!' } else { action.verb.sign() };
            text.push_str(&format!("{sign} {} {}{note}\n", action.verb.word(), action.id));
            fields(&mut text, &action.fields);
        }
        for held in &group.held {
            text.push_str(&format!("# not made: {}: {}\n", held.id, held.message));
            fields(&mut text, &held.fields);
        }
        text.push_str("```\n");
    }
    text
}

fn fields(text: &mut String, fields: &[Field]) {
    for field in fields {
        let value = |value: &Option<String>| value.as_deref().unwrap_or("(unset)").replace('\n', "⏎");
        let change = match &field.before {
            Some(_) => format!("{} → {}", value(&field.before), value(&field.after)),
            None => value(&field.after),
        };
        // No line of a value can end the block: none starts at the margin.
        text.push_str(&format!("    {}: {change}\n", field.key));
    }
}
