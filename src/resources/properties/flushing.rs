//! A flush takes all of an infrastructure and nothing else, also when it stops anywhere on its way.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::plot::{DOMAINS, Plot, a_plot};
use super::world::{World, failures, told};
use super::{applied, check_host, config};
use crate::incus::fake::{Instance, Object, State, Trouble};
use crate::incus::live::Live;
use crate::plan::{Id, Kind, Plan};
use crate::resources::Found;
use crate::resources::planner::Options;
use crate::resources::planner::flush::{Asked, flush};

const ALL: Asked = Asked { force: true, volumes: true };
const OURS: &str = "lab";
const MARK: &str = "user.anklume.infra";

/// What is to become somebody else's, by domain, and where somebody has a machine of their own that uses a volume.
#[derive(Debug, Clone)]
struct Others {
    domains: [bool; DOMAINS.len()],
    guests: [bool; DOMAINS.len()],
}

fn others() -> impl Strategy<Value = Others> {
    let yes = |share| prop::bool::weighted(share);
    let four = |share| [yes(share), yes(share), yes(share), yes(share)];
    (four(0.25), four(0.15)).prop_map(|(domains, guests)| Others { domains, guests })
}

impl Others {
    fn come(&self, state: &mut State) {
        for (at, domain) in DOMAINS.iter().enumerate() {
            if self.domains[at] {
                objects(state)
                    .filter(|object| object.config.get("user.anklume.domain").is_some_and(|own| own == domain))
                    .for_each(|object| {
                        object.config.insert(MARK.into(), "another".into());
                    });
            }
            if self.guests[at] && state.projects.contains_key(*domain) {
                guest(state, domain);
            }
        }
        let config = [("ipv4.address", "10.99.0.1/24"), ("ipv4.nat", "true"), ("ipv6.address", "none")];
        let config = config.map(|(key, value)| (key.to_owned(), value.to_owned())).into();
        state.networks.insert("br-mine".into(), Object { config, ..Object::default() });
        state.tables.insert(("inet".into(), "mine".into()), Vec::new());
    }
}

fn objects(state: &mut State) -> impl Iterator<Item = &mut Object> {
    let State { projects, networks, acls, zones, records, profiles, instances, volumes, .. } = state;
    let named = projects.values_mut().chain(networks.values_mut()).chain(acls.values_mut()).chain(zones.values_mut());
    let placed = records.values_mut().chain(profiles.values_mut());
    let others =
        instances.values_mut().map(|one| &mut one.object).chain(volumes.values_mut().map(|one| &mut one.object));
    named.chain(placed).chain(others)
}

/// A machine that is not anklume's, in one of its projects, with the first volume there is.
fn guest(state: &mut State, project: &str) {
    let volume = state.volumes.iter().find(|((own, ..), volume)| own == project && !volume.block);
    let disk = volume.map(|((_, pool, name), _)| {
        let keys = [("type", "disk"), ("pool", pool), ("source", name), ("path", "/mine")];
        ("mine".to_owned(), keys.map(|(key, value)| (key.to_owned(), value.to_owned())).into())
    });
    let object = Object { devices: disk.into_iter().collect(), ..Object::default() };
    let (profiles, status, files) = (vec![], "Running", [].into());
    let made = Instance { object, profiles, vm: false, ephemeral: false, status, files };
    state.instances.insert((project.to_owned(), "guest".into()), made);
}

fn is_ours(found: &Found) -> bool {
    found.marks.as_ref().is_some_and(|marks| marks.infra == OURS)
}

/// What is not of this infrastructure.
fn foreign(live: &Live) -> Vec<&Found> {
    live.found.values().filter(|found| !is_ours(found) && !goes_along(live, &found.id)).collect()
}

/// Nobody's, where its project is ours.
fn goes_along(live: &Live, id: &Id) -> bool {
    let project = live.found.get(&Id::global(Kind::Project, &id.project));
    id.kind == Kind::Profile && id.name == "default" && project.is_some_and(is_ours)
}

/// What others cannot be without, and what they need in turn; with a project its own profile.
fn needed(live: &Live) -> BTreeSet<Id> {
    let mut needed: BTreeSet<Id> = foreign(live).iter().flat_map(|found| found.needs.clone()).collect();
    loop {
        let own = needed
            .iter()
            .filter(|id| id.kind == Kind::Project)
            .map(|id| Id::within(Kind::Profile, &id.name, "default"));
        let more: BTreeSet<Id> = needed
            .iter()
            .cloned()
            .chain(own)
            .filter_map(|id| live.found.get(&id))
            .flat_map(|found| found.needs.iter().cloned().chain([found.id.clone()]))
            .collect();
        let count = needed.len();
        needed.extend(more);
        if needed.len() == count {
            return needed;
        }
    }
}

