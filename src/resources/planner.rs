//! Compares what is wanted with what is there, and makes the plan of the difference. Pure.

use std::collections::BTreeSet;

use super::difference::{self, Change};
use super::steps::{self, Phase, Step};
use super::users::Users;
use super::{
    Found, RESOURCES, Status, Wanted, birth, directory, exchange, fields, image, instance, network, removal, resource,
    running, target, volume,
};
use crate::firewall::wall::Wall;
use crate::firewall::{fence, keep};
use crate::incus::live::Live;
use crate::incus::server::Server;
use crate::infra::model::RunState;
use crate::plan::{Action, Held, Id, Impact, Kind, Plan, Verb, Why};
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
}

/// Something that keeps a plan from being made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Conflict {
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
    let mut planner = Planner::new(desired, live, server, options);
    planner.fence();
    planner.keep(Phase::Keep, &desired.wall);
    planner.directories();
    let removal = removal::orphans(&planner.wanted, desired, live, options);
    planner.held.extend(removal.held);
    planner.addresses(&removal.delete);
    for wanted in planner.wanted.clone() {
        planner.thing(&wanted);
    }
    planner.conflicts.extend(volume::elsewhere(&planner.wanted, live));
    planner.delete(&removal.delete);
    if !planner.conflicts.is_empty() {
        return Err(planner.conflicts);
    }
    let mut plan = planner.finish();
    if !options.target.is_empty() {
        target::narrow(&mut plan, desired, &options.target);
    }
    Ok(plan)
}

/// The plan that deletes what was named. The table keeps every bridge that still stands.
pub(crate) fn destruction(desired: &Desired, live: &Live, removal: removal::Removal<'_>) -> Plan {
    let options = Options::default();
    let mut planner = Planner::new(desired, live, None, &options);
    planner.held = removal.held;
    for found in &removal.delete {
        planner.steps.push(Step::new(removal::action(found), Phase::Delete));
    }
    let going: BTreeSet<&Id> = removal.delete.iter().map(|found| &found.id).collect();
    let stands = |bridge: &&String| {
        let id = Id::global(Kind::Network, bridge.as_str());
        live.found.contains_key(&id) && !going.contains(&id)
    };
    let gone: BTreeSet<&String> = desired.wall.bridges.keys().filter(|bridge| !stands(bridge)).collect();
    if going.iter().any(|id| id.kind == Kind::Network)
        && let Some(action) = fence::last_action(&desired.wall, &gone, &live.table)
    {
        planner.steps.push(Step::new(action, Phase::LastFence));
        planner.keep(Phase::LastKeep, &fence::without(&desired.wall, &gone));
    }
    planner.finish()
}

struct Planner<'a> {
    desired: &'a Desired,
    live: &'a Live,
    server: Option<&'a Server>,
    options: &'a Options,
    wanted: Vec<Wanted>,
    steps: Vec<Step>,
    held: Vec<Held>,
    conflicts: Vec<Conflict>,
    images: BTreeSet<Id>,
    /// Machines that give up an address, and stand still until they get another one.
    released: BTreeSet<Id>,
    /// What keeps the table over a reboot, as it is after the steps so far.
    keeping: keep::Keeping,
}

impl<'a> Planner<'a> {
    fn new(desired: &'a Desired, live: &'a Live, server: Option<&'a Server>, options: &'a Options) -> Self {
        let wanted = RESOURCES.iter().flat_map(|resource| resource.wanted(desired)).collect();
        Self {
            desired,
            live,
            server,
            options,
            wanted,
            steps: Vec::new(),
            held: Vec::new(),
            conflicts: Vec::new(),
            images: BTreeSet::new(),
            released: BTreeSet::new(),
            keeping: live.keeping.clone(),
        }
    }

