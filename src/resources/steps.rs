//! The steps of a plan before they are in order: what each is for, and what comes before it.

use std::collections::{BTreeMap, BTreeSet};

use super::order::{self, Node};
use crate::incus::live::Live;
use crate::plan::{Action, Id, Kind, Verb};

/// What a step is for, as far as its order goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    /// The table, before anything starts.
    Fence,
    /// What keeps the table over a reboot, once the kernel has taken it.
    Keep,
    /// An address is given up.
    Release,
    /// Something is created or changed.
    Make,
    /// A machine starts, stops, freezes.
    Run,
    Delete,
    /// The table without what was deleted.
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
    /// Running machines it stops and starts: no two of those at once.
    pub(crate) restarts: Vec<Id>,
    /// Machines that get what it releases.
    pub(crate) serves: BTreeSet<Id>,
}

impl Step {
    /// A step that needs nothing.
    pub(crate) fn new(action: Action, phase: Phase) -> Self {
        Self { action, phase, needs: Vec::new(), starts: false, restarts: Vec::new(), serves: BTreeSet::new() }
    }
}

/// The actions in an order in which they can be run.
pub(crate) fn in_order(steps: &[Step], live: &Live) -> Vec<Action> {
    let sieve = Sieve::new(steps, live);
    let nodes = steps.iter().enumerate();
    order::sorted(nodes.map(|(at, step)| Node { action: step.action.clone(), before: sieve.before(at) }).collect())
}

/// Finds what comes before a step. Steps are looked up by what they are for, so that a thousand machines do not mean
/// a million comparisons.
struct Sieve<'a> {
    steps: &'a [Step],
    /// The steps that make, change or start a thing.
    of_thing: BTreeMap<&'a Id, Vec<usize>>,
    fences: Vec<usize>,
    releases: Vec<usize>,
    deletions: Vec<usize>,
    last_fences: Vec<usize>,
    restarting: Vec<usize>,
    /// What stands and needs a thing.
    users: BTreeMap<&'a Id, Vec<&'a Id>>,
}

impl<'a> Sieve<'a> {
    fn new(steps: &'a [Step], live: &'a Live) -> Self {
        let of = |phase: Phase| (0..steps.len()).filter(move |at| steps[*at].phase == phase).collect::<Vec<_>>();
        let mut of_thing: BTreeMap<&Id, Vec<usize>> = BTreeMap::new();
        for (at, step) in steps.iter().enumerate() {
            of_thing.entry(&step.action.id).or_default().push(at);
        }
        let mut users: BTreeMap<&Id, Vec<&Id>> = BTreeMap::new();
        for found in live.found.values() {
            for need in &found.needs {
                users.entry(need).or_default().push(&found.id);
            }
        }
        Self {
            steps,
            of_thing,
            fences: of(Phase::Fence),
            releases: of(Phase::Release),
            deletions: of(Phase::Delete),
            last_fences: of(Phase::LastFence),
            restarting: (0..steps.len()).filter(|at| !steps[*at].restarts.is_empty()).collect(),
            users,
        }
    }

    fn before(&self, at: usize) -> BTreeSet<usize> {
        let mut before = match self.steps[at].phase {
            Phase::Fence => self.unkeeping(Phase::Keep).collect(),
            Phase::Keep => self.before_keeping(at, &self.fences),
            Phase::LastKeep => self.before_keeping(at, &self.last_fences),
            Phase::Release | Phase::Make | Phase::Run => self.before_making(at),
            Phase::Delete => self.before_deleting(&self.steps[at].action.id),
            Phase::LastFence => self.before_last_fence(),
        };
        before.remove(&at);
        before
    }

