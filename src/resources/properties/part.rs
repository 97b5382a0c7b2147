//! Plans of less than everything: without the words for deletion and restarts, of some domains, of what is destroyed.

use std::collections::BTreeSet;

use proptest::prelude::*;
use proptest::sample::Index;

use super::plot::{Plot, a_change, a_plot};
use super::world::{World, failures, told};
use super::{applied, check_host, config, everything};
use crate::infra::model::RunState;
use crate::plan::{Id, Kind};
use crate::resources::planner::{self, Options};
use crate::resources::{Found, removal};

fn ids(world: &World) -> BTreeSet<Id> {
    world.read().found.into_keys().collect()
}

/// Machines that a run stopped though the file does not say so.
fn stopped(world: &World, plot: &Plot) -> Vec<String> {
    let infra = plot.infra();
    let machines = infra.domains.values().flat_map(|domain| &domain.machines);
    let idle: Vec<&String> = machines.filter(|(_, one)| one.state == RunState::Stopped).map(|(name, _)| name).collect();
    let state = world.fake.state();
    let stops = state.log.iter().filter_map(|call| call.strip_prefix("incus stop ")?.split(' ').next());
    stops.filter(|name| !idle.iter().any(|idle| idle == name)).map(str::to_owned).collect()
}

/// Some of the names in the file.
fn picked(plot: &Plot, picks: &[Index]) -> Vec<String> {
    let names = plot.names();
    if names.is_empty() {
        return Vec::new();
    }
    picks.iter().map(|pick| pick.get(&names).clone()).collect()
}

proptest! {
    #![proptest_config(config(60))]

    #[test]
    fn nothing_is_deleted_or_stopped_without_a_word((before, after) in a_change(), seed in any::<u64>()) {
        let (before, after) = (before.without_limits(), after.without_limits());
        let world = World::new();
        world.fake.shuffle(seed);
        applied(&world, &before, &Options::default())?;
        let there = ids(&world);
        world.fake.state().log.clear();
        applied(&world, &after, &Options::default())?;
        prop_assert!(there.is_subset(&ids(&world)), "{:?}", there.difference(&ids(&world)).collect::<Vec<_>>());
        prop_assert_eq!(stopped(&world, &after), Vec::<String>::new());
        applied(&world, &after, &everything())?;
    }

    #[test]
    fn what_is_protected_is_there_after_any_change((before, after) in a_change(), seed in any::<u64>()) {
        let world = World::new();
        world.fake.shuffle(seed);
        applied(&world, &before, &Options::default())?;
        let live = world.read();
        // Filters and names of a domain that goes on come and go with the file.
        let words = [Kind::Acl, Kind::Zone, Kind::Record];
        let protected = live.found.values().filter(|found| found.protected && !words.contains(&found.id.kind));
        let protected: BTreeSet<Id> = protected.map(|found| found.id.clone()).collect();
        applied(&world, &after, &everything())?;
        prop_assert!(protected.is_subset(&ids(&world)));
    }

    #[test]
    fn a_plan_of_some_has_all_that_they_need_and_deletes_nobody_else(
        (before, after) in a_change(), picks in proptest::collection::vec(any::<Index>(), 1..3), seed in any::<u64>(),
    ) {
        let world = World::new();
        world.fake.shuffle(seed);
        applied(&world, &before, &Options::default())?;
        let target = picked(&after, &picks);
        prop_assume!(!target.is_empty());
        let options = Options { target: target.clone(), ..everything() };
        let infra = after.infra();
        let Ok(plan) = world.plan(&infra, &options) else { return Err(TestCaseError::reject("no plan")) };
        let others = plan.actions.iter().filter(|action| action.verb.sign() == '-' && !action.id.kind.is_isolation());
        for action in others {
            let named = target.contains(&action.domain) || target.contains(&action.id.name);
            prop_assert!(named, "{} of {} is deleted for {target:?}\n{}", action.id, action.domain, told(&plan));
        }
        let report = world.apply(&plan);
        prop_assert_eq!(failures(&plan, &report), Vec::<String>::new(), "{}", told(&plan));
        check_host(&world)?;
        let again = world.plan(&infra, &options).map_err(|why| TestCaseError::fail(format!("{why:?}")))?;
        // A network that is free now may go to a domain that is still to be made, and the table names that one already.
        let left = again.actions.iter().filter(|action| !action.id.kind.is_isolation()).count();
        prop_assert_eq!(left, 0, "{:?}\n{}\nagain:\n{}", target, told(&plan), told(&again));
        applied(&world, &after, &everything())?;
    }

    #[test]
    fn what_is_destroyed_is_gone_and_comes_again(
        plot in a_plot(), picks in proptest::collection::vec(any::<Index>(), 0..3), force in any::<bool>(), seed in any::<u64>(),
    ) {
        let world = World::new();
        world.fake.shuffle(seed);
        applied(&world, &plot, &Options::default())?;
        let names = picked(&plot, &picks);
        let is_picked = |found: &Found| {
            let domain = found.marks.as_ref().is_some_and(|marks| names.contains(&marks.domain));
            names.is_empty() || domain || (found.id.kind == Kind::Instance && names.contains(&found.id.name))
        };
        let force = force && !names.is_empty();
        let (desired, live) = world.resolved(&plot.infra()).map_err(|why| TestCaseError::fail(format!("{why:?}")))?;
        let plan = planner::destruction(&desired, &live, removal::named(&live, "lab", is_picked, force));
        let report = world.apply(&plan);
        prop_assert_eq!(failures(&plan, &report), Vec::<String>::new(), "{}", told(&plan));
        let left = world.read();
        for (id, found) in live.found.iter().filter(|(_, found)| found.marks.is_some()) {
            let stays = !is_picked(found) || (found.protected && !force);
            prop_assert!(!stays || left.found.contains_key(id), "{id} is gone");
            let goes = is_picked(found) && (force || !found.protected) && id.kind == Kind::Instance;
            prop_assert!(!goes || !left.found.contains_key(id), "{id} is there");
        }
        applied(&world, &plot, &Options::default())?;
    }

    #[test]
    fn the_same_file_on_the_same_host_is_the_same_plan((before, after) in a_change()) {
        let world = World::new();
        applied(&world, &before, &Options::default())?;
        let plan = || world.plan(&after.infra(), &everything()).map(|plan| serde_json::to_string(&plan).unwrap());
        prop_assert_eq!(plan().ok(), plan().ok());
    }
}