    /// The table first: it names interfaces, so it can stand before the bridges do.
    fn fence(&mut self) {
        match fence::action(&self.desired.wall, &self.live.table) {
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
    }

    /// What brings the table back at the next boot; nothing where the table itself cannot be told.
    fn keep(&mut self, phase: Phase, wall: &Wall) {
        if matches!(self.live.table, fence::Table::Known(_)) {
            let wanted = keep::wanted(wall);
            let actions = self.keeping.actions(wanted.as_deref());
            self.steps.extend(actions.into_iter().map(|action| Step::new(action, phase)));
            self.keeping = self.keeping.after(wanted.as_deref());
        }
    }

    fn directories(&mut self) {
        let missing = directory::wanted(self.desired).into_iter();
        let missing = missing.filter(|(path, _)| !self.live.directories.contains(*path));
        self.steps.extend(missing.map(|(path, domain)| Step::new(directory::creation(path, domain), Phase::Make)));
    }

    fn thing(&mut self, wanted: &Wanted) {
        let live = self.live;
        match live.found.get(&wanted.id) {
            None => self.create(wanted),
            Some(found) => match &found.marks {
                Some(marks) if marks.infra != self.desired.infra => self.conflicts.push(Conflict {
                    message: format!("{} belongs to the infrastructure `{}`", wanted.id, marks.infra),
                    help: format!("rename it in the file, or correct `project_name` (now `{}`)", self.desired.infra),
                }),
                _ => self.change(wanted, found),
            },
        }
    }

    fn create(&mut self, wanted: &Wanted) {
        let mut needs = wanted.needs.clone();
        let mut heavy = false;
        let mut start = false;
        if let Some(instance) = &wanted.instance {
            heavy = instance.vm;
            start = instance.state != RunState::Stopped;
            needs.extend(self.image(&instance.image, instance.vm));
        }
        let resource = resource(&wanted.id).expect("only Incus objects are wanted");
        let action = Action {
            id: wanted.id.clone(),
            domain: wanted.domain.clone(),
            verb: Verb::Create,
            fields: birth::fields(wanted, self.usual(wanted)),
            impact: Impact::Live,
            note: wanted.note.clone(),
            heavy,
            calls: running::birth(wanted, resource, &self.desired.infra, start),
            after: Vec::new(),
        };
        self.steps.push(Step { needs, starts: start, ..Step::new(action, Phase::Make) });
        if wanted.instance.as_ref().is_some_and(|instance| instance.state == RunState::Frozen) {
            self.run(wanted, Verb::Pause);
        }
    }

    /// The `default` profile of an instance's project.
    fn usual(&self, wanted: &Wanted) -> Option<&Wanted> {
        let id = Id::within(Kind::Profile, &wanted.id.project, "default");
        self.wanted.iter().find(|other| wanted.id.kind == Kind::Instance && other.id == id)
    }

    /// The image of a machine that is to be made; taken from the image repository, or fetched, where it is not here.
    fn image(&mut self, image: &str, vm: bool) -> Option<Id> {
        let stored = self.desired.stored.get(&(image.to_owned(), vm));
        if !image::is_remote(image) && stored.is_none() {
            return None;
        }
        let id = image::id(image, vm);
        let here = self.server.is_some_and(|server| server.has_image(&image::local_name(image, vm)));
        if !here && self.images.insert(id.clone()) {
            let (note, call) = match stored {
                Some(files) => ("from the image repository", image::import(files, image, vm)),
                None => ("fetched once for all domains, kept up to date", image::fetch(image, vm)),
            };
            let action = Action {
                id: id.clone(),
                domain: String::new(),
                verb: Verb::Create,
                fields: Vec::new(),
                impact: Impact::Live,
                note: note.into(),
                heavy: false,
                calls: vec![call],
                after: Vec::new(),
            };
            self.steps.push(Step::new(action, Phase::Make));
        }
        Some(id)
    }

    fn change(&mut self, wanted: &Wanted, found: &Found) {
        let resource = resource(&wanted.id).expect("only Incus objects are wanted");
        let users = Users { live: self.live, server: self.server, infra: &self.desired.infra };
        let changes = users.weighed(wanted, difference::changes(wanted, found, resource, self.server));
        let restarted = users.restarted(wanted, &changes);
        let (now, held): (Vec<Change>, Vec<Change>) = changes.into_iter().partition(|change| match change.impact {
            Impact::Live => true,
            Impact::Restart => self.options.restart,
            Impact::Rebuild(_) | Impact::Refused(_) => false,
        });
        self.conflicts.extend(held.iter().filter_map(|change| network::moved(wanted, change, &restarted)));
        self.held.extend(difference::held(wanted, &held));
        let marks = difference::marks(wanted, found, &self.desired.infra, &held);
        let restarts = now.iter().any(|change| change.impact == Impact::Restart);
        if !now.is_empty() || found.marks.as_ref() != Some(&marks) {
            let pairs: Vec<_> = now.iter().map(|change| (change.key.clone(), change.after.clone())).collect();
            let edit = fields::edit(&pairs, &marks);
            let edits = exchange::edits(wanted, found, &now, edit, self.released.contains(&wanted.id));
            let edits = edits.into_iter().map(|edit| resource.edit(&wanted.id, edit)).collect();
            let restarted = if restarts { restarted } else { Vec::new() };
            let mut calls = running::around(wanted, edits, &restarted, &self.released);
            calls.extend(running::context_files(wanted, &now));
            let verb = match &found.marks {
                None if wanted.comes_with_project => Verb::Create,
                None => Verb::Adopt,
                Some(_) => Verb::Update,
            };
            let action = Action {
                id: wanted.id.clone(),
                domain: wanted.domain.clone(),
                verb,
                impact: difference::worst(now.iter().map(|change| &change.impact)),
                note: note_of_change(verb, &now),
                fields: now.iter().map(Change::field).collect(),
                heavy: wanted.instance.as_ref().is_some_and(|instance| instance.vm),
                calls,
                after: Vec::new(),
            };
            let restarts = restarted.iter().map(|found| found.id.clone()).collect();
            let starts = !restarted.is_empty();
            self.steps.push(Step { needs: wanted.needs.clone(), starts, restarts, ..Step::new(action, Phase::Make) });
        }
        self.state(wanted, found, restarts);
    }

    fn state(&mut self, wanted: &Wanted, found: &Found, restarted: bool) {
        let (Some(instance), Some(stands)) = (&wanted.instance, &found.instance) else { return };
        if let Status::Other(status) = &stands.status {
            self.held.push(Held {
                id: wanted.id.clone(),
                domain: wanted.domain.clone(),
                why: Why::Refused,
                fields: Vec::new(),
                message: format!(
                    "its state is {status}; `incus info {0} --project {1}` tells more",
                    found.id.name, found.id.project
                ),
            });
        } else if let Some(verb) = instance::run_state(instance, &stands.status)
            && !(restarted && verb == Verb::Stop)
        {
            self.run(wanted, verb);
            if verb == Verb::Start && instance.state == RunState::Frozen {
                self.run(wanted, Verb::Pause);
            }
        }
    }

    fn run(&mut self, wanted: &Wanted, verb: Verb) {
        let id = &wanted.id;
        let calls = match verb {
            Verb::Stop => self.live.found.get(id).map(instance::Instances::stop).into_iter().collect(),
            Verb::Pause => vec![instance::Instances::pause(id)],
            Verb::Resume => vec![instance::Instances::resume(id)],
            // An earlier run that was cut off may have left it without its files.
            _ => wanted.instance.iter().flat_map(|one| instance::Instances::start_with_files(id, one)).collect(),
        };
        let action = Action {
            id: id.clone(),
            domain: wanted.domain.clone(),
            verb,
            fields: Vec::new(),
            impact: Impact::Live,
            note: String::new(),
            heavy: wanted.instance.as_ref().is_some_and(|instance| instance.vm),
            calls,
            after: Vec::new(),
        };
        let mut needs = vec![id.clone()];
        needs.extend(wanted.needs.clone());
        self.steps.push(Step { needs, starts: matches!(verb, Verb::Start), ..Step::new(action, Phase::Run) });
    }

    fn finish(mut self) -> Plan {
        self.held.sort_by(|a, b| (&a.domain, &a.id, a.why).cmp(&(&b.domain, &b.id, b.why)));
        Plan { actions: steps::in_order(&self.steps, self.live), held: self.held }
    }

    /// An address that one machine has and another one is to have is given up first.
    fn addresses(&mut self, deleted: &[&Found]) {
        let exchange = exchange::taken(&self.wanted, self.live, deleted, self.options.restart);
        self.conflicts.extend(exchange.conflicts);
        for (holder, release) in exchange.releases {
            self.released.insert(holder.clone());
            let action = release.action();
            self.steps.push(Step { serves: release.takers, ..Step::new(action, Phase::Release) });
        }
    }

    fn delete(&mut self, deleted: &[&Found]) {
        for found in deleted {
            self.steps.push(Step::new(removal::action(found), Phase::Delete));
        }
        let gone = deleted.iter().filter(|found| found.id.kind == Kind::Network).map(|found| &found.id.name);
        let gone = gone.collect();
        if let Some(action) = fence::last_action(&self.desired.wall, &gone, &self.live.table) {
            self.steps.push(Step::new(action, Phase::LastFence));
            self.keep(Phase::LastKeep, &fence::without(&self.desired.wall, &gone));
        }
    }
}

fn note_of_change(verb: Verb, now: &[Change]) -> String {
    match verb {
        Verb::Adopt => "stands without anklume's mark; anklume takes it over".into(),
        Verb::Update if now.is_empty() => "only anklume's own marks".into(),
        _ => String::new(),
    }
}
