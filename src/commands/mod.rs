//! One verb per file; here is what they share: from the file and the host to a plan.

mod agents;
pub(crate) mod apply;
pub(crate) mod backup;
pub(crate) mod bootstrap;
pub(crate) mod check;
pub(crate) mod destroy;
pub(crate) mod doctor;
pub(crate) mod enter;
pub(crate) mod firewall;
pub(crate) mod flush;
pub(crate) mod image;
pub(crate) mod import;
pub(crate) mod init;
pub(crate) mod inventory;
pub(crate) mod lock;
mod named;
pub(crate) mod plan;
pub(crate) mod power;
pub(crate) mod preflight;
pub(crate) mod provision;
pub(crate) mod relocate;
pub(crate) mod rollback;
pub(crate) mod snap;
pub(crate) mod status;
pub(crate) mod sync;
pub(crate) mod upgrade;

use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context as _, Result};

use crate::cli::{Cli, Command, Global, Scope};
use crate::failure::{Hinted, WrongInput};
use crate::firewall::exported::Exported;
use crate::firewall::fence::{Elsewhere, Table};
use crate::firewall::keep::Keeping;
use crate::firewall::wall::Wall;
use crate::host::facts::Facts;
use crate::host::repository::Repository;
use crate::host::{self, gather, reach};
use crate::incus::door::ThisHost;
use crate::incus::live::Live;
use crate::incus::server::Server;
use crate::infra::problem::{Level, Problem};
use crate::infra::{self, Loaded};
use crate::lifecycle::before;
use crate::plan::{Plan, Verb};
use crate::resolve::desired::Desired;
use crate::resolve::{self, Holds};
use crate::resources::planner::{self, Conflict, Options};
use crate::resources::{directory, fencing};
use crate::ui::Ui;

/// Nothing differs, everything done.
pub(crate) const DONE: ExitCode = ExitCode::SUCCESS;

/// Runs the command.
pub(crate) async fn run(cli: Cli, ui: Ui) -> Result<ExitCode> {
    let global = &cli.global;
    match cli.command {
        Command::Init(args) => init::run(&args, ui),
        Command::Bootstrap(args) => bootstrap::run(&args, ui).await,
        Command::Doctor(args) => doctor::run(global, &args, ui).await,
        Command::Check => check::run(global, ui),
        Command::Plan(args) => plan::run(global, &args, ui).await,
        Command::Apply(args) => apply::run(global, &args, ui).await,
        Command::Status(args) => status::run(global, &args, ui).await,
        Command::Destroy(args) => destroy::run(global, &args, ui).await,
        Command::Flush(args) => flush::run(global, &args, ui).await,
        Command::Start(args) => power::run(global, &args.into(), Verb::Start, ui).await,
        Command::Stop(args) => power::run(global, &args, Verb::Stop, ui).await,
        Command::Restart(args) => power::run(global, &args, Verb::Restart, ui).await,
        Command::Pause(args) => power::run(global, &args.into(), Verb::Pause, ui).await,
        Command::Resume(args) => power::run(global, &args.into(), Verb::Resume, ui).await,
        Command::Exec(args) => enter::exec(global, &args, ui).await,
        Command::Shell(args) => enter::shell(global, &args, ui).await,
        Command::Logs(args) => enter::logs(global, &args, ui).await,
        Command::Move(args) => relocate::r#move(global, &args, ui).await,
        Command::Copy(args) => relocate::copy(global, &args, ui).await,
        Command::Backup(args) => backup::backup(global, &args, ui).await,
        Command::RestoreBackup(args) => backup::restore(global, &args, ui).await,
        Command::Snap(command) => snap::run(global, command, ui).await,
        Command::Rollback(args) => rollback::run(global, &args, ui).await,
        Command::Upgrade(args) => upgrade::run(global, args, ui).await,
        Command::Import(args) => import::run(global, &args, ui).await,
        Command::Image(command) => image::run(global, command, ui).await,
        Command::Sync(args) => sync::run(global, &args, ui).await,
        Command::Inventory(args) => inventory::run(global, &args, ui).await,
        Command::Provision(args) => provision::run(global, &args, ui).await,
        Command::Firewall(command) => firewall::run(global, command, ui).await,
    }
}

