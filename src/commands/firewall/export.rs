//! `anklume firewall export`: the table as a file that `nft -j -f` loads.

use std::path::{Path, absolute};
use std::process::ExitCode;

use anyhow::{Context, Result};

use crate::cli::Global;
use crate::commands::{DONE, Ground};
use crate::firewall::keep;
use crate::host::files;
use crate::incus::door::{Host, ThisHost};
use crate::ui::Ui;

/// Writes the table that the file asks for; without a name, to standard output.
pub(super) async fn run(global: &Global, to: Option<&Path>, ui: Ui) -> Result<ExitCode> {
    let ground = Ground::read(global, false, ui).await?;
    let text = keep::text(&ground.desired.wall);
    let Some(to) = to else {
        ui.print(text);
        return Ok(DONE);
    };
    let failed = || format!("the table cannot be written to {}", to.display());
    let path = absolute(to).with_context(failed)?;
    for call in files::write(&path.to_string_lossy(), keep::MODE, &text) {
        ThisHost.call(&call).await.with_context(failed)?;
    }
    ui.say(format!("{0} has the table; `nft -j -f {0}` loads it", path.display()));
    Ok(DONE)
}
