//! Compares what is wanted with what is there, and makes the plan of the difference. Pure.

pub(crate) mod flush;
mod making;
mod states;

use std::collections::{BTreeMap, BTreeSet};

use super::difference::{self, Change};
use super::exchange::{self, Exchange};
use super::fencing::{self, Walls};
use super::journey::Strays;
use super::removal::{self, Removal};
use super::replacing::replacing;
use super::sides::{self, Sides};
use super::steps::{self, Phase, Step};
use super::target::Target;
use super::weigh::{self, AllWeighed, Weighed};
use super::{Found, Wanted, aside, directory, fields, network, order, release, resource, restarts, running, volume};
use crate::firewall::wall::Wall;
use crate::firewall::{fence, keep};
use crate::incus::call::Call;
use crate::incus::live::Live;
use crate::incus::server::Server;
use crate::plan::{Action, Held, Id, Kind, Plan, Verb, Why};
use crate::resolve::desired::Desired;

/// What the user asked for on the command line.
#[derive(Debug, Clone, Default)]
pub(crate) struct Options {
    /// Delete what left the file.
    pub(crate) prune: bool,
    /// Restart running machines where a change needs it.
    pub(crate) restart: bool,
    /// Domains or machines; empty: everything.
    pub(crate) target: Vec<String>,
    /// Machines to be made anew.
    pub(crate) replace: Vec<String>,
    /// Take snapshots first of what restarts or is made anew.
    pub(crate) snapshot: bool,
    /// The time that is in the names of what is kept of those, and of snapshots: `20261124-190000`.
    pub(crate) now: String,
}

/// Something that keeps a plan from being made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Conflict {
    /// What cannot be made, or changed.
    pub(crate) id: Id,
    /// Whose it is.
    pub(crate) domain: String,
    pub(crate) message: String,
    pub(crate) help: String,
}

/// Makes the plan.
///
/// # Errors
/// Everything that stands in the way: things of the same name that belong to another infrastructure, addresses that
/// are held by what is not to change.
pub(crate) fn plan(
    desired: &Desired,
    live: &Live,
    server: Option<&Server>,
    options: &Options,
) -> Result<Plan, Vec<Conflict>> {
    let wanted = sides::wanted(desired);
    let begun = network::begun(live, &wanted, &desired.infra);
    let live = &*network::without(live, &begun);
    let idle = running::to_stop(desired, live, &wanted);
    let live = &*running::stopped(live, &idle);
    let replacing = replacing(desired, live, &wanted, options);
    let live = &*replacing.live;
    let strays = Strays::of(&wanted, live, &desired.infra, options.prune);
    let wanted: Vec<Wanted> = wanted.iter().filter(|wanted| !strays.left.contains(&wanted.id)).cloned().collect();
    let sides = Sides::new(desired, live, server, options, &wanted);
    let orphans = removal::orphans(&sides, &strays.left);
    let sides = sides.without(&orphans.delete);
    let all = weigh::all(&sides);
    let removal = orphans.without_needed(&removal::users_then(&sides, &all));
    let exchange = exchange::exchange(&sides, &all, &removal.delete);
    let target = Target::new(&sides);
    let mut planner = Planner { heirs: exchange.heirs.clone(), begun, ..Planner::new(&sides, &all) };
    planner.directories();
    planner.set_aside(replacing.steps);
    planner.steps.extend(idle.iter().map(|(wanted, found)| stop(wanted, found)));
    planner.release(&exchange);
    for wanted in &wanted {
        planner.thing(wanted);
    }
    planner.delete(&removal);
    planner.conflicts.extend(exchange.conflicts.into_iter().chain(volume::elsewhere(&wanted, live)));
    planner.conflicts.extend(replacing.conflicts);
    planner.held.extend(strays.held);
    // What this very plan keeps is told by the step that keeps it.
    planner.held.extend(removal.held.into_iter().filter(|held| !replacing.kept.contains(&held.id)));
    planner.steps = target.narrow(planner.steps, &sides);
    let steps = &planner.steps;
    let is_needed = |id: &Id| steps.iter().any(|step| step.action.id == *id || step.needs.contains(id));
    let matters = |conflict: &Conflict| target.concerns(&sides, &conflict.domain) || is_needed(&conflict.id);
    planner.conflicts.retain(matters);
    if !planner.conflicts.is_empty() {
        return Err(planner.conflicts);
    }
    let walls = fencing::walls(&sides, &all, &planner.steps);
    planner.fence(&walls.first);
    planner.last_fence(&walls);
    planner.held.retain(|held| target.keeps(held));
    let mut plan = planner.finish();
    restarts::joined(&mut plan.actions);
    Ok(plan)
}

