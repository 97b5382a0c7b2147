//! `anklume snap list`: which snapshots there are.

use std::process::ExitCode;

use anyhow::Result;

use super::super::{DONE, Ground};
use super::{domain, left, machines, read};
use crate::cli::{Format, Global};
use crate::host::clock;
use crate::lifecycle::under_way::Doing;
use crate::render;
use crate::ui::Ui;

/// Reads, prints.
pub(super) async fn run(global: &Global, names: &[String], format: Format, ui: Ui) -> Result<ExitCode> {
    let ground = Ground::read(global, false, ui).await?;
    let (machines, snapshots) = (machines(&ground, names, "so there is nothing to list").await?, read(&ground).await?);
    let now = clock::seconds();
    let of_each = machines.iter().flat_map(|found| snapshots.of(&found.id));
    let rows: Vec<_> = of_each.map(|one| render::snapshots::row(one, domain(&ground, &one.machine), now)).collect();
    ui.print(match format {
        Format::Text => render::snapshots::text(&rows, &ui.out),
        Format::Json => render::json::pretty(&serde_json::to_value(&rows).unwrap_or_default()),
    });
    if let Some(left) = left(&ground).await? {
        let what = match left.doing {
            Doing::Create => "taking it was cut off, or is under way; the next `anklume snap create` clears that away",
            Doing::Restore => "going back to it was cut off, or is under way; `anklume snap restore` once more ends it",
        };
        ui.say(format!("{}: {what}", left.name));
    }
    Ok(DONE)
}
