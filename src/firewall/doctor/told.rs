//! What was found, for people and programs.

use serde_json::{Value, json};

use super::{Check, Finding, Level};
use crate::render::json::pretty;
use crate::ui::{Style, Surface};

/// Each check, and what it found.
pub(crate) fn text(findings: &[Finding], surface: &Surface) -> String {
    let mut text = String::new();
    for (check, good) in Check::ALL {
        let of_it: Vec<&Finding> = findings.iter().filter(|finding| finding.check == check).collect();
        if of_it.is_empty() {
            text.push_str(&format!("{} {good}\n", surface.paint(Style::Green, "ok")));
        }
        for finding in of_it {
            text.push_str(&self::finding(finding, surface));
        }
    }
    text
}

/// One, with what mends it.
pub(crate) fn finding(finding: &Finding, surface: &Surface) -> String {
    let word = match finding.level {
        Level::Failure => surface.paint(Style::Red, "failure:"),
        Level::Warning => surface.paint(Style::Yellow, "warning:"),
    };
    let mut text = format!("{word} {}\n", finding.message);
    for command in &finding.mend {
        text.push_str(&format!("    {command}\n"));
    }
    if !finding.note.is_empty() {
        text.push_str(&format!("  {}\n", surface.paint(Style::Dim, &finding.note)));
    }
    text
}

/// The same for programs.
pub(crate) fn json(findings: &[Finding]) -> String {
    let checks: Vec<Value> = Check::ALL.iter().map(|(check, _)| json!(check)).collect();
    pretty(&json!({"checks": checks, "findings": findings}))
}
