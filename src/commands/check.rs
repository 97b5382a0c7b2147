//! `anklume check`: everything that is wrong with the file; needs no Incus.

use std::process::ExitCode;

use anyhow::Result;

use super::{DONE, load, say_problems};
use crate::cli::Global;
use crate::host::facts;
use crate::infra;
use crate::resolve::{self, Holds};
use crate::ui::Ui;

/// Reads, checks, and says how many domains and machines there are.
pub(crate) fn run(global: &Global, ui: Ui) -> Result<ExitCode> {
    let loaded = load(global, ui)?;
    let facts = facts::read_context(std::path::Path::new("/"), global.yolo);
    say_problems(&loaded, &infra::host_rules(&loaded.infra, &facts), ui)?;
    let (desired, problems) = resolve::resolve(&loaded.infra, &facts, &Holds::default());
    say_problems(&loaded, &problems, ui)?;
    let machines: usize = desired.domains.iter().map(|domain| domain.machines.len()).sum();
    let domains = desired.domains.len();
    ui.print(format!("{}: good, {domains} domains, {machines} machines\n", desired.infra));
    Ok(DONE)
}
