//! What holds for every file and every host, tried on random ones.

mod plot;
mod stores;
mod world;

use proptest::prelude::*;

use super::planner::Options;
use plot::{Plot, a_plot};
use world::{World, failures, told};

/// Applies a file; all of it goes well and nothing is left.
fn applied(world: &World, plot: &Plot, options: &Options) -> Result<(), TestCaseError> {
    let infra = plot.infra();
    let Ok(plan) = world.plan(&infra, options) else { return Err(TestCaseError::reject("no plan")) };
    let report = world.apply(&plan);
    prop_assert_eq!(failures(&plan, &report), Vec::<String>::new(), "{}", told(&plan));
    prop_assert!(report.is_clean());
    prop_assert_eq!(&world.fake.state().unfenced, &Vec::<String>::new());
    prop_assert_eq!(&world.fake.state().lost, &Vec::<String>::new());
    let again = world.plan(&infra, options);
    let again = again.map_err(|refusal| TestCaseError::fail(format!("{refusal:?}")))?;
    prop_assert!(again.actions.is_empty(), "{}\nagain:\n{}", told(&plan), told(&again));
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_applied_leaves_an_empty_plan(plot in a_plot(), seed in any::<u64>()) {
        let world = World::new();
        world.fake.shuffle(seed);
        applied(&world, &plot, &Options::default())?;
    }
}
