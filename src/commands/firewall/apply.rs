//! `anklume firewall apply`: loads only the table, on trial where that is asked for.

use std::io::{self, BufRead};
use std::process::{ExitCode, Stdio};

use anyhow::{Context, Result};
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use super::trial::{KEPT, LOADED, REVERTED};
use crate::cli::{FirewallApplyArgs, Global};
use crate::commands::lock::{self, Lock};
use crate::commands::{DONE, Ground, apply, preflight};
use crate::failure::{Hinted, Unfinished};
use crate::firewall::fence::Table;
use crate::firewall::keep;
use crate::firewall::trial::{self, Word};
use crate::host::files;
use crate::incus::call::Call;
use crate::incus::door::{Host, ThisHost};
use crate::plan::{Kind, Verb};
use crate::render;
use crate::resources::planner;
use crate::ui::Ui;

/// Difference, question, load.
pub(super) async fn run(global: &Global, args: &FirewallApplyArgs, ui: Ui) -> Result<ExitCode> {
    let lock = lock::take("firewall apply")?;
    let ground = Ground::read(global, false, ui).await?;
    apply::isolation_can_be_told(&ground)?;
    let plan = planner::isolation(&ground.desired, &ground.live);
    preflight::dry_run(&ground.desired, &plan).await?;
    ui.print(render::text::plan(&plan, &ground.desired, &ui.out));
    apply::say_what_is_not_kept(&ground, ui);
    if plan.actions.is_empty() {
        return Ok(DONE);
    }
    if !args.yes && !apply::agreed(ui, "Do this?")? {
        return Err(Unfinished("nothing was changed".into()).into());
    }
    let loads = plan.actions.iter().any(|action| action.id.kind == Kind::Firewall && action.verb != Verb::Delete);
    if let (Some(seconds), true) = (args.confirm, loads) {
        return try_out(&ground, lock, seconds, ui).await;
    }
    let report = apply::carry_out(&plan, apply::bounds(None), ui).await?;
    if !report.is_clean() {
        return Err(Hinted::new("not everything was done", "run it again: it does what is left").into());
    }
    let ground = Ground::read(global, false, ui).await?;
    let again = planner::isolation(&ground.desired, &ground.live);
    if !again.actions.is_empty() {
        return Err(Hinted::new("the table is different still, or again", "`anklume plan` shows how").into());
    }
    ui.say("the table is in force");
    Ok(DONE)
}

/// Has a process of its own load the table, and tells it whether the user confirms.
async fn try_out(ground: &Ground, lock: Lock, seconds: u64, ui: Ui) -> Result<ExitCode> {
    let mut interrupt = signal(SignalKind::interrupt()).context("signals cannot be caught")?;
    let mut terminate = signal(SignalKind::terminate()).context("signals cannot be caught")?;
    prepare(ground).await?;
    let mut standing = Standing::start(&lock, seconds)?;
    // It has the lock now, whatever becomes of this process.
    drop(lock);
    match standing.says().await.as_deref() {
        Some(LOADED) => {}
        other => {
            return Err(Hinted::new(ended(other), "nothing was changed; `anklume plan` shows the difference").into());
        }
    }
    let how = if ui.can_ask { "Enter or `anklume firewall confirm`" } else { "`anklume firewall confirm`" };
    ui.say(format!("the new table is in force for {seconds} s: {how} keeps it, else the former one comes back"));
    let mut answers = answers(ui);
    let last = loop {
        tokio::select! {
            said = standing.says() => break said,
            Some(word) = answers.recv() => tell(word),
            _ = interrupt.recv() => tell(Word::Revert),
            _ = terminate.recv() => tell(Word::Revert),
        }
    };
    match last.as_deref() {
        Some(KEPT) => ui.say("confirmed: the table stays"),
        Some(REVERTED) => {
            let message = "the table was not confirmed: the former one is back";
            return Err(Hinted::new(message, "`anklume firewall apply` loads it without a trial").into());
        }
        other => return Err(Hinted::new(ended(other), "`anklume status` tells what is in force").into()),
    }
    Ok(DONE)
}

/// It says itself what came of it.
fn tell(word: Word) {
    let _ = trial::tell(word);
}

fn ended(said: Option<&str>) -> String {
    said.unwrap_or("the process that stands for the trial has ended").to_owned()
}

/// Writes down the table to try and the way back, which is tried first.
async fn prepare(ground: &Ground) -> Result<()> {
    let listing = match &ground.live.table {
        Table::Known(None) => None,
        _ => Some(ThisHost.call(&Call::nft(["list", "table", "inet", "anklume"])).await?),
    };
    let listing = listing.as_ref().map(|bytes| String::from_utf8_lossy(bytes));
    let mut calls = files::write(trial::TABLE, keep::MODE, &keep::text(&ground.wall));
    calls.extend(files::write(trial::FORMER, keep::MODE, &trial::former(listing.as_deref())));
    for call in calls {
        ThisHost.call(&call).await.context("the trial could not be prepared, so nothing was changed")?;
    }
    let back = ThisHost.call(&Call::nft(["-c", "-f", trial::FORMER])).await;
    back.context("nothing was changed: the table that is in force could not be brought back")?;
    Ok(())
}

/// The process that stands for the trial.
struct Standing {
    _child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Standing {
    fn start(lock: &Lock, seconds: u64) -> Result<Self> {
        let child = || -> io::Result<Child> {
            Command::new("/proc/self/exe")
                .arg0("anklume")
                .args(["firewall", "trial", &seconds.to_string()])
                .stdin(lock.shared()?)
                .stdout(Stdio::piped())
                .stderr(Stdio::null())
                .current_dir("/")
                .spawn()
        };
        let mut child = child().context("the trial could not be begun, so nothing was changed")?;
        let stdout = child.stdout.take().expect("standard output was asked for");
        Ok(Self { _child: child, lines: BufReader::new(stdout).lines() })
    }

    async fn says(&mut self) -> Option<String> {
        self.lines.next_line().await.ok().flatten()
    }
}

/// What is typed on the terminal, where there is one.
fn answers(ui: Ui) -> UnboundedReceiver<Word> {
    let (tell, answers) = unbounded_channel();
    if ui.can_ask {
        // A thread of its own, which waits for a line until the process ends.
        std::thread::spawn(move || {
            for line in io::stdin().lock().lines().map_while(Result::ok) {
                match line.trim().to_lowercase().as_str() {
                    "" | "y" | "yes" => drop(tell.send(Word::Confirm)),
                    "n" | "no" => drop(tell.send(Word::Revert)),
                    _ => ui.say("Enter keeps it, `no` brings the former one back"),
                }
            }
        });
    }
    answers
}
