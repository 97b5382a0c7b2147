//! What people do by hand beside anklume: it stays where it is theirs, and is corrected where it is not.

use std::collections::BTreeMap;

use proptest::collection::vec;
use proptest::prelude::*;
use serde_json::json;

use super::plot::{Plot, a_change, a_plot};
use super::world::World;
use super::{applied, config, everything};
use crate::incus::fake::{Instance, Object, State};
use crate::plan::Kind;
use crate::resources::fields::Key;
use crate::resources::planner::Options;

const NOTE: &str = "user.by-hand";

/// A note on everything that is there, and a device on every machine.
fn note_everything(state: &mut State) {
    let note = || (NOTE.to_owned(), "mine".to_owned());
    let State { projects, networks, profiles, instances, .. } = state;
    let objects = projects.values_mut().chain(networks.values_mut()).chain(profiles.values_mut());
    objects.for_each(|object| object.config.extend([note()]));
    for instance in instances.values_mut() {
        instance.object.config.extend([note()]);
        let disk = [("type", "disk"), ("source", "/usr/share"), ("path", "/mine")];
        let disk = disk.map(|(key, value)| (key.to_owned(), value.to_owned())).into();
        instance.object.devices.insert("mine".into(), disk);
    }
}

/// Every object without the note, by what it is called.
fn unnoted(state: &State) -> Vec<String> {
    let names = |objects: &BTreeMap<(String, String), Object>| {
        let without = objects.iter().filter(|(_, object)| !object.config.contains_key(NOTE));
        without.map(|((project, name), _)| format!("{project}/{name}")).collect::<Vec<_>>()
    };
    let flat = |objects: &BTreeMap<String, Object>| {
        let without = objects.iter().filter(|(_, object)| !object.config.contains_key(NOTE));
        without.map(|(name, _)| name.clone()).collect::<Vec<_>>()
    };
    let instances = state
        .instances
        .iter()
        .filter(|(_, one)| !one.object.config.contains_key(NOTE) || !one.object.devices.contains_key("mine"));
    let instances = instances.map(|((project, name), _)| format!("{project}/{name}"));
    [flat(&state.projects), flat(&state.networks), names(&state.profiles), instances.collect()].concat()
}

/// A machine in every project, with the project's own profile.
fn make_machines(state: &mut State) {
    let projects: Vec<String> = state.projects.keys().filter(|name| *name != "default").cloned().collect();
    for project in projects {
        let config = [("volatile.idmap.base", "0"), ("user.anklume", "no mark of its own")];
        let config = config.map(|(key, value)| (key.to_owned(), value.to_owned())).into();
        let made = Instance {
            object: Object { config, ..Object::default() },
            profiles: vec!["default".into()],
            vm: false,
            ephemeral: false,
            status: "Running",
            files: [].into(),
        };
        let name = format!("made-in-{project}");
        state.instances.insert((project, name), made);
    }
    let config = [("ipv4.address", "10.99.0.1/24"), ("ipv4.nat", "true"), ("ipv6.address", "none")];
    let config = config.map(|(key, value)| (key.to_owned(), value.to_owned())).into();
    state.networks.insert("br-mine".into(), Object { config, ..Object::default() });
}

/// What is not anklume's.
fn others(state: &State) -> (BTreeMap<(String, String), Instance>, Option<Object>) {
    let made = state.instances.iter().filter(|((_, name), _)| name.starts_with("made-in-"));
    let made = made.map(|(key, one)| (key.clone(), one.clone())).collect();
    (made, state.networks.get("br-mine").cloned())
}

/// Something that a hand changed; `at` says to which of the things that are there.
#[derive(Debug, Clone, Copy)]
enum Drift {
    Stopped,
    Started,
    Paused,
    Deleted,
    Limited,
    Freed,
    Unmarked,
    Readdressed,
    Bridge,
    Profile,
    Table,
    TableGone,
}

const DRIFTS: [Drift; 12] = [
    Drift::Stopped,
    Drift::Started,
    Drift::Paused,
    Drift::Deleted,
    Drift::Limited,
    Drift::Freed,
    Drift::Unmarked,
    Drift::Readdressed,
    Drift::Bridge,
    Drift::Profile,
    Drift::Table,
    Drift::TableGone,
];

impl Drift {
    fn happen(self, state: &mut State, at: usize) {
        match self {
            Self::Table | Self::TableGone => self.to_table(state),
            Self::Bridge => {
                if let Some(network) = nth(state.networks.values_mut(), at) {
                    network.config.insert("ipv4.nat".into(), "false".into());
                    network.description = "changed".into();
                }
            }
            Self::Profile => {
                let own = state.profiles.iter_mut().filter(|((project, _), _)| project != "default");
                if let Some((_, profile)) = nth(own, at) {
                    profile.config.insert("limits.processes".into(), "7".into());
                    profile.description = "changed".into();
                }
            }
            _ => self.to_machine(state, at),
        }
    }

    fn to_table(self, state: &mut State) {
        let ours = ("inet".to_owned(), "anklume".to_owned());
        if matches!(self, Self::TableGone) {
            state.tables.remove(&ours);
        } else if let Some(parts) = state.tables.get_mut(&ours) {
            let chain = json!({"family": "inet", "table": "anklume", "name": "mine"});
            parts.push(("chain".into(), chain.as_object().cloned().unwrap()));
        }
    }

