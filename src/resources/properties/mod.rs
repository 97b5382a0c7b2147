//! What holds for every file and every host, tried on random ones.

mod crash;
mod flushing;
mod handmade;
mod hands;
mod importing;
mod part;
mod plot;
mod replacing;
mod stores;
mod world;

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::planner::Options;
use crate::incus::live::Live;
use crate::plan::{Kind, Plan};
use plot::{Plot, a_change, a_plot};
use world::{World, failures, told};

/// Applies a file; all of it goes well and nothing is left.
fn applied(world: &World, plot: &Plot, options: &Options) -> Result<(), TestCaseError> {
    let infra = plot.infra();
    let Ok(plan) = world.plan(&infra, options) else { return Err(TestCaseError::reject("no plan")) };
    check_apart(&plan, &world.read())?;
    let report = world.apply(&plan);
    prop_assert_eq!(failures(&plan, &report), Vec::<String>::new(), "{}", told(&plan));
    prop_assert!(report.is_clean());
    check_host(world)?;
    let again = world.plan(&infra, options);
    let again = again.map_err(|refusal| TestCaseError::fail(format!("{refusal:?}")))?;
    prop_assert!(again.actions.is_empty(), "{}\nagain:\n{}", told(&plan), told(&again));
    Ok(())
}

/// No edit of a profile runs beside one of a machine that has it: Incus would write the machine back as it was.
fn check_apart(plan: &Plan, live: &Live) -> Result<(), TestCaseError> {
    let mut before: Vec<BTreeSet<usize>> = Vec::new();
    for action in &plan.actions {
        let earlier = action.after.iter().flat_map(|at| before[*at].iter().chain([at]));
        before.push(earlier.copied().collect());
    }
    let of = |kind: Kind| plan.actions.iter().enumerate().filter(move |(_, action)| action.id.kind == kind);
    for ((one, profile), (other, machine)) in
        of(Kind::Profile).flat_map(|profile| of(Kind::Instance).map(move |machine| (profile, machine)))
    {
        let has_it = live.found.get(&machine.id).is_some_and(|found| found.needs.contains(&profile.id));
        let is_apart = before[one].contains(&other) || before[other].contains(&one);
        prop_assert!(!has_it || is_apart, "{} beside {}\n{}", profile.id, machine.id, told(plan));
    }
    Ok(())
}

/// Nothing ran unfenced, and no machine without knowing where it is.
fn check_host(world: &World) -> Result<(), TestCaseError> {
    let state = world.fake.state();
    prop_assert_eq!(&state.unfenced, &Vec::<String>::new());
    prop_assert_eq!(&state.lost, &Vec::<String>::new());
    Ok(())
}

/// `PROPTEST_CASES` tries more.
fn config(few: u32) -> ProptestConfig {
    let asked = std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok());
    ProptestConfig { cases: asked.unwrap_or(few), failure_persistence: None, ..ProptestConfig::default() }
}

fn everything() -> Options {
    Options { prune: true, restart: true, ..Options::default() }
}

proptest! {
    #![proptest_config(config(60))]

    #[test]
    fn what_is_applied_leaves_an_empty_plan(plot in a_plot(), seed in any::<u64>()) {
        let world = World::new();
        world.fake.shuffle(seed);
        applied(&world, &plot, &Options::default())?;
    }

    #[test]
    fn any_change_of_the_file_is_made_in_one_run((before, after) in a_change(), seed in any::<u64>()) {
        let world = World::new();
        world.fake.shuffle(seed);
        applied(&world, &before, &Options::default())?;
        applied(&world, &after, &everything())?;
    }
}
