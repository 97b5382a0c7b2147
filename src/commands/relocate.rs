//! `anklume move` and `copy`: a machine with its volumes elsewhere, or once more, in Incus and in the file.

use std::collections::BTreeSet;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::Value;

use super::{Ground, apply, check_file, lock};
use crate::carry::copying::{self, completion};
use crate::carry::placing::placing;
use crate::carry::{self, Cargo, Obstacle, in_a_row};
use crate::cli::{CopyArgs, Global, MoveArgs};
use crate::failure::{Hinted, Unfinished, WrongInput};
use crate::incus::call::Call;
use crate::incus::door::{ThisHost, json, perform};
use crate::incus::live::Live;
use crate::infra::near;
use crate::infra::rewrite::{Edited, Refusal};
use crate::plan::{Action, Id, Kind, Plan};
use crate::resolve::desired::{Domain, Machine};
use crate::resources::instance::Instances;
use crate::resources::journey::{self, Journey, Load, part, volume_part};
use crate::resources::{Found, volume};
use crate::ui::Ui;

/// Moves a machine to another domain or pool.
pub(crate) async fn r#move(global: &Global, args: &MoveArgs, ui: Ui) -> Result<ExitCode> {
    let _lock = lock::take("move")?;
    check_file(global, ui)?;
    quiet(ui).await?;
    let ground = Ground::read(global, false, ui).await?;
    let name = &args.name;
    domain_of(&ground, name)?;
    let (edited, by) = match (&args.to, &args.pool) {
        (Some(to), _) => {
            is_domain(&ground, to)?;
            (writable(ground.loaded.moved(name, to), ui)?, format!("anklume move {name} --to {to}"))
        }
        (None, Some(pool)) => {
            is_pool(&ground, pool)?;
            (writable(ground.loaded.on_pool(name, pool), ui)?, format!("anklume move {name} --pool {pool}"))
        }
        (None, None) => (Edited::nothing(&ground.loaded), format!("anklume move {name}")),
    };
    let target = ground.with(edited.loaded.clone(), ui)?;
    let (domain, machine) = machine(&target, name)?;
    let place = Id::within(Kind::Instance, &domain.project, &machine.instance);
    let elsewhere = journey::elsewhere(&place, &target.live, &target.desired.infra);
    let source = elsewhere.or_else(|| target.live.found.get(&place));
    let trip = Trip { target: &target, edited: &edited, domain, machine, by, moves: true };
    trip.go(global, source, args.yes, ui).await
}

/// Makes a copy of a machine.
pub(crate) async fn copy(global: &Global, args: &CopyArgs, ui: Ui) -> Result<ExitCode> {
    let _lock = lock::take("copy")?;
    check_file(global, ui)?;
    quiet(ui).await?;
    let ground = Ground::read(global, false, ui).await?;
    let (name, new) = (&args.name, &args.new);
    let home = domain_of(&ground, name)?;
    let to = args.to.clone().unwrap_or(home);
    is_domain(&ground, &to)?;
    let edited = match ground.loaded.infra.domain_of(new) {
        Some(written) if args.to.as_ref().is_some_and(|to| to != written) => {
            let hint = format!("another name, or `--to {written}`");
            return Err(Hinted::new(format!("the file has `{new}` in the domain `{written}`"), hint).into());
        }
        Some(_) => Edited::nothing(&ground.loaded),
        None => writable(ground.loaded.copied(name, new, &to), ui)?,
    };
    let target = ground.with(edited.loaded.clone(), ui)?;
    let (from_domain, from) = machine(&target, name)?;
    let (domain, machine) = machine(&target, new)?;
    let source = target.live.found.get(&Id::within(Kind::Instance, &from_domain.project, &from.instance));
    let by = format!("anklume copy {name} {new} --to {}", domain.name);
    let trip = Trip { target: &target, edited: &edited, domain, machine, by, moves: false };
    trip.go(global, source, args.yes, ui).await
}

