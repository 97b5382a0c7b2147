//! `anklume doctor`: looks at this host, Incus and the file one thing after the other, and mends what it safely can.

use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result};

use super::{DONE, apply, firewall, seen_from};
use crate::cli::{Format, Global, HostDoctorArgs};
use crate::firewall::fence::Table;
use crate::host::doctor::{File, Level, OfFile, Reach, Readings, Report, gather, report, told};
use crate::host::facts::{Facts, read_context};
use crate::incus::call::Call;
use crate::incus::door::{Host, ThisHost};
use crate::incus::live::Live;
use crate::infra::problem::{self, Problem};
use crate::infra::{self, Loaded};
use crate::resolve::{Holds, resolve};
use crate::resources::fencing;
use crate::ui::{Style, Ui};

/// What one mending brings to light may need another.
const ROUNDS: usize = 4;

/// Looks and tells; mends and looks again where it was asked to.
pub(crate) async fn run(global: &Global, args: &HostDoctorArgs, ui: Ui) -> Result<ExitCode> {
    let mut tried: Vec<String> = Vec::new();
    let mut report = look(global, args, ui).await?;
    for _ in 0..ROUNDS {
        let fixes: Vec<String> = report.fixes().into_iter().map(str::to_owned).collect();
        let helps_no_more = fixes.iter().all(|command| tried.contains(command));
        if !args.fix || helps_no_more || !agreed(&fixes, args, ui)? {
            break;
        }
        for command in &fixes {
            mend(command, global, ui).await?;
        }
        tried.extend(fixes);
        report = look(global, args, ui).await?;
    }
    if args.format == Format::Json {
        ui.print(told::json(&report));
    }
    Ok(if report.is_broken() { ExitCode::FAILURE } else { DONE })
}

fn agreed(fixes: &[String], args: &HostDoctorArgs, ui: Ui) -> Result<bool> {
    ui.say("what mends it, and is safe to run:");
    for command in fixes {
        ui.say(format!("    {command}"));
    }
    Ok(args.yes || apply::agreed(ui, "Run these?")?)
}

/// Runs a command as it was shown; one of anklume's own by this very program. One that fails is told, and looked at again.
async fn mend(command: &str, global: &Global, ui: Ui) -> Result<()> {
    let call = match command.strip_prefix("anklume ") {
        Some(words) => {
            let program = std::env::current_exe().context("this program has no path")?;
            let file = global.file.iter().flat_map(|file| ["-f".to_owned(), file.to_string_lossy().into_owned()]);
            let words = words.split(' ').map(str::to_owned);
            let start = ["-c".to_owned(), "exec \"$0\" \"$@\"".to_owned(), program.to_string_lossy().into_owned()];
            Call::run("sh", start.into_iter().chain(file).chain(words))
        }
        None => Call::run("sh", ["-c", command]),
    };
    match ThisHost.call(&call).await {
        Ok(_) => ui.say(format!("{} {command}", ui.err.paint(Style::Green, "done:"))),
        Err(error) => ui.say(format!("{} {command}: {error}", ui.err.paint(Style::Red, "failed:"))),
    }
    Ok(())
}

/// Looks; people are told each time, programs what is so in the end.
async fn look(global: &Global, args: &HostDoctorArgs, ui: Ui) -> Result<Report> {
    let mut readings = gather::read(&ThisHost, Path::new("/")).await;
    let file = file(global, &mut readings).await?;
    let report = report(&readings, &file);
    if args.format == Format::Text {
        ui.print(told::text(&report, &ui.out));
    }
    Ok(report)
}

/// The file, and this host as it is seen from it.
async fn file(global: &Global, readings: &mut Readings) -> Result<File> {
    let none = global.file.is_none() && !["infra.yml", "infra"].iter().any(|name| Path::new(name).exists());
    let context = read_context(Path::new("/"), global.yolo);
    // Without `ip`, nothing is known of the addresses: the doctor tells that it is missing by its package.
    let read = crate::host::gather::read(&ThisHost, context.clone(), false).await;
    let mut facts = read.unwrap_or(context);
    if let Reach::Answers(answers) = &mut readings.incus {
        let (live, seen) = seen_from(answers.live.clone(), facts).await?;
        (answers.live, facts) = (live, seen);
    }
    if none {
        return Ok(File::None);
    }
    match infra::load(global.file.as_deref()) {
        Ok(loaded) => of_file(&loaded, &facts, readings).await,
        Err(infra::Failure::Unreadable { message, .. }) => Ok(File::Wrong(message)),
        Err(infra::Failure::Invalid { problems, .. }) => Ok(File::Wrong(format!(
            "the file has {} mistakes, such as: {}",
            problems.len(),
            problems.first().map(|problem| problem.message.as_str()).unwrap_or_default()
        ))),
    }
}

async fn of_file(loaded: &Loaded, facts: &Facts, readings: &Readings) -> Result<File> {
    let live = match &readings.incus {
        Reach::Answers(answers) => answers.live.clone(),
        _ => Live::empty(),
    };
    let (desired, problems) = resolve(&loaded.infra, facts, &Holds::of(&live, &loaded.infra.project_name));
    let problems = loaded.problems.iter().cloned().chain(infra::host_rules(&loaded.infra, facts)).chain(problems);
    let wall = fencing::standing(&desired, &live);
    let here = matches!(live.table, Table::Known(_)) && matches!(readings.incus, Reach::Answers(_));
    let findings = if here { firewall::doctor::findings(&desired, &live).await.ok() } else { None };
    let misfits = problems.map(misfit).collect();
    Ok(File::Good(Box::new(OfFile { desired, wall, misfits, findings })))
}

fn misfit(problem: Problem) -> (Level, String, String) {
    let level = if problem.level == problem::Level::Error { Level::Failure } else { Level::Warning };
    (level, problem.message, problem.help.unwrap_or_default())
}
