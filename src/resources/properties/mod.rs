//! What holds for every file and every host, tried on random ones.

mod crash;
mod hands;
mod part;
mod plot;
mod replacing;
mod stores;
mod world;

use proptest::prelude::*;

use super::planner::Options;
use plot::{Plot, a_change, a_plot};
use world::{World, failures, told};

/// Applies a file; all of it goes well and nothing is left.
fn applied(world: &World, plot: &Plot, options: &Options) -> Result<(), TestCaseError> {
    let infra = plot.infra();
    let Ok(plan) = world.plan(&infra, options) else { return Err(TestCaseError::reject("no plan")) };
    let report = world.apply(&plan);
    prop_assert_eq!(failures(&plan, &report), Vec::<String>::new(), "{}", told(&plan));
    prop_assert!(report.is_clean());
    check_host(world)?;
    let again = world.plan(&infra, options);
    let again = again.map_err(|refusal| TestCaseError::fail(format!("{refusal:?}")))?;
    prop_assert!(again.actions.is_empty(), "{}\nagain:\n{}", told(&plan), told(&again));
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