/// Where a machine is to go, and what the file is to say then.
pub(super) struct Trip<'a> {
    pub(super) target: &'a Ground,
    pub(super) edited: &'a Edited,
    pub(super) domain: &'a Domain,
    pub(super) machine: &'a Machine,
    pub(super) by: String,
    pub(super) moves: bool,
}

impl Trip<'_> {
    pub(super) fn place(&self) -> Id {
        Id::within(Kind::Instance, &self.domain.project, &self.machine.instance)
    }

    /// Copies, compares, writes the file, puts the copy in its place: from wherever an earlier run stood.
    async fn go(&self, global: &Global, source: Option<&Found>, yes: bool, ui: Ui) -> Result<ExitCode> {
        apply::isolation_can_be_told(self.target)?;
        let live = &self.target.live;
        let earlier = complete(live, &self.place(), source);
        if let Some(journey) = earlier.filter(|journey| journey.from.is_some() && journey.moves == self.moves) {
            ui.say("a copy that is complete is here already: going on with it");
            self.agreed(&placing(live, &self.place(), &journey, &self.domain.name), yes, ui)?;
            return self.arrive(global, &journey, ui).await;
        }
        let Some(source) = source else {
            let message = format!("{} is in the file and not made yet", self.machine.name);
            return Err(Hinted::new(message, "`anklume apply` makes it").into());
        };
        let cargo = Cargo::pack(source, live, (self.domain, self.machine), self.moves, &self.by);
        if self.moves && cargo.is_there() {
            self.agreed(&Plan::default(), yes, ui)?;
            write(self.edited)?;
            return apply::finish(global, &self.machine.name, ui).await;
        }
        refuse(cargo.obstacles(live))?;
        let plan = cargo.copying(live);
        self.agreed(&plan, yes, ui)?;
        let copied = self.copied(&cargo, &plan, ui).await;
        if source.is_up() && (!self.moves || copied.is_err()) {
            perform(&ThisHost, &Instances::start(&source.id)).await.context("the source does not start again")?;
        }
        copied?;
        self.arrive(global, &cargo.journey, ui).await
    }

    /// From a complete copy to the machine: the file, the names, and what `apply` does for it.
    pub(super) async fn arrive(&self, global: &Global, journey: &Journey, ui: Ui) -> Result<ExitCode> {
        write(self.edited)?;
        let live = Live::read(&ThisHost).await.context("Incus cannot be read")?;
        let plan = placing(&live, &self.place(), journey, &self.domain.name);
        let report = apply::carry_out(&plan, apply::bounds(Some(1)), ui).await?;
        if !report.is_clean() {
            let hint = format!("once what failed is mended: `{}` goes on from here", journey.by);
            return Err(Hinted::new("the copy is complete, and not in its place yet", hint).into());
        }
        apply::finish(global, &self.machine.name, ui).await
    }

    /// The pool of its root disk there.
    pub(super) fn root_pool(&self) -> &str {
        let root = self.machine.devices.values().find(|keys| keys.get("path").is_some_and(|path| path == "/"));
        root.and_then(|keys| keys.get("pool")).map_or(self.domain.pool.as_str(), String::as_str)
    }

    /// What is in the way of what comes.
    pub(super) fn obstacles(&self, loads: &[Load]) -> Vec<Obstacle> {
        carry::in_the_way(&self.target.live, self.domain, &self.place(), loads)
    }

    fn agreed(&self, plan: &Plan, yes: bool, ui: Ui) -> Result<()> {
        show(plan, &self.edited.shown, ui);
        if !yes && !apply::agreed(ui, "Do this?")? {
            return Err(Unfinished("nothing was changed".into()).into());
        }
        Ok(())
    }

    /// Makes the copy; where that fails, nothing of it stays.
    async fn copied(&self, cargo: &Cargo<'_>, plan: &Plan, ui: Ui) -> Result<()> {
        let report = apply::carry_out(plan, apply::bounds(Some(1)), ui).await?;
        let same = if report.is_clean() { snapshots_are_there(cargo).await } else { Err(stopped(&self.by)) };
        let Err(error) = same else {
            perform(&ThisHost, &completion(&self.place(), &cargo.journey, Some(cargo.source)))
                .await
                .context("the copy cannot be marked")?;
            return Ok(());
        };
        let live = Live::read(&ThisHost).await.context("Incus cannot be read")?;
        let undone = in_a_row(copying::leftovers(&live, &self.place(), &cargo.journey.volumes));
        apply::carry_out(&undone, apply::bounds(Some(1)), ui).await?;
        Err(error)
    }
}