/// The file, read and found good; its warnings are said.
pub(crate) fn load(global: &Global, ui: Ui) -> Result<Loaded> {
    let loaded = infra::load(global.file.as_deref()).map_err(|failure| unusable(failure, ui))?;
    say_problems(&loaded, &loaded.problems, ui)?;
    Ok(loaded)
}

/// A file that is wrong is told before anything is waited for, or read that takes long. Warnings are for `load` to say.
pub(crate) fn check_file(global: &Global, ui: Ui) -> Result<()> {
    infra::load(global.file.as_deref()).map(drop).map_err(|failure| unusable(failure, ui))
}

/// Says warnings; errors among them end the run.
pub(crate) fn say_problems(loaded: &Loaded, problems: &[Problem], ui: Ui) -> Result<()> {
    if problems.is_empty() {
        return Ok(());
    }
    let drawn = infra::draw(problems, &loaded.sources, ui.err.color, ui.err.width);
    if problems.iter().any(|problem| problem.level == Level::Error) {
        return Err(WrongInput::drawn(&drawn).into());
    }
    if !ui.warned {
        ui.say(drawn.trim_end());
    }
    Ok(())
}

fn unusable(failure: infra::Failure, ui: Ui) -> anyhow::Error {
    match failure {
        infra::Failure::Unreadable { message, help } => WrongInput::plain(&message, help.as_deref(), &ui.err).into(),
        infra::Failure::Invalid { problems, sources } => {
            WrongInput::drawn(&infra::draw(&problems, &sources, ui.err.color, ui.err.width)).into()
        }
    }
}

/// Everything that a plan is made from.
pub(crate) struct Ground {
    pub(crate) loaded: Loaded,
    pub(crate) desired: Desired,
    /// The isolation as it is to be while everything is where it is now.
    pub(crate) wall: Wall,
    pub(crate) live: Live,
    facts: Facts,
}

impl Ground {
    /// Reads the file and the host, all reads at once. Offline, the host is an empty one.
    pub(crate) async fn read(global: &Global, offline: bool, ui: Ui) -> Result<Self> {
        let loaded = load(global, ui)?;
        let mut context = host::facts::read_context(Path::new("/"), global.yolo);
        context.repository = loaded.infra.global.image_repository.as_deref().map(repository);
        let shared = loaded.infra.global.resource_policy.is_some();
        let (live, facts) = if offline {
            let totals = host::facts::kernel_totals(Path::new("/")).filter(|_| shared);
            (Live::empty(), host::facts::Facts { totals, ..context })
        } else {
            seen(context, shared).await?
        };
        Self::on(loaded, live, facts, offline, ui)
    }

    /// What another file would make of the same host.
    pub(crate) fn with(&self, loaded: Loaded, ui: Ui) -> Result<Self> {
        Self::on(loaded, self.live.clone(), self.facts.clone(), false, ui)
    }

    fn on(loaded: Loaded, mut live: Live, facts: Facts, offline: bool, ui: Ui) -> Result<Self> {
        say_problems(&loaded, &infra::host_rules(&loaded.infra, &facts), ui)?;
        let (desired, problems) =
            resolve::resolve(&loaded.infra, &facts, &Holds::of(&live, &loaded.infra.project_name));
        say_problems(&loaded, &problems, ui)?;
        if !offline {
            live.look_for(directory::wanted(&desired).into_keys());
        }
        let wall = fencing::standing(&desired, &live);
        Ok(Self { loaded, desired, wall, live, facts })
    }

    /// The same, writing the table to a file where the kernel that it is for is out of reach.
    pub(crate) fn exporting(mut self, to: Option<&Path>) -> Result<Self> {
        let Some(to) = to else { return Ok(self) };
        let Table::Elsewhere(elsewhere) = &mut self.live.table else {
            let message = "the table of this host is within reach, so `apply` loads it itself";
            return Err(Hinted::new(message, "`anklume firewall export FILE` writes it to a file").into());
        };
        let to = std::path::absolute(to).context("the file to write the table to has no place")?;
        elsewhere.to = Some(to.to_string_lossy().into_owned());
        Ok(self)
    }

    /// What is wanted while nothing else changes.
    pub(crate) fn standing(&self) -> Desired {
        Desired { wall: self.wall.clone(), ..self.desired.clone() }
    }

