//! `anklume bootstrap`: from a bare host to a working Incus.

use std::path::Path;
use std::process::ExitCode;

use anyhow::Result;

use super::{DONE, apply, lock};
use crate::carry::in_a_row;
use crate::cli::BootstrapArgs;
use crate::failure::{Hinted, Unfinished};
use crate::host::bootstrap::gather;
use crate::host::bootstrap::{Standing, steps};
use crate::incus::door::ThisHost;
use crate::plan::Plan;
use crate::ui::{Style, Ui};

/// Steps, question, run, look again.
pub(crate) async fn run(args: &BootstrapArgs, ui: Ui) -> Result<ExitCode> {
    let _lock = lock::take("bootstrap")?;
    let bare = gather::read(&ThisHost, Path::new("/")).await;
    let plan = in_a_row(steps(&bare)?);
    if plan.actions.is_empty() {
        if let Standing::Initialised(pools) = &bare.incus {
            ui.say(format!("Nothing to do: Incus is initialised, with the storage pool {}.", pools.join(", ")));
        }
        return Ok(DONE);
    }
    ui.print(told(&plan, ui));
    if !args.yes && !apply::agreed(ui, "Do this?")? {
        return Err(Unfinished("nothing was changed".into()).into());
    }
    let report = apply::carry_out(&plan, apply::bounds(None), ui).await?;
    let after = gather::read(&ThisHost, Path::new("/")).await;
    match after.incus {
        Standing::Initialised(_) if report.is_clean() => {
            ui.say("Incus is ready. `anklume init DIRECTORY` writes a file to start from; `anklume doctor` looks at the rest.");
            Ok(DONE)
        }
        _ => Err(Hinted::new("Incus is not ready yet", "run `anklume bootstrap` again: it does what is left").into()),
    }
}

/// Each step with its commands, as they could be typed.
fn told(plan: &Plan, ui: Ui) -> String {
    let mut text = String::new();
    for action in &plan.actions {
        let what = format!("{} {}", action.verb.word(), action.id);
        text.push_str(&format!("{}  ({})\n", ui.out.paint(Style::Bold, what), action.note));
        let calls = action.calls.iter().map(|call| call.shell(|_, _| None));
        let lines: Vec<String> =
            calls.flat_map(|call| call.lines().map(|line| format!("    {line}\n")).collect::<Vec<_>>()).collect();
        text.push_str(&lines.concat());
    }
    text
}
