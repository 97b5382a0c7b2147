//! What the doctor tells, for people and programs.

use serde_json::json;

use super::{Level, Line, Report};
use crate::render::json::pretty;
use crate::ui::{Style, Surface};

/// A line for each thing, with what mends it; then what was left out.
pub(crate) fn text(report: &Report, surface: &Surface) -> String {
    let mut text: String = report.lines.iter().map(|one| line(one, surface)).collect();
    for left_out in &report.left_out {
        let names: Vec<String> =
            left_out.checks.iter().map(|check| json!(check).as_str().unwrap_or_default().to_owned()).collect();
        let words = format!("left out: {} ({})", names.join(", "), left_out.why);
        text.push_str(&format!("{}\n", surface.paint(Style::Dim, words)));
    }
    text
}

fn line(line: &Line, surface: &Surface) -> String {
    let word = match line.level {
        Level::Ok => surface.paint(Style::Green, "ok"),
        Level::Warning => surface.paint(Style::Yellow, "warning:"),
        Level::Failure => surface.paint(Style::Red, "failure:"),
    };
    let mut text = format!("{word} {}\n", line.message);
    for command in &line.mend {
        text.push_str(&format!("    {command}\n"));
    }
    if !line.note.is_empty() {
        text.push_str(&format!("  {}\n", surface.paint(Style::Dim, &line.note)));
    }
    text
}

/// The same for programs.
pub(crate) fn json(report: &Report) -> String {
    pretty(&json!(report))
}
