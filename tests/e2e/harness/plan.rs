//! A plan as anklume prints it for programs.

use serde_json::Value;

/// A plan as JSON, with short ways to look at it.
#[derive(Debug, Clone)]
pub(crate) struct Plan(pub(crate) Value);

impl Plan {
    /// `create instance dev`, one for each action, in order.
    pub(crate) fn actions(&self) -> Vec<String> {
        let actions = self.0["actions"].as_array().unwrap().iter();
        actions.map(|action| format!("{} {}", text(&action["verb"]), told(&action["id"]))).collect()
    }

    /// The same, sorted.
    pub(crate) fn sorted(&self) -> Vec<String> {
        let mut actions = self.actions();
        actions.sort();
        actions
    }

    /// `restart instance dev: eth0 ipv4.address`, one for each thing held back, in order.
    pub(crate) fn held(&self) -> Vec<String> {
        let held = self.0["held"].as_array().unwrap().iter();
        held.map(|held| {
            let keys: Vec<&str> =
                held["fields"].as_array().into_iter().flatten().map(|field| text(&field["key"])).collect();
            let keys = if keys.is_empty() { String::new() } else { format!(": {}", keys.join(", ")) };
            format!("{} {}{keys}", text(&held["why"]), told(&held["id"]))
        })
        .collect()
    }

    /// `limits.memory: 64MiB -> 128MiB (live)`, for each field of the action `update instance dev`.
    #[track_caller]
    pub(crate) fn fields(&self, action: &str) -> Vec<String> {
        let at = self.actions().iter().position(|told| told == action);
        let at = at.unwrap_or_else(|| panic!("no `{action}` in {:#?}", self.actions()));
        let shown = |value: &Value| value.as_str().unwrap_or("-").to_owned();
        self.0["actions"][at]["fields"]
            .as_array()
            .unwrap()
            .iter()
            .map(|field| {
                let impact = text(&field["impact"]["kind"]);
                format!("{}: {} -> {} ({impact})", text(&field["key"]), shown(&field["before"]), shown(&field["after"]))
            })
            .collect()
    }
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn told(id: &Value) -> String {
    match text(&id["kind"]) {
        "firewall" => "firewall".into(),
        "profile" => format!("profile {}/{}", text(&id["project"]), text(&id["name"])),
        kind => format!("{kind} {}", text(&id["name"])),
    }
}
