//! The steps of a plan before they are in order: what each is for, and what comes before it.

use std::collections::{BTreeMap, BTreeSet};

use super::sides::Sides;
use crate::plan::{Action, Id, Kind, Verb};

/// What a step is for, as far as its order goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    /// The table, before anything starts.
    Fence,
    /// What keeps the table over a reboot, once the kernel has taken it.
    Keep,
    /// A machine that is not to run stops.
    Stop,
    /// An address is given up.
    Release,
    /// Something is created or changed.
    Make,
    /// A machine starts or freezes.
    Run,
    /// Something is taken away from what stays, once nothing needs it any more.
    Late,
    Delete,
    /// The table as it is to be when all else is done.
    LastFence,
    /// What keeps that one.
    LastKeep,
}

/// An action, and what it has to do with others.
pub(crate) struct Step {
    pub(crate) action: Action,
    pub(crate) phase: Phase,
    /// Things whose own actions come first.
    pub(crate) needs: Vec<Id>,
    /// It starts a machine: never before the isolation stands.
    pub(crate) starts: bool,
    /// Running machines it stops and starts.
    pub(crate) restarts: Vec<Id>,
    /// Who gets the name or the address that it gives up.
    pub(crate) serves: BTreeSet<Id>,
}

impl Step {
    /// A step that needs nothing.
    pub(crate) fn new(action: Action, phase: Phase) -> Self {
        Self { action, phase, needs: Vec::new(), starts: false, restarts: Vec::new(), serves: BTreeSet::new() }
    }
}

/// What comes before each step, by place.
pub(super) fn before(steps: &[Step], sides: &Sides<'_>) -> Vec<BTreeSet<usize>> {
    let sieve = Sieve::new(steps, sides);
    (0..steps.len()).map(|at| sieve.before(at)).collect()
}

/// Finds what comes before a step. Steps are looked up by what they are for, so that a thousand machines do not mean
/// a million comparisons.
struct Sieve<'a> {
    steps: &'a [Step],
    sides: &'a Sides<'a>,
    /// The steps of a thing.
    of_thing: BTreeMap<&'a Id, Vec<usize>>,
    /// The steps that need a thing.
    needing: BTreeMap<&'a Id, Vec<usize>>,
    /// The steps that leave something to a thing.
    serving: BTreeMap<&'a Id, Vec<usize>>,
    /// The steps that write a machine.
    writing: BTreeMap<&'a Id, Vec<usize>>,
    /// The steps that load the table first.
    fences: Vec<usize>,
}

impl<'a> Sieve<'a> {
    fn new(steps: &'a [Step], sides: &'a Sides<'a>) -> Self {
        Self {
            steps,
            sides,
            of_thing: by(steps, |step| vec![&step.action.id]),
            needing: by(steps, |step| step.needs.iter().collect()),
            serving: by(steps, |step| step.serves.iter().collect()),
            writing: by(steps, |step| written(step, sides)),
            fences: (0..steps.len()).filter(|at| steps[*at].phase == Phase::Fence).collect(),
        }
    }

    fn before(&self, at: usize) -> BTreeSet<usize> {
        let step = &self.steps[at];
        let mut before: BTreeSet<usize> = match step.phase {
            Phase::Fence => self.unkeeping(Phase::Keep).collect(),
            Phase::Keep => self.before_keeping(at, Phase::Fence),
            Phase::LastKeep => self.before_keeping(at, Phase::LastFence),
            Phase::Stop => BTreeSet::new(),
            Phase::Release | Phase::Make | Phase::Run => self.before_making(at),
            Phase::Late => self.before_taking_away(step),
            Phase::Delete => self.before_deleting(&step.action.id),
            Phase::LastFence => self.before_last(step),
        };
        before.extend(self.stops(&step.action.id));
        let writing = written(step, self.sides).into_iter().flat_map(|id| at_or_none(&self.writing, id));
        before.extend(writing.filter(|other| *other < at));
        if step.starts {
            before.extend(&self.fences);
        }
        before.remove(&at);
        before
    }