    /// The plan; where it changes something, what only the server knows is asked and checked.
    pub(crate) async fn plan(&self, options: &Options, offline: bool, ui: Ui) -> Result<Plan> {
        self.check_targets(&options.target)?;
        self.check_replaced(&options.replace)?;
        let plan = planner::plan(&self.desired, &self.live, None, options).map_err(conflicts)?;
        if plan.actions.is_empty() || offline {
            return Ok(plan);
        }
        if self.live.pools.is_empty() {
            return Err(Hinted::new("Incus has no storage pool yet", "make one: `incus admin init --minimal`").into());
        }
        let server = Server::read(&ThisHost).await.context("the Incus server cannot be asked")?;
        let mut plan = planner::plan(&self.desired, &self.live, Some(&server), options).map_err(conflicts)?;
        if options.snapshot {
            plan = before::with_snapshots(plan, &self.live, &snap::read(self).await?, &options.now);
        }
        let mut problems = preflight::problems(&self.desired, &plan, &server, host::facts::has_iommu(Path::new("/")));
        let (images, volumes, table) = tokio::join!(
            preflight::missing_images(&self.desired, &plan),
            preflight::overfull(&self.desired, &plan),
            preflight::dry_run(&self.desired, &plan),
        );
        problems.extend(images.into_iter().chain(volumes));
        say_problems(&self.loaded, &problems, ui)?;
        table?;
        Ok(plan)
    }

    fn check_replaced(&self, machines: &[String]) -> Result<()> {
        for name in machines {
            let mut all = self.desired.domains.iter().flat_map(|domain| &domain.machines);
            if !all.any(|machine| machine.name == *name || machine.instance == *name) {
                let message = format!("no machine in the file is called `{name}`");
                return Err(Hinted::new(message, "`anklume status` lists them").into());
            }
        }
        Ok(())
    }

    fn check_targets(&self, targets: &[String]) -> Result<()> {
        for name in targets {
            let domains = &self.desired.domains;
            let known = domains.iter().any(|domain| {
                domain.name == *name
                    || domain.machines.iter().any(|machine| machine.name == *name || machine.instance == *name)
            });
            if !known {
                let message = format!("no domain or machine is called `{name}`");
                return Err(Hinted::new(message, "`anklume status` lists them").into());
            }
        }
        Ok(())
    }
}

/// What stands on this host, all reads at once; with its totals where they are `shared`.
async fn seen(context: Facts, shared: bool) -> Result<(Live, Facts)> {
    let (live, facts) = tokio::join!(Box::pin(Live::settled(&ThisHost)), gather::read(&ThisHost, context, shared));
    let live = live.context("Incus cannot be read")?;
    seen_from(live, facts.context("the addresses of this host cannot be read")?).await
}

/// What is known of this host beside Incus. Where Incus runs on another one, neither its addresses nor its table are.
async fn seen_from(live: Live, facts: Facts) -> Result<(Live, Facts)> {
    let root = Path::new("/");
    let elsewhere = reach::is_elsewhere(&live.interfaces, &facts.links)
        && gather::is_elsewhere(&ThisHost).await.context("Incus cannot be read")?;
    if elsewhere {
        let table = Table::Elsewhere(Elsewhere { exported: Exported::read(root), to: None });
        return Ok((Live { table, ..live }, Facts { networks: Vec::new(), ..facts }));
    }
    Ok((Live { keeping: Keeping::read(root), ..live }, facts))
}

impl From<&Scope> for Options {
    fn from(scope: &Scope) -> Self {
        Self {
            prune: scope.prune,
            restart: scope.restart,
            target: scope.target.clone(),
            replace: scope.replace.clone(),
            snapshot: scope.snapshot,
            now: host::clock::now(),
        }
    }
}

fn repository(dir: &str) -> Result<Repository, String> {
    Repository::read(std::path::Path::new(dir)).map_err(|error| format!("{dir}: {error}"))
}

/// All conflicts as one error.
pub(crate) fn conflicts(conflicts: Vec<Conflict>) -> anyhow::Error {
    let mut helps: Vec<String> = conflicts.iter().map(|conflict| conflict.help.clone()).collect();
    helps.dedup();
    let messages: Vec<String> = conflicts.into_iter().map(|conflict| conflict.message).collect();
    Hinted::new(messages.join("\n       "), helps.join("\n      ")).into()
}
