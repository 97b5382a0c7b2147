//! The process that stands for a table on trial: loads it, waits for a word, keeps it or brings the former one back.
//!
//! `anklume firewall apply --confirm` starts it. It has the lock for as long as the trial lasts, as its standard input.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result};
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::sleep;

use crate::commands::DONE;
use crate::firewall::fence;
use crate::firewall::file::TableFile;
use crate::firewall::keep::Keeping;
use crate::firewall::trial::{self, Word};
use crate::host::files;
use crate::incus::call::Call;
use crate::incus::door::{CallError, Host, ThisHost};
use crate::ui::Ui;

/// What it says first, when the table is in force.
pub(super) const LOADED: &str = "loaded";
/// What it says last, when the table has been confirmed.
pub(super) const KEPT: &str = "kept";
/// The same, when the former table is back.
pub(super) const REVERTED: &str = "reverted";

/// How often it is tried to bring the former table back.
const TRIES: usize = 10;

/// Tries the table for so many seconds.
pub(super) async fn run(seconds: u64, ui: Ui) -> Result<ExitCode> {
    // Away from the terminal: neither its end nor Ctrl-C on it ends the trial.
    let _ = rustix::process::setsid();
    let mut hangup = signal(SignalKind::hangup()).context("signals cannot be caught")?;
    let mut terminate = signal(SignalKind::terminate()).context("signals cannot be caught")?;
    let text = std::fs::read_to_string(trial::TABLE).context("there is no table to try")?;
    let table = TableFile::parse(&text).context("the table to try cannot be used")?;
    let mut told = trial::listen().context("nobody could confirm the table")?;
    if let Err(error) = ThisHost.call(&fence::load_call(table.batch)).await {
        ui.print(format!("{error}\n"));
        clean_up().await;
        return Ok(ExitCode::FAILURE);
    }
    ui.print(format!("{LOADED}\n"));
    let end = sleep(Duration::from_secs(seconds));
    tokio::pin!(end);
    let asked = loop {
        tokio::select! {
            asked = told.recv() => break asked,
            () = &mut end => break None,
            _ = terminate.recv() => break None,
            _ = hangup.recv() => {}
        }
    };
    let outcome = match asked.as_ref().map(|asked| asked.word) {
        Some(Word::Confirm) => keep(&text).await,
        Some(Word::Revert) | None => revert().await,
    };
    ui.print(format!("{outcome}\n"));
    clean_up().await;
    if let Some(asked) = asked {
        asked.answer(&outcome);
    }
    Ok(DONE)
}

/// From now on it is the table that is loaded at boot.
async fn keep(text: &str) -> String {
    let keeping = Keeping::read(std::path::Path::new("/"));
    for call in keeping.actions(Some(text)).iter().flat_map(|action| &action.calls) {
        if let Err(error) = ThisHost.call(call).await {
            return format!("the table is in force, but is not kept over a reboot: {error}");
        }
    }
    KEPT.into()
}

async fn revert() -> String {
    let mut tries = 1;
    loop {
        match ThisHost.call(&Call::nft(["-f", trial::FORMER])).await {
            Ok(_) => return REVERTED.into(),
            Err(error) if tries == TRIES => return not_reverted(&error),
            Err(_) => sleep(Duration::from_secs(1)).await,
        }
        tries += 1;
    }
}

fn not_reverted(error: &CallError) -> String {
    format!("the former table could not be brought back: {error}")
}

/// Nothing is left of it: its table would be taken for one that is on trial.
async fn clean_up() {
    let _ = ThisHost.call(&files::remove([trial::TABLE, trial::FORMER, trial::SOCKET])).await;
}