    fn before_making(&self, at: usize) -> BTreeSet<usize> {
        let step = &self.steps[at];
        let mut before: BTreeSet<usize> = BTreeSet::new();
        for need in step.needs.iter().filter(|need| !(is_profile_update(step) && self.moves(need))) {
            before.extend(self.making(need).filter(|other| *other != at));
        }
        if moves(step) {
            // Incus looks at every machine of a profile that is edited: none may have an address of another network.
            let updates = (0..self.steps.len()).filter(|other| is_profile_update(&self.steps[*other]));
            before.extend(updates.filter(|other| self.steps[*other].action.domain == step.action.domain));
        }
        if step.starts {
            before.extend(&self.fences);
        }
        if step.phase == Phase::Make {
            let id = &step.action.id;
            let for_it =
                |other: &&usize| self.steps[**other].serves.contains(id) || self.steps[**other].action.id == *id;
            before.extend(self.releases.iter().filter(for_it));
            before.extend(self.deletions.iter().filter(|other| frees_address(&self.steps[**other], step)));
        }
        if step.phase == Phase::Run {
            // A machine is started, then frozen.
            let earlier = self.of_thing[&step.action.id].iter().filter(|other| **other < at);
            before.extend(earlier.filter(|other| self.steps[**other].phase == Phase::Run));
        }
        let shares = |other: &&usize| self.steps[**other].restarts.iter().any(|id| step.restarts.contains(id));
        before.extend(self.restarting.iter().filter(|other| **other < at).filter(shares));
        before
    }

    /// Nothing is kept that the kernel did not take; the file first, then the service that loads it. But a table that
    /// goes is kept no longer before it goes: whoever watches it would restore it.
    fn before_keeping(&self, at: usize, fences: &[usize]) -> BTreeSet<usize> {
        let earlier = |other: &usize| matches!(self.steps[*other].phase, Phase::Keep | Phase::LastKeep);
        let mut before: BTreeSet<usize> = (0..at).filter(earlier).collect();
        match (self.steps[at].action.verb, self.steps[at].phase) {
            (Verb::Delete, Phase::LastKeep) => before.extend(self.network_deletions()),
            (Verb::Delete, _) => {}
            _ => before.extend(fences),
        }
        before
    }

    /// Never before the first one: that would bring back the bridges that are gone.
    fn before_last_fence(&self) -> BTreeSet<usize> {
        let before = self.network_deletions().chain(self.unkeeping(Phase::LastKeep));
        before.chain(self.fences.iter().copied()).collect()
    }

    /// The steps that keep the table no longer.
    fn unkeeping(&self, phase: Phase) -> impl Iterator<Item = usize> + '_ {
        let unkeeps = move |step: &Step| step.phase == phase && step.action.verb == Verb::Delete;
        (0..self.steps.len()).filter(move |at| unkeeps(&self.steps[*at]))
    }

    fn network_deletions(&self) -> impl Iterator<Item = usize> + '_ {
        self.deletions.iter().copied().filter(|at| self.is_network(*at))
    }

    /// What stands and needs it goes first, or is first changed to need it no longer.
    fn before_deleting(&self, id: &Id) -> BTreeSet<usize> {
        let mut before = BTreeSet::new();
        for user in self.users.get(id).into_iter().flatten() {
            before.extend(self.of_thing.get(user).into_iter().flatten());
            if user.kind == Kind::Profile && user.name == "default" {
                // It cannot be deleted, it goes with its project.
                let project = Id::global(Kind::Project, &user.project);
                let deletion = |at: &&usize| self.steps[**at].phase == Phase::Delete;
                before.extend(self.of_thing.get(&project).into_iter().flatten().filter(deletion));
            }
        }
        before
    }

    /// Is this a bridge that gets another network?
    fn moves(&self, id: &Id) -> bool {
        self.of_thing.get(id).into_iter().flatten().any(|at| moves(&self.steps[*at]))
    }

    /// The steps that make a thing, or change it.
    fn making(&self, id: &Id) -> impl Iterator<Item = usize> + '_ {
        let steps = self.of_thing.get(id).into_iter().flatten().copied();
        steps.filter(|at| matches!(self.steps[*at].phase, Phase::Make | Phase::Release))
    }

    fn is_network(&self, at: usize) -> bool {
        self.steps[at].action.id.kind == Kind::Network
    }
}

fn moves(step: &Step) -> bool {
    let Action { id, verb, fields, .. } = &step.action;
    id.kind == Kind::Network && *verb != Verb::Create && fields.iter().any(|field| field.key == "ipv4.address")
}

fn is_profile_update(step: &Step) -> bool {
    step.action.id.kind == Kind::Profile && step.action.verb == Verb::Update
}

/// A machine that is made or changed waits for the deletion of machines on the same bridge: one of them may hold the
/// address that it gets.
fn frees_address(deletion: &Step, step: &Step) -> bool {
    deletion.action.id.kind == Kind::Instance
        && step.action.id.kind == Kind::Instance
        && deletion.action.id.project == step.action.id.project
}
