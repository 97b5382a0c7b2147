//! `anklume firewall watch`: restores the kept table whenever it is gone or changed.

use std::io::ErrorKind;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result};
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::{Instant, sleep, timeout};

use crate::cli::WatchArgs;
use crate::commands::{DONE, lock};
use crate::failure::Hinted;
use crate::firewall::fence::{self, Table};
use crate::firewall::file::TableFile;
use crate::firewall::keep::{self, Keeping};
use crate::firewall::services;
use crate::firewall::trial;
use crate::firewall::watch::{Finding, concerns_us, culprit, finding};
use crate::incus::call::Call;
use crate::incus::door::{Host, ThisHost};
use crate::incus::follow::Follow;
use crate::ui::Ui;

/// A look now and then, in case that nobody told.
const PERIOD: Duration = Duration::from_secs(10);
/// Until an anklume at work is done, a failure passes, or the kernel begins to tell.
const SOON: Duration = Duration::from_millis(200);
/// What happens in so short a time is one thing.
const QUIET: Duration = Duration::from_millis(20);

/// Watches until it is told to end, or has the host do it from each boot on.
pub(super) async fn run(args: &WatchArgs, ui: Ui) -> Result<ExitCode> {
    if args.install || args.remove {
        return service(args, ui).await;
    }
    let mut terminate = signal(SignalKind::terminate()).context("signals cannot be caught")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("signals cannot be caught")?;
    let mut watcher = Watcher::start(ui).await?;
    tokio::select! {
        result = watcher.watch() => result?,
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    ui.say("the table is watched no longer");
    Ok(DONE)
}

/// Hands the watching to what boots this host, or takes it back.
async fn service(args: &WatchArgs, ui: Ui) -> Result<ExitCode> {
    let verb = if args.install { "firewall watch --install" } else { "firewall watch --remove" };
    let _lock = lock::take(verb)?;
    let Some(init) = Keeping::read(Path::new("/")).init else {
        let message = "this host boots with neither systemd nor OpenRC, so nothing was installed";
        return Err(Hinted::new(message, "let a boot script of yours start `anklume firewall watch`").into());
    };
    let anklume = std::env::current_exe().context("the place of this program is not known")?;
    let service = services::watching(init, &anklume.to_string_lossy());
    for call in if args.install { service.install() } else { service.remove() } {
        ThisHost.call(&call).await.with_context(|| format!("`{}` failed", call.words()))?;
    }
    let now = if args.install { "runs, now and from each boot on" } else { "is gone" };
    ui.say(format!("{} {now}", service.name));
    Ok(DONE)
}

/// Looks and acts.
struct Watcher {
    ui: Ui,
    monitor: Follow,
    /// The last failure that was told: the same one is told once.
    told: String,
}

impl Watcher {
    async fn start(ui: Ui) -> Result<Self> {
        Table::read(&ThisHost).await.known()?;
        // Before the first look, so that nothing can happen unseen in between.
        let monitor = Follow::start(&monitor())?;
        ui.say(match Keeping::read(Path::new("/")).file {
            Some(_) => format!("watching the table `inet anklume`, as {} has it", keep::FILE),
            None => format!("there is no {} yet: `anklume apply` writes it, and then it is watched", keep::FILE),
        });
        Ok(Self { ui, monitor, told: String::new() })
    }

    async fn watch(&mut self) -> Result<()> {
        // The monitor needs a moment until it hears.
        let mut pause = SOON;
        loop {
            self.wait(pause).await?;
            pause = self.look().await;
        }
    }

    /// Until the kernel tells something about our table, at most so long.
    async fn wait(&mut self, longest: Duration) -> Result<()> {
        let end = Instant::now() + longest;
        while let Ok(line) = tokio::time::timeout_at(end, self.monitor.line()).await {
            match line {
                Some(line) if concerns_us(&line) => return Ok(()),
                Some(_) => {}
                None => {
                    tracing::warn!("`nft monitor` has ended; it is started again");
                    sleep(SOON).await;
                    self.monitor = Follow::start(&monitor())?;
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    /// Compares and restores, again while more happens; how long to wait for the next look.
    async fn look(&mut self) -> Duration {
        for in_a_row in 0.. {
            let begin = Instant::now();
            let found = self.restore().await;
            let took = begin.elapsed().as_millis();
            let (more, by) = self.settle().await;
            let by = by.map(|by| format!(" by {by}")).unwrap_or_default();
            match found {
                Ok(Finding::Gone) => self.ui.say(format!("the table was taken away{by}: restored in {took} ms")),
                Ok(Finding::Changed) => self.ui.say(format!("the table was changed{by}: restored in {took} ms")),
                Ok(Finding::AsKept) if !more => break,
                Ok(Finding::BeingChanged) if !more => return SOON,
                Ok(_) => {}
                Err(error) => {
                    self.tell(&error);
                    return SOON;
                }
            }
            self.told.clear();
            if in_a_row > 2 {
                // Somebody does it again and again: not as fast as both can.
                sleep(SOON).await;
            }
        }
        PERIOD
    }

    fn tell(&mut self, error: &anyhow::Error) {
        let told = crate::failure::told(error, &self.ui.err);
        if told != self.told {
            self.ui.say(&told);
            self.told = told;
        }
    }

    async fn restore(&self) -> Result<Finding> {
        let file = if trial::is_on(Path::new("/")) { trial::TABLE } else { keep::FILE };
        let kept = read(Path::new(file)).with_context(|| format!("{file} cannot be used, so the table is not watched"));
        let kept = kept?;
        let table = Table::read(&ThisHost).await;
        let found = finding(kept.as_ref().map(|kept| &kept.table), table.known()?, lock::is_taken());
        if let (Finding::Gone | Finding::Changed, Some(kept)) = (found, kept) {
            let load = fence::load_call(kept.batch);
            ThisHost.call(&load).await.context("the table is not as it is kept, and could not be restored")?;
        }
        Ok(found)
    }

    /// Waits until it is quiet. Did more happen, and who was the first to do something?
    async fn settle(&mut self) -> (bool, Option<String>) {
        let (mut more, mut by) = (false, None);
        let end = Instant::now() + SOON;
        while Instant::now() < end
            && let Ok(Some(line)) = timeout(QUIET, self.monitor.line()).await
        {
            more |= concerns_us(&line);
            by = by.or_else(|| culprit(&line));
        }
        (more, by)
    }
}

/// The table that is to stand; none where there is no file.
fn read(file: &Path) -> Result<Option<TableFile>> {
    match std::fs::read_to_string(file) {
        Ok(text) => Ok(Some(TableFile::parse(&text)?)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn monitor() -> Call {
    Call::nft(["monitor"])
}
