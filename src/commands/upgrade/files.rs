//! `anklume upgrade files`: what an older anklume wrote, or was given, in the form of this one.

use std::process::ExitCode;

use anyhow::Result;

use crate::cli::{FilesArgs, Global};
use crate::commands::DONE;
use crate::ui::Ui;

#[allow(clippy::unused_async)]
pub(super) async fn run(_global: &Global, _args: &FilesArgs, _ui: Ui) -> Result<ExitCode> {
    Ok(DONE)
}