    fn to_machine(self, state: &mut State, at: usize) {
        let Some(key) = nth(state.instances.keys().cloned(), at) else { return };
        let Some(instance) = state.instances.get_mut(&key) else { return };
        let config = &mut instance.object.config;
        match self {
            Self::Stopped | Self::Deleted if instance.ephemeral => {
                state.instances.remove(&key);
            }
            Self::Deleted => {
                state.instances.remove(&key);
            }
            Self::Stopped => instance.status = "Stopped",
            Self::Started => instance.status = "Running",
            Self::Paused if instance.status == "Running" => instance.status = "Frozen",
            Self::Limited => {
                config.insert("limits.cpu".into(), "7".into());
                config.remove("boot.autostart");
            }
            Self::Freed => {
                config.remove("security.protection.delete");
            }
            Self::Unmarked => config.retain(|key, _| !key.starts_with("user.anklume.")),
            Self::Readdressed => {
                if let Some(eth0) = instance.object.devices.get_mut("eth0") {
                    eth0.remove("ipv4.address");
                }
            }
            _ => {}
        }
    }
}

fn nth<T>(mut all: impl Iterator<Item = T>, at: usize) -> Option<T> {
    all.nth(at % 5)
}

fn a_drift() -> impl Strategy<Value = Vec<(Drift, usize)>> {
    vec(((0..DRIFTS.len()).prop_map(|at| DRIFTS[at]), any::<usize>()), 1..6)
}

/// Everything that was anklume's and is in both files has lost what left the file, unless that waits for something.
fn forgets_what_left_the_file(world: &World, before: &Plot, after: &Plot) -> Result<(), TestCaseError> {
    let marked = world.read();
    applied(world, after, &everything())?;
    let live = world.read();
    let plan = world.plan(&after.infra(), &everything()).map_err(|why| TestCaseError::fail(format!("{why:?}")))?;
    for (id, found) in marked.found.iter().filter(|(id, _)| !plan.held.iter().any(|held| held.id == **id)) {
        let (Some(marks), Some(now)) = (&found.marks, live.found.get(id)) else { continue };
        let Some(new) = &now.marks else { continue };
        let gone = marks.applied.difference(&new.applied);
        // A description is set to nothing, not taken away.
        let left: Vec<&Key> = gone.filter(|key| now.fields.contains_key(*key)).collect();
        prop_assert!(left.is_empty(), "{id} still has {left:?}\n{before:#?}");
    }
    Ok(())
}

proptest! {
    #![proptest_config(config(60))]

    #[test]
    fn what_a_hand_added_stays_whatever_becomes_of_the_file((before, after) in a_change(), seed in any::<u64>()) {
        let world = World::new();
        world.fake.shuffle(seed);
        applied(&world, &before, &Options::default())?;
        note_everything(&mut world.fake.state());
        let there: Vec<(Kind, String)> = world.read().found.keys().map(|id| (id.kind, id.to_string())).collect();
        applied(&world, &after, &everything())?;
        let unnoted = unnoted(&world.fake.state());
        let is_new = |name: &String| !there.iter().any(|(_, old)| old.ends_with(name.rsplit('/').next().unwrap()));
        // Machines that moved to another domain, and things made anew, are new.
        let old: Vec<&String> = unnoted.iter().filter(|name| !is_new(name)).collect();
        let project = |name: &String| name.split_once('/').map(|(project, _)| project.to_owned());
        let moved = |name: &&&String| project(name).is_some_and(|project| {
            !there.iter().any(|(kind, old)| *kind == Kind::Project && old.ends_with(&project))
                || world.fake.state().log.iter().any(|call| {
                    let machine = name.rsplit('/').next().unwrap();
                    (call.contains(" launch ") || call.contains(" create ")) && call.contains(machine)
                        && call.contains(&project)
                })
        });
        let lost: Vec<&&String> = old.iter().filter(|name| !moved(name)).collect();
        prop_assert!(lost.is_empty(), "{lost:?} in {there:?}");
    }

    #[test]
    fn what_left_the_file_is_taken_back((before, after) in a_change(), seed in any::<u64>()) {
        let world = World::new();
        world.fake.shuffle(seed);
        applied(&world, &before, &Options::default())?;
        forgets_what_left_the_file(&world, &before, &after)?;
    }

    #[test]
    fn what_anklume_did_not_make_is_as_it_was((before, after) in a_change(), seed in any::<u64>()) {
        let (before, after) = (before.without_limits(), after.without_limits());
        let world = World::new();
        world.fake.shuffle(seed);
        applied(&world, &before, &Options::default())?;
        make_machines(&mut world.fake.state());
        let made = others(&world.fake.state());
        applied(&world, &after, &everything())?;
        prop_assert_eq!(others(&world.fake.state()), made);
    }

    #[test]
    fn what_drifted_is_put_right(plot in a_plot(), drifts in a_drift(), seed in any::<u64>()) {
        let world = World::new();
        world.fake.shuffle(seed);
        applied(&world, &plot, &Options::default())?;
        for (drift, at) in drifts {
            drift.happen(&mut world.fake.state(), at);
        }
        applied(&world, &plot, &everything())?;
    }
}
