//! `anklume firewall export`: the table as a file that `nft -j -f` loads.

use std::path::{Path, absolute};
use std::process::ExitCode;

use anyhow::{Context, Result};

use crate::cli::Global;
use crate::commands::{DONE, Ground};
use crate::firewall::fence::Table;
use crate::firewall::{exported, keep};
use crate::host::files;
use crate::incus::door::{Host, ThisHost};
use crate::ui::Ui;

/// Writes the table that the file asks for; without a name, to standard output.
pub(super) async fn run(global: &Global, to: Option<&Path>, ui: Ui) -> Result<ExitCode> {
    let ground = Ground::read(global, false, ui).await?;
    let text = keep::text(&ground.wall);
    let Some(to) = to else {
        ui.print(text);
        return Ok(DONE);
    };
    let failed = || format!("the table cannot be written to {}", to.display());
    let path = absolute(to).with_context(failed)?;
    let path = path.to_string_lossy();
    let elsewhere = matches!(ground.live.table, Table::Elsewhere(_));
    let calls = if elsewhere { exported::write(&path, &text) } else { files::write(&path, keep::MODE, &text) };
    for call in calls {
        ThisHost.call(&call).await.with_context(failed)?;
    }
    let how = if elsewhere { "`anklume firewall load` on the host" } else { "`nft -j -f`" };
    ui.say(format!("{path} has the table; {how} loads it"));
    Ok(DONE)
}
