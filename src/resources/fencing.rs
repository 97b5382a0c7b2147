//! The table of a plan: an opening leads to a machine's address only while that machine has it.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

use super::fields::Fields;
use super::journey;
use super::network::nics;
use super::planner::Options;
use super::sides::Sides;
use super::steps::{Phase, Step};
use super::weigh::{AllWeighed, after};
use crate::firewall::fence;
use crate::firewall::wall::{End, Opening, Wall};
use crate::incus::live::Live;
use crate::plan::{Id, Kind};
use crate::resolve::desired::Desired;

/// The table before anything starts, and the one when all else is done.
pub(super) struct Walls {
    pub(super) first: Wall,
    pub(super) last: Wall,
    /// Machines that have to be where they are to be before the last one is loaded.
    pub(super) movers: BTreeSet<Id>,
}

/// The wall while everything is where it is: policies of machines that are still to move lead to where they are now.
pub(crate) fn standing(desired: &Desired, live: &Live) -> Wall {
    let (options, all) = (Options::default(), AllWeighed::new());
    walls(&Sides::new(desired, live, None, &options, &[]), &all, &[]).last
}

/// A bridge, and an address on it.
type Seat = (String, Ipv4Addr);

/// The walls around these steps.
pub(super) fn walls(sides: &Sides<'_>, all: &AllWeighed<'_>, steps: &[Step]) -> Walls {
    let done = Done::new(sides, all, steps);
    let places = done.places();
    let mut openings = Vec::new();
    let mut later = BTreeSet::new();
    let mut movers = BTreeSet::new();
    for opening in &sides.desired.wall.openings {
        let Some((from, by_from)) = done.end(&opening.from, &places) else { continue };
        let Some((to, by_to)) = done.end(&opening.to, &places) else { continue };
        if !by_from.is_empty() || !by_to.is_empty() {
            later.insert(openings.len());
        }
        movers.extend(by_from.into_iter().chain(by_to).cloned());
        openings.push(Opening { from, to, ..opening.clone() });
    }
    let early = openings.iter().enumerate().filter(|(at, _)| !later.contains(at)).map(|(_, one)| one.clone()).collect();
    let first = Wall { openings: early, ..sides.desired.wall.clone() };
    let last = fence::without(&Wall { openings, ..sides.desired.wall.clone() }, &done.bridges_gone());
    Walls { first, last, movers }
}

/// What the steps make of the host.
struct Done<'s> {
    sides: &'s Sides<'s>,
    all: &'s AllWeighed<'s>,
    made: BTreeSet<&'s Id>,
    released: BTreeSet<&'s Id>,
    deleted: BTreeSet<&'s Id>,
    /// Who has an address now.
    holders: BTreeMap<Seat, &'s Id>,
}

impl<'s> Done<'s> {
    fn new(sides: &'s Sides<'s>, all: &'s AllWeighed<'s>, steps: &'s [Step]) -> Self {
        let of = |phase: Phase| steps.iter().filter(move |step| step.phase == phase).map(|step| &step.action.id);
        let machines = sides.live.found.values().filter(|found| found.id.kind == Kind::Instance);
        let holders = machines.flat_map(|found| seats(&found.fields).map(|seat| (seat, &found.id)));
        Self {
            sides,
            all,
            made: of(Phase::Make).collect(),
            released: of(Phase::Release).collect(),
            deleted: of(Phase::Delete).collect(),
            holders: holders.collect(),
        }
    }

    fn bridges_gone(&self) -> BTreeSet<&'s String> {
        self.deleted.iter().filter(|id| id.kind == Kind::Network).map(|id| &id.name).collect()
    }

    /// The machines of the file that have an address in it: who it is, and where it will be.
    fn places(&self) -> BTreeMap<Seat, (Id, Option<Seat>)> {
        let domains = self.sides.desired.domains.iter();
        let machines = domains.flat_map(|domain| domain.machines.iter().map(move |machine| (domain, machine)));
        let placed = machines.filter_map(|(domain, machine)| {
            let seat = (domain.bridge.clone(), machine.address?);
            let id = Id::within(Kind::Instance, &domain.project, &machine.instance);
            let place = self.place(&id, &seat);
            Some((seat, (id, place)))
        });
        placed.collect()
    }

    fn place(&self, id: &Id, seat: &Seat) -> Option<Seat> {
        let on_bridge = |fields: &Fields| seats(fields).find(|(bridge, _)| *bridge == seat.0);
        if let Some(found) = self.sides.live.found.get(id) {
            let now = on_bridge(&found.fields);
            let then = if self.made.contains(id) { on_bridge(after(self.all, found)) } else { now.clone() };
            // One that gives up its address and gets no other one now has none.
            return then.filter(|then| !self.released.contains(id) || now.as_ref() != Some(then));
        }
        // A machine that is not made by this plan has no place where somebody else is, nor while it stands elsewhere.
        let is_free = || self.holders.get(seat).is_none_or(|holder| self.deleted.contains(*holder));
        let is_elsewhere = || journey::elsewhere(id, self.sides.live, &self.sides.desired.infra).is_some();
        (self.made.contains(id) || is_free() && !is_elsewhere()).then(|| seat.clone())
    }

    /// An end as it will be, and whom it waits for: the machine, and who has its address until then. `None` where there
    /// is no such end.
    fn end<'p>(&'p self, end: &End, places: &'p BTreeMap<Seat, (Id, Option<Seat>)>) -> Option<(End, Vec<&'p Id>)> {
        let End::Machine { bridge, address } = end else { return Some((end.clone(), Vec::new())) };
        // Other infrastructures see to their own.
        let Some((id, place)) = places.get(&(bridge.clone(), *address)) else { return Some((end.clone(), Vec::new())) };
        let place = place.as_ref()?;
        let other = self.holders.get(place).copied().filter(|holder| *holder != id);
        let waits = other.map(|holder| vec![id, holder]).unwrap_or_default();
        Some((End::Machine { bridge: place.0.clone(), address: place.1 }, waits))
    }
}

fn seats(fields: &Fields) -> impl Iterator<Item = Seat> {
    nics(fields).filter_map(|nic| Some((nic.bridge.to_owned(), nic.address()?)))
}
