//! What random machines keep and see: volumes, data of their own, and what they share; and what holds for it.

use indexmap::IndexMap;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;

use super::plot::{DOMAINS, MACHINES, a_plot};
use super::world::World;
use super::{applied, config, everything, world};
use crate::infra::model::{Infra, Machine, PersistentData, SharedVolume, Volume};
use crate::resolve::sample::{infra, share, volume};
use crate::resources::planner::Options;

/// What a machine keeps.
#[derive(Debug, Clone)]
pub(super) struct StorePlot {
    volumes: [Option<VolumePlot>; 2],
    /// Of a virtual machine: its size.
    raw: Option<&'static str>,
    /// Its path, and whether it is only read.
    data: Option<(&'static str, bool)>,
}

#[derive(Debug, Clone)]
struct VolumePlot {
    pool: Option<&'static str>,
    size: Option<&'static str>,
    path: &'static str,
}

/// A shared volume, of a domain or a machine; the machine may write.
#[derive(Debug, Clone)]
pub(super) struct SharePlot {
    domain: usize,
    machine: Option<usize>,
    path: Option<&'static str>,
    shift: bool,
    propagate: bool,
}

pub(super) fn a_store() -> impl Strategy<Value = StorePlot> {
    let size = || select(vec!["1GiB", "2GiB", "3GiB"]);
    let pool = option::weighted(0.3, select(vec!["default", "fast"]));
    let one = (pool, option::of(size()), select(vec!["/here", "/there"]));
    let volume = one.prop_map(|(pool, size, path)| VolumePlot { pool, size, path });
    let data = (select(vec!["/data", "/srv/data"]), any::<bool>());
    let volumes = [option::weighted(0.3, volume.clone()), option::weighted(0.2, volume)];
    let parts = (volumes, option::weighted(0.5, size()), option::weighted(0.2, data));
    parts.prop_map(|(volumes, raw, data)| StorePlot { volumes, raw, data })
}

pub(super) fn a_share() -> impl Strategy<Value = SharePlot> {
    let ends = (0..DOMAINS.len(), option::of(0..MACHINES.len()));
    let parts = (ends, option::of(Just("/shares")), any::<bool>(), any::<bool>());
    parts.prop_map(|((domain, machine), path, shift, propagate)| SharePlot { domain, machine, path, shift, propagate })
}

impl StorePlot {
    pub(super) fn fill(&self, machine: &mut Machine) {
        for (name, plot) in ["v0", "v1"].iter().zip(&self.volumes) {
            let Some(plot) = plot else { continue };
            let (pool, size) = (plot.pool.map(str::to_owned), plot.size.map(str::to_owned));
            let written = Volume { pool, size, ..volume(&format!("{}/{name}", plot.path)) };
            machine.storage_volumes.insert((*name).to_owned(), written);
        }
        if let Some(size) = self.raw.filter(|_| machine.vm) {
            let raw = Volume { size: Some(size.to_owned()), path: None, block: true, ..volume("") };
            machine.storage_volumes.insert("raw".into(), raw);
        }
        if let Some((path, readonly)) = self.data {
            machine.persistent_data.insert("d".into(), PersistentData { path: path.into(), readonly });
        }
    }
}

/// Those whose consumers are in the file.
pub(super) fn shares(plots: &[Option<SharePlot>], made: &Infra) -> IndexMap<String, SharedVolume> {
    let mut shares = IndexMap::new();
    for (number, plot) in plots.iter().enumerate() {
        let Some(plot) = plot.as_ref().filter(|plot| made.domains.contains_key(DOMAINS[plot.domain])) else { continue };
        let mut written =
            SharedVolume { shift: plot.shift, propagate: plot.propagate, ..share([(DOMAINS[plot.domain], false)]) };
        written.path = plot.path.map(|path| format!("{path}/{number}"));
        if let Some(machine) = plot.machine.map(|at| MACHINES[at])
            && made.domains.values().any(|domain| domain.machines.contains_key(machine))
        {
            written.consumers.insert(machine.into(), true);
        }
        shares.insert(format!("s{number}"), written);
    }
    shares
}

/// What is kept: volumes, and directories of the host.
fn kept(world: &World) -> (Vec<String>, Vec<String>) {
    let state = world.fake.state();
    let volumes = state.volumes.keys().map(|(project, pool, name)| format!("{project} {pool}/{name}"));
    (volumes.collect(), state.directories.iter().cloned().collect())
}

fn all_there(world: &World, before: &(Vec<String>, Vec<String>)) -> Result<(), TestCaseError> {
    let after = kept(world);
    prop_assert!(before.0.iter().all(|volume| after.0.contains(volume)), "{before:?} {after:?}");
    prop_assert!(before.1.iter().all(|directory| after.1.contains(directory)), "{before:?} {after:?}");
    Ok(())
}

proptest! {
    #![proptest_config(config(30))]

    #[test]
    fn whatever_machines_keep_and_see_changes_in_one_step_and_loses_nothing(
        before in a_plot(), after in a_plot(), seed in any::<u64>(),
    ) {
        let world = World::new();
        world.fake.shuffle(seed);
        applied(&world, &before, &Options::default())?;
        let was = kept(&world);
        for volume in world.fake.state().volumes.values_mut() {
            volume.object.config.insert("user.note".into(), "by hand".into());
        }
        let after = before.with_stores_of(&after);
        applied(&world, &after, &everything())?;
        all_there(&world, &was)?;
        let state = world.fake.state();
        let noted = state.volumes.values().filter(|volume| volume.object.config.contains_key("user.note"));
        prop_assert_eq!(noted.count(), was.0.len());
    }

    #[test]
    fn an_empty_file_leaves_every_volume_and_directory(plot in a_plot(), seed in any::<u64>()) {
        let world = World::new();
        world.fake.shuffle(seed);
        applied(&world, &plot, &Options::default())?;
        let was = kept(&world);
        let (nothing, options) = (infra([]), Options { prune: true, ..Options::default() });
        let plan = world.plan(&nothing, &options).map_err(|refusal| TestCaseError::fail(format!("{refusal:?}")))?;
        let report = world.apply(&plan);
        prop_assert_eq!(world::failures(&plan, &report), Vec::<String>::new(), "{}", world::told(&plan));
        all_there(&world, &was)?;
        let again = world.plan(&nothing, &options).map_err(|refusal| TestCaseError::fail(format!("{refusal:?}")))?;
        prop_assert!(again.actions.is_empty(), "{}", world::told(&again));
    }
}
