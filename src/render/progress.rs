//! How an apply goes on: one line for each action under way on a terminal, plain lines elsewhere.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::apply::{Outcome, Watch};
use crate::plan::Action;
use crate::ui::{Style, Surface, Ui};

/// Shows what is under way.
pub(crate) struct Progress {
    ui: Ui,
    total: usize,
    over: RefCell<usize>,
    lines: MultiProgress,
    under_way: RefCell<BTreeMap<usize, ProgressBar>>,
}

impl Progress {
    /// For a plan of so many actions.
    pub(crate) fn new(ui: Ui, total: usize) -> Self {
        let target = if ui.err.terminal { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        Self {
            ui,
            total,
            over: RefCell::new(0),
            lines: MultiProgress::with_draw_target(target),
            under_way: RefCell::new(BTreeMap::new()),
        }
    }

    fn say(&self, line: &str) {
        if self.ui.err.terminal {
            let _ = self.lines.println(line);
        } else {
            self.ui.say(line);
        }
    }
}

impl Watch for Progress {
    fn begun(&self, at: usize, action: &Action) {
        if !self.ui.err.terminal {
            return;
        }
        let bar = self.lines.add(ProgressBar::new_spinner());
        let style = ProgressStyle::with_template("  {spinner} {wide_msg} {elapsed:>4}");
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()).tick_chars("⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏ "));
        bar.set_message(described(action));
        bar.enable_steady_tick(Duration::from_millis(100));
        self.under_way.borrow_mut().insert(at, bar);
    }

    fn ended(&self, at: usize, action: &Action, outcome: &Outcome, took: Duration) {
        if let Some(bar) = self.under_way.borrow_mut().remove(&at) {
            bar.finish_and_clear();
            self.lines.remove(&bar);
        }
        *self.over.borrow_mut() += 1;
        let count = format!("[{:>width$}/{}]", self.over.borrow(), self.total, width = self.total.to_string().len());
        let line = line(action, outcome, took, &self.ui.err);
        self.say(&format!("{} {line}", self.ui.err.paint(Style::Dim, count)));
    }

    fn stopping(&self, under_way: usize) {
        self.say(&format!("stopping: {under_way} under way run to their end, nothing new begins"));
    }
}

fn described(action: &Action) -> String {
    format!("{} {}", action.verb.word(), action.id)
}

fn line(action: &Action, outcome: &Outcome, took: Duration, surface: &Surface) -> String {
    let described = described(action);
    match outcome {
        Outcome::Done => format!("{described}  {}", surface.paint(Style::Dim, format!("{:.1}s", took.as_secs_f64()))),
        Outcome::Failed(_) => format!("{described}  {}", surface.paint(Style::Red, "failed")),
        Outcome::Skipped { .. } => format!("{described}  {}", surface.paint(Style::Yellow, "skipped")),
        Outcome::Stopped => format!("{described}  {}", surface.paint(Style::Yellow, "not begun")),
    }
}
