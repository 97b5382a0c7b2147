//! `anklume plan`: what differs, and what `apply` would do.

use std::process::ExitCode;

use anyhow::Result;

use super::{DONE, Ground};
use crate::cli::{Global, PlanArgs, PlanFormat};
use crate::render;
use crate::resources::planner::Options;
use crate::ui::Ui;

/// The code of `--detailed-exitcode` for "something differs".
const DIFFERS: u8 = 2;

/// Reads, compares, prints.
pub(crate) async fn run(global: &Global, args: &PlanArgs, ui: Ui) -> Result<ExitCode> {
    match planned(global, args, ui).await {
        Ok(code) => Ok(code),
        // 2 is taken: with this option every error is a 1.
        Err(error) if args.detailed_exitcode => {
            ui.say(crate::failure::told(&error, &ui.err));
            Ok(ExitCode::FAILURE)
        }
        Err(error) => Err(error),
    }
}

async fn planned(global: &Global, args: &PlanArgs, ui: Ui) -> Result<ExitCode> {
    let ground = Ground::read(global, args.offline, ui).await?;
    let plan = ground.plan(&Options::from(&args.scope), args.offline, ui).await?;
    let desired = &ground.desired;
    ui.print(match args.format {
        _ if args.commands => render::text::commands(&plan),
        PlanFormat::Text => render::text::plan(&plan, desired, &ui.out),
        PlanFormat::Json => render::json::plan(&plan, desired),
        PlanFormat::Markdown => render::markdown::plan(&plan, desired),
    });
    Ok(if args.detailed_exitcode && !plan.is_empty() { ExitCode::from(DIFFERS) } else { DONE })
}