    fn in_phase(&self, phase: Phase) -> impl Iterator<Item = usize> + '_ {
        (0..self.steps.len()).filter(move |at| self.steps[*at].phase == phase)
    }

    /// The steps of a thing that are in one of these phases.
    fn of(&self, id: &Id, phases: &'static [Phase]) -> impl Iterator<Item = usize> + '_ {
        at_or_none(&self.of_thing, id).filter(|at| phases.contains(&self.steps[*at].phase))
    }

    fn before_making(&self, at: usize) -> BTreeSet<usize> {
        let step = &self.steps[at];
        let id = &step.action.id;
        let mut before: BTreeSet<usize> = BTreeSet::new();
        for need in &step.needs {
            before.extend(self.of(need, &[Phase::Make, Phase::Release]));
            // A new machine on a root disk of a profile would keep it there.
            let last = self.of(need, &[Phase::Late]);
            before.extend(last.filter(|_| step.action.verb == Verb::Create && need.kind == Kind::Profile));
        }
        if step.phase == Phase::Make {
            before.extend(self.of(id, &[Phase::Release]));
            before.extend(at_or_none(&self.serving, id));
            // A change reaches the machines that are deleted too, as long as they are there.
            before.extend(self.deletions_of_machines(id));
            // Those in a project count for its limits.
            let project = Id::global(Kind::Project, &id.project);
            before.extend(self.deletions_of_machines(&project).filter(|_| id.kind == Kind::Instance));
        }
        if step.phase == Phase::Run {
            // A machine is started, then frozen.
            before.extend(self.of(id, &[Phase::Run]).filter(|other| *other < at));
            before.extend(at_or_none(&self.writing, id));
            let now = self.sides.live.found.get(id).into_iter().flat_map(|found| &found.needs);
            let profiles = now.chain(&step.needs).filter(|need| need.kind == Kind::Profile);
            before.extend(profiles.flat_map(|id| self.of(id, &[Phase::Late])));
        }
        before
    }

    /// Whatever uses the thing has changed; what is new in a project keeps its limits too.
    fn before_taking_away(&self, step: &Step) -> BTreeSet<usize> {
        let id = &step.action.id;
        let mut before: BTreeSet<usize> = self.of(id, &[Phase::Make]).collect();
        for user in self.users(id) {
            before.extend(self.of(user, &[Phase::Release, Phase::Make]));
        }
        before.extend(self.deletions_of_machines(id));
        let making = |at: &usize| id.kind == Kind::Project && self.steps[*at].phase == Phase::Make;
        before.extend(at_or_none(&self.needing, id).filter(making));
        before
    }

    /// What stands and needs it goes first, or is first changed to need it no longer.
    fn before_deleting(&self, id: &Id) -> BTreeSet<usize> {
        let mut before: BTreeSet<usize> = self.of(id, &[Phase::Release]).collect();
        for user in self.users(id) {
            before.extend(at_or_none(&self.of_thing, user));
            if user.kind == Kind::Profile && user.name == "default" {
                // It cannot be deleted, it goes with its project.
                before.extend(self.of(&Id::global(Kind::Project, &user.project), &[Phase::Delete]));
            }
        }
        before
    }

    /// Bridges are gone, and machines have the addresses that it opens. Never before the first table: that would bring
    /// back the bridges that are gone.
    fn before_last(&self, step: &Step) -> BTreeSet<usize> {
        let moved = step.needs.iter().flat_map(|id| self.of(id, &[Phase::Make, Phase::Release, Phase::Delete]));
        let before = self.network_deletions().chain(moved).chain(self.fences.iter().copied());
        before.chain(self.unkeeping(Phase::LastKeep)).collect()
    }

    /// Nothing is kept that the kernel did not take; the file first, then the service that loads it. But a table that
    /// goes is kept no longer before it goes: whoever watches it would restore it.
    fn before_keeping(&self, at: usize, fence: Phase) -> BTreeSet<usize> {
        let is_earlier = |other: &usize| matches!(self.steps[*other].phase, Phase::Keep | Phase::LastKeep);
        let mut before: BTreeSet<usize> = (0..at).filter(is_earlier).collect();
        match (self.steps[at].action.verb, self.steps[at].phase) {
            (Verb::Delete, Phase::LastKeep) => before.extend(self.network_deletions()),
            (Verb::Delete, _) => {}
            _ => before.extend(self.in_phase(fence)),
        }
        before
    }

    /// The steps that keep the table no longer.
    fn unkeeping(&self, phase: Phase) -> impl Iterator<Item = usize> + '_ {
        self.in_phase(phase).filter(|at| self.steps[*at].action.verb == Verb::Delete)
    }

    fn network_deletions(&self) -> impl Iterator<Item = usize> + '_ {
        self.in_phase(Phase::Delete).filter(|at| self.steps[*at].action.id.kind == Kind::Network)
    }

    /// The steps that stop the machine, or those that use it.
    fn stops(&self, id: &Id) -> BTreeSet<usize> {
        let users = || self.users(id).filter(|_| id.kind != Kind::Project);
        let each = users().flat_map(|user| self.users(user)).chain(users()).chain([id]);
        each.flat_map(|user| self.of(user, &[Phase::Stop])).collect()
    }

    /// The steps that delete machines which need this.
    fn deletions_of_machines(&self, id: &Id) -> impl Iterator<Item = usize> + use<'_, 'a> {
        let machines = self.users(id).filter(|user| user.kind == Kind::Instance);
        machines.flat_map(|user| self.of(user, &[Phase::Delete])).collect::<Vec<_>>().into_iter()
    }

    fn users(&self, id: &Id) -> impl Iterator<Item = &'a Id> + '_ {
        self.sides.users(id).iter().map(|user| &user.id)
    }
}

/// The machines that a step writes: no two such steps at once. Incus writes every machine of a profile that is edited,
/// as the machine was when it began: what another edit changes meanwhile would be lost.
fn written<'a>(step: &'a Step, sides: &Sides<'a>) -> Vec<&'a Id> {
    if !matches!(step.phase, Phase::Release | Phase::Make) {
        return step.restarts.iter().collect();
    }
    let id = &step.action.id;
    let users = sides.users(id).iter().map(|user| &user.id).filter(|_| id.kind == Kind::Profile);
    users.chain(&step.restarts).chain([id].into_iter().filter(|id| id.kind == Kind::Instance)).collect()
}

fn by<'a>(steps: &'a [Step], key: impl Fn(&'a Step) -> Vec<&'a Id>) -> BTreeMap<&'a Id, Vec<usize>> {
    let mut places: BTreeMap<&Id, Vec<usize>> = BTreeMap::new();
    for (at, step) in steps.iter().enumerate() {
        for id in key(step) {
            places.entry(id).or_default().push(at);
        }
    }
    places
}

fn at_or_none<'m>(places: &'m BTreeMap<&Id, Vec<usize>>, id: &Id) -> impl Iterator<Item = usize> + use<'m> {
    places.get(id).into_iter().flatten().copied()
}
