//! What is imported from a host says what stands on it: applied, it changes nothing but marks.

use proptest::prelude::*;

use super::plot::a_plot;
use super::world::{World, failures, told};
use super::{applied, config};
use crate::incus::fake::State;
use crate::infra;
use crate::infra::model::Infra;
use crate::lifecycle::import::Asked;
use crate::plan::{Action, Verb};
use crate::resources::planner::Options;

/// The infrastructure that the imported file says.
pub(super) fn read(text: &str) -> Result<Infra, TestCaseError> {
    infra::load_text("infra.yml", text.to_owned())
        .map(|loaded| loaded.infra)
        .map_err(|failure| TestCaseError::fail(format!("{failure:?}\n{text}")))
}

/// Takes away everything that anklume wrote on things, as if they were made by hand.
fn strip(state: &mut State) {
    let State { projects, networks, acls, zones, records, profiles, instances, volumes, .. } = state;
    let objects = projects.values_mut().chain(networks.values_mut()).chain(acls.values_mut()).chain(zones.values_mut());
    let objects = objects.chain(records.values_mut()).chain(profiles.values_mut());
    let instances = instances.values_mut().map(|instance| &mut instance.object);
    let volumes = volumes.values_mut().map(|volume| &mut volume.object);
    for object in objects.chain(instances).chain(volumes) {
        object.config.retain(|key, _| !key.starts_with("user.anklume."));
    }
}

/// Does it only set marks?
fn only_marks(action: &Action) -> bool {
    let fields = action.fields.iter().all(|field| field.key.starts_with("user.anklume."));
    action.id.kind.is_isolation() || (action.verb == Verb::Adopt && fields)
}

/// Applies the file: that only sets marks, and nothing is left to do.
pub(super) fn taken_over(world: &World, text: &str) -> Result<(), TestCaseError> {
    let file = read(text)?;
    let plan = world.plan(&file, &Options::default());
    let plan = plan.map_err(|refusal| TestCaseError::fail(format!("{refusal:?}\n{text}")))?;
    let held = plan.held.iter().all(|held| held.why.left_the_file());
    prop_assert!(plan.actions.iter().all(only_marks) && held, "{text}\n{}", told(&plan));
    let before = world.fake.state().clone();
    let report = world.apply(&plan);
    prop_assert_eq!(failures(&plan, &report), Vec::<String>::new());
    let again = world.plan(&file, &Options::default()).unwrap();
    prop_assert!(again.is_empty(), "{text}\n{}", told(&again));
    let (mut before, mut after) = (before, world.fake.state().clone());
    for state in [&mut before, &mut after] {
        strip(state);
        (state.tables, state.log) = Default::default();
        state.instances.values_mut().for_each(|instance| instance.files.clear());
    }
    prop_assert_eq!(before, after);
    Ok(())
}

#[test]
fn what_every_example_makes_is_imported_and_nothing_differs() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let examples = ["ai-tools", "print-service", "teacher-lab", "tor-gateway", "vm-sandbox"];
    let files = examples.map(|name| format!("examples/{name}/infra.yml"));
    for file in files.iter().map(String::as_str).chain(["infra.example.yml", "examples/workstation/infra"]) {
        let Ok(loaded) = infra::load(Some(&root.join(file))) else { panic!("{file}") };
        for bare in [false, true] {
            let world = World::new();
            let plan = world.plan(&loaded.infra, &Options::default()).unwrap();
            let report = world.apply(&plan);
            assert_eq!(failures(&plan, &report), Vec::<String>::new(), "{file}");
            if bare {
                strip(&mut world.fake.state());
            }
            let imported = world.imported(&Asked::default());
            assert_eq!(imported.left, Vec::<String>::new(), "{}", imported.text);
            let read = read(&imported.text).unwrap();
            let plan = world.plan(&read, &Options::default()).unwrap();
            assert!(bare || plan.is_empty(), "{file}\n{}\n{}", imported.text, told(&plan));
            taken_over(&world, &imported.text).unwrap();
        }
    }
}

proptest! {
    #![proptest_config(config(60))]

    #[test]
    fn what_was_applied_is_imported_and_nothing_differs(plot in a_plot()) {
        let world = World::new();
        applied(&world, &plot, &Options::default())?;
        let imported = world.imported(&Asked::default());
        prop_assert_eq!(&imported.left, &Vec::<String>::new(), "{}", imported.text);
        let plan = world.plan(&read(&imported.text)?, &Options::default()).unwrap();
        prop_assert!(plan.is_empty() && plan.held.is_empty(), "{}\n{}", imported.text, told(&plan));
        prop_assert_eq!(&world.imported(&Asked::default()).text, &imported.text);
    }

    #[test]
    fn what_has_no_marks_is_taken_over_and_nothing_else_is_changed(plot in a_plot()) {
        let world = World::new();
        applied(&world, &plot, &Options::default())?;
        strip(&mut world.fake.state());
        let imported = world.imported(&Asked::default());
        prop_assert_eq!(&imported.left, &Vec::<String>::new(), "{}", imported.text);
        taken_over(&world, &imported.text)?;
    }
}
