//! A run that stops anywhere is cured by running again.

use proptest::prelude::*;

use super::plot::{Plot, a_change};
use super::world::World;
use super::{applied, check_host, config, everything};
use crate::incus::fake::Trouble;
use crate::resources::planner::Options;

/// One call fails, or all from one on; the last one may have been done in part.
fn a_trouble() -> impl Strategy<Value = fn(usize) -> Trouble> {
    prop_oneof![
        Just(Trouble::Once as fn(usize) -> Trouble),
        Just(Trouble::From as fn(usize) -> Trouble),
        Just(Trouble::Amid as fn(usize) -> Trouble),
    ]
}

/// Runs a plan into trouble at one of its calls, wherever `share` of the way is.
fn run_into(world: &World, plot: &Plot, options: &Options, trouble: fn(usize) -> Trouble, share: usize) -> bool {
    let Ok(plan) = world.plan(&plot.infra(), options) else { return false };
    let calls: usize = plan.actions.iter().map(|action| action.calls.len()).sum();
    if calls == 0 {
        return false;
    }
    world.fake.expect(trouble(share % calls));
    world.apply(&plan);
    world.fake.expect(Trouble::None);
    true
}

proptest! {
    #![proptest_config(config(60))]

    #[test]
    fn a_first_run_that_stops_anywhere_is_done_by_the_next(
        (plot, other) in a_change(), trouble in a_trouble(), share in any::<usize>(), seed in any::<u64>(),
    ) {
        let world = World::new();
        world.fake.shuffle(seed);
        prop_assume!(run_into(&world, &plot, &Options::default(), trouble, share));
        check_host(&world)?;
        applied(&world, &plot, &Options::default())?;
        applied(&world, &other, &everything())?;
    }

    #[test]
    fn a_change_that_stops_anywhere_is_done_by_the_next_run(
        (before, after) in a_change(), trouble in a_trouble(), share in any::<usize>(), seed in any::<u64>(),
    ) {
        let world = World::new();
        world.fake.shuffle(seed);
        applied(&world, &before, &Options::default())?;
        prop_assume!(run_into(&world, &after, &everything(), trouble, share));
        check_host(&world)?;
        applied(&world, &after, &everything())?;
    }
}