/// What will be done, and written.
pub(super) fn show(plan: &Plan, edit: &str, ui: Ui) {
    for Action { verb, id, note, .. } in &plan.actions {
        let note = if note.is_empty() { String::new() } else { format!("  ({note})") };
        ui.print(format!("{} {} {id}{note}\n", verb.sign(), verb.word()));
    }
    ui.print(edit);
}

fn stopped(by: &str) -> anyhow::Error {
    let message = "nothing was moved or written: the copy was not made";
    Hinted::new(message, format!("once what failed is mended: `{by}`")).into()
}

/// A copy that an earlier run finished, of the source as it is.
pub(super) fn complete(live: &Live, place: &Id, source: Option<&Found>) -> Option<Journey> {
    let found = live.found.get(&part(place))?;
    let journey = found.marks.as_ref()?.journey.clone().filter(|journey| journey.complete)?;
    let used = |found: &Found| found.instance.as_ref().map(|instance| instance.used.clone()).unwrap_or_default();
    let is_stale = journey.moves && source.is_some_and(|source| source.is_up() || used(source) != journey.used);
    (!is_stale).then_some(journey)
}

/// Writes the files that change.
fn write(edited: &Edited) -> Result<()> {
    for change in &edited.changes {
        change.write().with_context(|| format!("{} cannot be written", change.file))?;
    }
    Ok(())
}

/// Snapshots come along with a copy.
async fn snapshots_are_there(cargo: &Cargo<'_>) -> Result<()> {
    let place = cargo.place();
    let path = |id: &Id| format!("/1.0/instances/{}/snapshots?project={}", id.name, id.project);
    let mut pairs = vec![(path(&cargo.source.id), path(&part(&place)))];
    for load in &cargo.journey.volumes {
        let path = |id: &Id| {
            let (pool, name) = volume::parts(id);
            format!("/1.0/storage-pools/{pool}/volumes/custom/{name}/snapshots?project={}", id.project)
        };
        let of = |project: &str, name: &str| Id::within(Kind::Volume, project, name);
        let to = volume_part(&of(&place.project, &load.to));
        pairs.push((path(&of(&cargo.source.id.project, &load.from)), path(&to)));
    }
    for (from, to) in pairs {
        if snapshots(&from).await? != snapshots(&to).await? {
            let hint = "try again; `incus copy` says more when it is run by hand";
            return Err(Hinted::new("the copy lacks snapshots of its source, and is given up", hint).into());
        }
    }
    Ok(())
}

async fn snapshots(path: &str) -> Result<BTreeSet<String>> {
    let listed = json(&ThisHost, &Call::query(path)).await.context("the snapshots cannot be read")?;
    let name = |path: &Value| path.as_str()?.rsplit('/').next()?.split('?').next().map(str::to_owned);
    Ok(listed.as_array().into_iter().flatten().filter_map(name).collect())
}

/// A run that was cut off leaves calls under way: waits until no copy is being made.
pub(super) async fn quiet(ui: Ui) -> Result<()> {
    // Incus does not say of the copy of a volume which one it is.
    let concerns = |one: &Value| {
        let texts = [one["resources"].to_string(), one["description"].to_string()];
        texts.iter().any(|text| text.contains("-part") || text.contains("opying storage volume"))
    };
    quiet_of(concerns, "waiting for a copy that is being made, perhaps by a run that was cut off", ui).await
}