/// The plan that only loads the table, and keeps it: as it is to be while nothing else changes.
pub(crate) fn isolation(desired: &Desired, live: &Live) -> Plan {
    let options = Options::default();
    let all = AllWeighed::new();
    let sides = Sides::new(desired, live, None, &options, &[]);
    let mut planner = Planner::new(&sides, &all);
    planner.fence(&fencing::standing(desired, live));
    planner.finish()
}

/// The plan that deletes what was named. The table keeps every bridge that still stands.
pub(crate) fn destruction(desired: &Desired, live: &Live, removal: Removal<'_>) -> Plan {
    let options = Options::default();
    let all = AllWeighed::new();
    let sides = Sides::new(desired, live, None, &options, &[]);
    let mut planner = Planner::new(&sides, &all);
    planner.delete(&removal);
    planner.held = removal.held;
    if planner.steps.iter().any(|step| step.action.id.kind == Kind::Network) {
        let mut walls = fencing::walls(&sides, &all, &planner.steps);
        let stands = |bridge: &String| live.found.contains_key(&Id::global(Kind::Network, bridge.as_str()));
        let missing: BTreeSet<&String> = desired.wall.bridges.keys().filter(|bridge| !stands(bridge)).collect();
        walls.last = fence::without(&walls.last, &missing);
        planner.last_fence(&walls);
    }
    planner.finish()
}

struct Planner<'a> {
    sides: &'a Sides<'a>,
    all: &'a AllWeighed<'a>,
    steps: Vec<Step>,
    held: Vec<Held>,
    conflicts: Vec<Conflict>,
    images: BTreeSet<Id>,
    /// Who waits for what becomes of a thing.
    heirs: BTreeMap<&'a Id, BTreeSet<Id>>,
    /// Machines that give up an address, and stand still until they get another one.
    released: BTreeSet<Id>,
    /// Bridges that Incus began and never finished.
    begun: Vec<Found>,
    /// What keeps the table over a reboot, as it is after the steps so far.
    keeping: keep::Keeping,
}

impl<'a> Planner<'a> {
    fn new(sides: &'a Sides<'a>, all: &'a AllWeighed<'a>) -> Self {
        Self {
            sides,
            all,
            steps: Vec::new(),
            held: Vec::new(),
            conflicts: Vec::new(),
            images: BTreeSet::new(),
            heirs: BTreeMap::new(),
            released: BTreeSet::new(),
            begun: Vec::new(),
            keeping: sides.live.keeping.clone(),
        }
    }

    /// The table first: it names interfaces, so it can stand before the bridges do.
    fn fence(&mut self, wall: &Wall) {
        match fence::action(wall, &self.sides.live.table) {
            fence::Step::Nothing => {}
            fence::Step::Load(action) => self.steps.push(Step::new(action, Phase::Fence)),
            fence::Step::Unknown { why, hint } => self.held.push(Held {
                id: Id::global(Kind::Firewall, "inet anklume"),
                domain: String::new(),
                why: Why::Unknown,
                fields: Vec::new(),
                message: format!("the isolation cannot be told: {why}; {hint}"),
            }),
        }
        self.keep(Phase::Keep, wall);
    }

    fn last_fence(&mut self, walls: &Walls) {
        if let Some(action) = fence::last_action(&walls.first, &walls.last, &self.sides.live.table) {
            let needs = walls.movers.iter().cloned().collect();
            self.steps.push(Step { needs, ..Step::new(action, Phase::LastFence) });
            self.keep(Phase::LastKeep, &walls.last);
        }
    }

    /// What brings the table back at the next boot; nothing where the table itself cannot be told.
    fn keep(&mut self, phase: Phase, wall: &Wall) {
        if matches!(self.sides.live.table, fence::Table::Known(_)) {
            let wanted = keep::wanted(wall);
            let actions = self.keeping.actions(wanted.as_deref());
            self.steps.extend(actions.into_iter().map(|action| Step::new(action, phase)));
            self.keeping = self.keeping.after(wanted.as_deref());
        }
    }

    fn directories(&mut self) {
        let missing = directory::wanted(self.sides.desired).into_iter();
        let missing = missing.filter(|(path, _)| !self.sides.live.directories.contains(*path));
        self.steps.extend(missing.map(|(path, domain)| Step::new(directory::creation(path, domain), Phase::Make)));
    }

    fn thing(&mut self, wanted: &Wanted) {
        let (all, desired) = (self.all, self.sides.desired);
        match (self.sides.live.found.get(&wanted.id), all.get(&wanted.id)) {
            (None, _) => self.create(wanted),
            (Some(found), Some(weighed)) => self.change(wanted, found, weighed),
            (Some(found), None) => self.conflicts.push(Conflict {
                id: wanted.id.clone(),
                domain: wanted.domain.clone(),
                message: format!(
                    "{} belongs to the infrastructure `{}`",
                    wanted.id,
                    found.marks.as_ref().map(|marks| marks.infra.as_str()).unwrap_or_default()
                ),
                help: format!("rename it in the file, or correct `project_name` (now `{}`)", desired.infra),
            }),
        }
    }

