//! A plan as JSON, for programs.

use serde_json::{Value, json};

use super::Totals;
use crate::plan::Plan;
use crate::resolve::desired::Desired;

/// `{"infra", "actions", "held", "totals"}`; the same input gives the same bytes.
pub(crate) fn plan(plan: &Plan, desired: &Desired) -> String {
    let value = json!({
        "infra": desired.infra,
        "actions": plan.actions,
        "held": plan.held,
        "totals": Totals::of(plan),
    });
    pretty(&value)
}

/// JSON for people and programs, with a newline at its end.
pub(crate) fn pretty(value: &Value) -> String {
    let mut text = serde_json::to_string_pretty(value).unwrap_or_default();
    text.push('\n');
    text
}
