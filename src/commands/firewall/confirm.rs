//! `anklume firewall confirm`: keeps the table that is on trial.

use std::process::ExitCode;

use anyhow::Result;

use super::trial::KEPT;
use crate::commands::DONE;
use crate::failure::Hinted;
use crate::firewall::trial::{self, Word};
use crate::ui::Ui;

/// Tells the trial.
pub(super) fn run(ui: Ui) -> Result<ExitCode> {
    let Ok(answer) = trial::tell(Word::Confirm) else {
        let hint = "`anklume firewall apply --confirm 60` puts one on trial; root confirms it";
        return Err(Hinted::new("there is no table on trial", hint).into());
    };
    if answer != KEPT {
        return Err(Hinted::new(answer, "`anklume firewall apply` loads and keeps it").into());
    }
    ui.say("confirmed: the table stays");
    Ok(DONE)
}