    fn change(&mut self, wanted: &Wanted, found: &Found, weighed: &Weighed) {
        let Weighed { now, late, held, .. } = weighed;
        self.held.extend(difference::held(wanted, held));
        let moved_along = || weigh::moved_along(self.sides, wanted);
        self.conflicts.extend(held.iter().filter_map(|change| network::moved(wanted, change, &moved_along())));
        if !now.is_empty() || (weighed.is_marked_anew && late.is_empty()) {
            self.edit(wanted, found, now, &weighed.marks, Phase::Make);
        }
        if !late.is_empty() {
            let marks = difference::marks(wanted, found, &self.sides.desired.infra, held);
            self.edit(wanted, found, late, &marks, Phase::Late);
        }
        self.state(wanted, found);
    }

    fn edit(&mut self, wanted: &Wanted, found: &Found, changes: &[Change], marks: &fields::Marks, phase: Phase) {
        let resource = resource(&wanted.id).expect("only Incus objects are wanted");
        let pairs: Vec<_> = changes.iter().map(|change| (change.key.clone(), change.after.clone())).collect();
        let mut edit = fields::edit(&pairs, marks);
        edit.unset.extend(aside::ended(found));
        let edits = release::edits(wanted, found, changes, edit, self.released.contains(&wanted.id));
        let mut calls: Vec<Call> = edits.into_iter().map(|edit| resource.edit(&wanted.id, edit)).collect();
        calls.extend(running::context_files(wanted, changes));
        let restarted = weigh::restarted(self.sides, wanted, changes);
        let calls = running::around(wanted, calls, &restarted, &self.released);
        let verb = match &found.marks {
            None if wanted.comes_with_project && is_blank(found) && !changes.is_empty() => Verb::Create,
            None => Verb::Adopt,
            Some(_) => Verb::Update,
        };
        let action = Action {
            verb,
            impact: difference::worst(changes.iter().map(|change| &change.impact)),
            note: difference::note(verb, &wanted.id, changes),
            fields: changes.iter().map(Change::field).collect(),
            calls,
            ..action(wanted)
        };
        let restarts = restarted.iter().map(|found| found.id.clone()).collect();
        let starts = !restarted.is_empty();
        let (needs, serves) = (wanted.needs.clone(), self.heirs(&wanted.id));
        self.steps.push(Step { needs, starts, restarts, serves, ..Step::new(action, phase) });
    }

    /// An address that one machine or bridge has and another one is to have is given up first.
    fn release(&mut self, exchange: &Exchange<'_>) {
        for (holder, release) in &exchange.releases {
            self.released.extend(release.stands.then(|| (*holder).clone()));
            let serves = release.takers.clone();
            self.steps.push(Step { serves, ..Step::new(release.action(), Phase::Release) });
        }
    }

    fn delete(&mut self, removal: &Removal<'_>) {
        for found in &removal.delete {
            let serves = self.heirs(&found.id);
            self.steps.push(Step { serves, ..Step::new(removal::action(found), Phase::Delete) });
        }
    }

    fn heirs(&self, id: &Id) -> BTreeSet<Id> {
        self.heirs.get(id).cloned().unwrap_or_default()
    }

    fn finish(mut self) -> Plan {
        self.held.sort_by(|a, b| (&a.domain, &a.id, a.why).cmp(&(&b.domain, &b.id, b.why)));
        let before = steps::before(&self.steps, self.sides);
        let actions = self.steps.into_iter().map(|step| step.action);
        Plan { actions: order::sorted(actions.zip(before).collect()), held: self.held }
    }
}

/// Stops a machine that is not to run, before anything else is done to it: what waits for a restart need not wait then.
fn stop(wanted: &Wanted, found: &Found) -> Step {
    Step::new(Action { verb: Verb::Stop, calls: running::stop(found), ..action(wanted) }, Phase::Stop)
}

/// Has nobody put anything into it since Incus made it?
fn is_blank(found: &Found) -> bool {
    found.fields.keys().all(|key| *key == fields::Key::Description)
}

/// What all actions about a thing of the file have in common.
fn action(wanted: &Wanted) -> Action {
    Action {
        domain: wanted.domain.clone(),
        heavy: wanted.instance.as_ref().is_some_and(|instance| instance.vm),
        ..Action::bare(wanted.id.clone(), Verb::Update, Vec::new())
    }
}