fn planned(world: &World) -> Plan {
    flush(OURS, &world.read(), ALL)
}

/// All that is left of it is what others need, and they are as they were.
fn is_flushed(world: &World, before: &Live) -> Result<(), TestCaseError> {
    let after = world.read();
    let left: BTreeSet<Id> =
        after.found.values().filter(|found| is_ours(found)).map(|found| found.id.clone()).collect();
    let needed: BTreeSet<Id> =
        needed(before).into_iter().filter(|id| before.found.get(id).is_some_and(is_ours)).collect();
    prop_assert_eq!(left, needed);
    prop_assert_eq!(foreign(&after), foreign(before));
    let again = planned(world);
    prop_assert!(again.actions.is_empty(), "again:\n{}", told(&again));
    let state = world.fake.state();
    prop_assert!(state.tables.contains_key(&("inet".to_owned(), "mine".to_owned())));
    let marked = after.found.values().any(|found| found.id.kind == Kind::Network && found.marks.is_some());
    prop_assert_eq!(state.tables.contains_key(&("inet".to_owned(), "anklume".to_owned())), marked);
    Ok(())
}

/// A host with the infrastructure, and others beside and in it.
fn a_host(plot: &Plot, others: &Others, seed: u64) -> Result<World, TestCaseError> {
    let world = World::new();
    world.fake.shuffle(seed);
    // Incus would not have let others in beyond a limit.
    applied(&world, &plot.clone().without_limits(), &Options::default())?;
    others.come(&mut world.fake.state());
    Ok(world)
}

proptest! {
    #![proptest_config(config(60))]

    #[test]
    fn a_flush_takes_all_that_is_its_own_and_nothing_else(plot in a_plot(), others in others(), seed in any::<u64>()) {
        let world = a_host(&plot, &others, seed)?;
        let (before, directories) = (world.read(), world.fake.state().directories.clone());
        let plan = planned(&world);
        let report = world.apply(&plan);
        prop_assert_eq!(failures(&plan, &report), Vec::<String>::new(), "{}", told(&plan));
        prop_assert_eq!(&world.fake.state().directories, &directories);
        is_flushed(&world, &before)?;
        check_host(&world)?;
    }

    #[test]
    fn a_flush_that_stops_anywhere_ends_the_same_the_next_time(
        plot in a_plot(), others in others(), share in any::<usize>(), amid in any::<bool>(), seed in any::<u64>(),
    ) {
        let world = a_host(&plot, &others, seed)?;
        let before = world.read();
        let plan = planned(&world);
        let calls: usize = plan.actions.iter().map(|action| action.calls.len()).sum();
        prop_assume!(calls > 0);
        let trouble = if amid { Trouble::Amid } else { Trouble::From };
        world.fake.expect(trouble(share % calls));
        world.apply(&plan);
        world.fake.expect(Trouble::None);
        // Whatever runs still does so behind the table.
        let live = world.read();
        let up = live.found.values().filter(|found| is_ours(found) && found.is_up());
        let bridges = up.flat_map(|found| found.needs.iter().filter(|id| id.kind == Kind::Network));
        let table = live.table.known().unwrap();
        let names = table.map(|table| crate::firewall::readback::readback(table).wall.bridges).unwrap_or_default();
        for bridge in bridges.filter(|id| live.found.get(id).is_some_and(|found| found.marks.is_some())) {
            prop_assert!(names.contains_key(&bridge.name), "{bridge} is open");
        }
        let plan = planned(&world);
        let report = world.apply(&plan);
        prop_assert_eq!(failures(&plan, &report), Vec::<String>::new(), "{}", told(&plan));
        is_flushed(&world, &before)?;
    }

    #[test]
    fn without_a_word_for_them_what_is_protected_and_all_data_stays(plot in a_plot(), seed in any::<u64>()) {
        let world = World::new();
        world.fake.shuffle(seed);
        applied(&world, &plot, &Options::default())?;
        let before = world.read();
        let plan = flush(OURS, &before, Asked::default());
        let report = world.apply(&plan);
        prop_assert_eq!(failures(&plan, &report), Vec::<String>::new(), "{}", told(&plan));
        let after = world.read();
        for found in before.found.values().filter(|found| found.protected || found.id.kind == Kind::Volume) {
            let same = after.found.get(&found.id) == Some(found);
            prop_assert!(same, "{} is gone\n{}", found.id, told(&plan));
        }
        check_host(&world)?;
        // What is left fits the file still, and the rest comes back.
        applied(&world, &plot, &Options::default())?;
    }
}