/// Waits until nothing of what Incus does is of this kind. What was read before that may be so no more.
pub(super) async fn quiet_of(concerns: impl Fn(&Value) -> bool, waiting: &str, ui: Ui) -> Result<()> {
    let mut told = false;
    loop {
        let call = Call::query("/1.0/operations?recursion=1&all-projects=true");
        let operations = json(&ThisHost, &call).await.context("Incus cannot be read")?;
        if !operations["running"].as_array().into_iter().flatten().any(&concerns) {
            return Ok(());
        }
        if !told {
            ui.say(waiting);
            told = true;
        }
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
}

pub(super) fn refuse(obstacles: Vec<Obstacle>) -> Result<()> {
    refuse_all(obstacles.into_iter().map(|obstacle| (obstacle.message, obstacle.hint)).collect())
}

/// The same from messages, each with its hint.
pub(super) fn refuse_all(obstacles: Vec<(String, String)>) -> Result<()> {
    if obstacles.is_empty() {
        return Ok(());
    }
    let (messages, mut hints): (Vec<String>, Vec<String>) = obstacles.into_iter().unzip();
    hints.dedup();
    Err(Hinted::new(messages.join("\n       "), hints.join("\n      ")).into())
}

/// The edit, or why the file cannot be edited.
pub(super) fn writable(edited: Result<Edited, Refusal>, ui: Ui) -> Result<Edited> {
    edited.map_err(|refusal| match refusal {
        Refusal::Wrong(problems) => {
            let messages: Vec<String> = problems.iter().map(|one| format!("{}: {}", one.path, one.message)).collect();
            let helps: Vec<&str> = problems.iter().filter_map(|problem| problem.help.as_deref()).collect();
            let message = format!("the file would be wrong then: {}", messages.join("\n       "));
            WrongInput::plain(&message, helps.first().copied(), &ui.err).into()
        }
        Refusal::ByHand(how) => Hinted::new("the file is written in a way that only you can change", how).into(),
    })
}

/// The domain that the file has a machine in.
pub(super) fn domain_of(ground: &Ground, name: &str) -> Result<String> {
    let infra = &ground.loaded.infra;
    if let Some(domain) = infra.domain_of(name) {
        return Ok(domain.to_owned());
    }
    let all = infra.domains.values().flat_map(|domain| domain.machines.keys().map(String::as_str));
    Err(Hinted::new(format!("the file has no machine called `{name}`"), suggestion(name, all, "machines")).into())
}

pub(super) fn is_domain(ground: &Ground, name: &str) -> Result<()> {
    let domains = &ground.loaded.infra.domains;
    match domains.get(name) {
        Some(domain) if domain.enabled => Ok(()),
        Some(_) => Err(Hinted::new(format!("the domain `{name}` is disabled"), "write `enabled: true` in it").into()),
        None => {
            let hint = suggestion(name, domains.keys().map(String::as_str), "domains");
            Err(Hinted::new(format!("the file has no domain called `{name}`"), hint).into())
        }
    }
}

fn is_pool(ground: &Ground, name: &str) -> Result<()> {
    let pools = &ground.live.pools;
    if pools.iter().any(|pool| pool == name) {
        return Ok(());
    }
    let hint = format!("there are: {}", pools.join(", "));
    Err(Hinted::new(format!("Incus has no storage pool called `{name}`"), hint).into())
}

fn suggestion<'n>(name: &str, all: impl Iterator<Item = &'n str>, what: &str) -> String {
    match near::nearest(name, all) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("`anklume status` lists the {what}"),
    }
}

/// A machine as the file has it.
pub(super) fn machine<'a>(ground: &'a Ground, name: &str) -> Result<(&'a Domain, &'a Machine)> {
    let mut all = ground.desired.domains.iter().flat_map(|domain| domain.machines.iter().map(move |one| (domain, one)));
    let missing = || Hinted::new(format!("`{name}` is in a domain that is disabled"), "write `enabled: true` in it");
    all.find(|(_, machine)| machine.name == name).ok_or_else(|| missing().into())
}
