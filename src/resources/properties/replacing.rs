//! Machines that are made anew, whatever they are: nothing is lost, and the next plan is empty.

use indexmap::IndexMap;
use proptest::prelude::*;

use super::plot::{MACHINES, a_plot};
use super::world::{World, failures, told};
use crate::incus::fake::Trouble;
use crate::infra::model::{Domain, Infra, Machine};
use crate::resolve::sample::{domain, infra, keys, machine, named};
use crate::resources::planner::Options;

const NOW: &str = "20261124-190000";
const KEPT: &str = "dev-before-replace-20261124-190000";

fn anew(names: &[&str]) -> Options {
    let replace = names.iter().map(|name| (*name).to_owned()).collect();
    Options { replace, now: NOW.into(), ..Options::default() }
}

fn with(machine: Machine) -> Infra {
    infra([("pro", domain([("dev", machine)]))])
}

fn on_pool(pool: &str) -> Machine {
    Machine { devices: named([("root", keys([("type", "disk"), ("path", "/"), ("pool", pool)]))]), ..machine() }
}

/// Plans, applies, and finds nothing left to do. Gives the actions that were planned.
fn applied(world: &World, infra: &Infra, options: &Options) -> Vec<String> {
    let plan = world.plan(infra, options).unwrap();
    let report = world.apply(&plan);
    assert_eq!(failures(&plan, &report), Vec::<String>::new(), "{}", told(&plan));
    let again = world.plan(infra, &Options::default()).unwrap();
    assert!(again.is_empty(), "{}", told(&again));
    plan.actions.iter().map(|action| format!("{} {}", action.verb.word(), action.id)).collect()
}

#[test]
fn another_image_makes_a_machine_anew_beside_the_one_that_was() {
    let world = World::new();
    applied(&world, &with(machine()), &Options::default());
    let before = world.fake.state().instance("pro", "dev").unwrap().clone();
    let other = with(Machine { os_image: Some("golden".into()), ..machine() });

    let waits = world.plan(&other, &Options::default()).unwrap();
    assert_eq!((waits.actions.len(), waits.held.len()), (0, 1));
    assert!(waits.held[0].message.contains("`anklume apply --replace dev`"), "{}", waits.held[0].message);

    assert_eq!(applied(&world, &other, &anew(&["dev"])), ["keep instance dev", "create instance dev"]);
    let state = world.fake.state();
    let (old, new) = (state.instance("pro", KEPT).unwrap(), state.instance("pro", "dev").unwrap());
    assert_eq!((old.status, new.status), ("Stopped", "Running"));
    assert_eq!(new.object.devices["eth0"]["ipv4.address"], before.object.devices["eth0"]["ipv4.address"]);
    assert_eq!(old.object.devices["eth0"].get("ipv4.address"), None);
}

#[test]
fn what_is_kept_is_never_pruned_and_comes_back_by_its_old_name() {
    let world = World::new();
    let domain = Domain { ephemeral: true, ..domain([("dev", machine())]) };
    let file = infra([("pro", domain)]);
    applied(&world, &file, &Options::default());
    applied(&world, &file, &anew(&["dev"]));

    let empty = Infra { domains: IndexMap::new(), ..file.clone() };
    let pruned = world.plan(&empty, &Options { prune: true, ..Options::default() }).unwrap();
    let deleted: Vec<String> = pruned.actions.iter().map(|action| action.id.to_string()).collect();
    assert!(deleted.contains(&"instance dev".into()) && !deleted.contains(&format!("instance {KEPT}")), "{deleted:?}");
    assert!(!deleted.contains(&"project pro".into()), "{deleted:?}");

    let of = |name: &str| ("pro".to_owned(), name.to_owned());
    let mut state = world.fake.state();
    state.instances.remove(&of("dev")).unwrap();
    let old = state.instances.remove(&of(KEPT)).unwrap();
    state.instances.insert(of("dev"), old);
    drop(state);
    assert_eq!(applied(&world, &file, &Options::default()), ["update instance dev", "start instance dev"]);
    let state = world.fake.state();
    assert_eq!(state.instance("pro", "dev").unwrap().object.config.get("user.anklume.kept"), None);
}

#[test]
fn a_run_that_was_cut_off_between_old_and_new_is_cured_by_the_next_one() {
    // Stopped, without its address, put aside, renamed; then the new one is made.
    for cut in 0..5 {
        let world = World::new();
        applied(&world, &with(machine()), &Options::default());
        let plan = world.plan(&with(machine()), &anew(&["dev"])).unwrap();
        assert_eq!(plan.actions.iter().map(|action| action.calls.len()).sum::<usize>(), 5);
        world.fake.expect(Trouble::From(cut));
        let _ = world.apply(&plan);
        world.fake.expect(Trouble::None);
        applied(&world, &with(machine()), &Options::default());
        let state = world.fake.state();
        assert_eq!(state.instance("pro", KEPT).is_some(), cut >= 4, "after {cut} calls");
    }
}

#[test]
fn another_pool_makes_it_anew_there() {
    let world = World::new();
    applied(&world, &with(machine()), &Options::default());
    let waits = world.plan(&with(on_pool("fast")), &Options::default()).unwrap();
    assert_eq!(waits.actions.len(), 0);
    let message = &waits.held[0].message;
    assert!(message.contains("`anklume apply --replace dev` makes it anew"), "{message}");
    assert_eq!(applied(&world, &with(on_pool("fast")), &anew(&["dev"])), ["keep instance dev", "create instance dev"]);
    assert_eq!(world.fake.state().instance("pro", "dev").unwrap().object.devices["root"]["pool"], "fast");
}

#[test]
fn a_root_disk_that_is_written_out_where_it_is_changes_nothing() {
    let world = World::new();
    applied(&world, &with(machine()), &Options::default());
    assert_eq!(applied(&world, &with(on_pool("default")), &Options::default()), ["update instance dev"]);
    assert_eq!(applied(&world, &with(machine()), &Options::default()), ["update instance dev"]);
    assert_eq!(world.fake.state().instances.len(), 1);
}

#[test]
fn a_limit_of_instances_that_leaves_no_room_is_told_before() {
    let world = World::new();
    let limits = IndexMap::from([("limits.instances".to_owned(), "1".to_owned())]);
    let file = infra([("pro", Domain { limits, ..domain([("dev", machine())]) })]);
    applied(&world, &file, &Options::default());
    let refused = format!("{:?}", world.plan(&file, &anew(&["dev"])).unwrap_err());
    assert!(refused.contains("there is no room to keep what is there of dev"), "{refused}");
}

#[test]
fn other_cloud_init_documents_are_set_and_said_to_be_read_later() {
    let world = World::new();
    applied(&world, &with(machine()), &Options::default());
    let other = with(Machine { config: keys([("cloud-init.user-data", "#cloud-config\n")]), ..machine() });
    let plan = world.plan(&other, &Options::default()).unwrap();
    assert!(plan.actions[0].note.contains("`--replace dev` makes it anew"), "{}", plan.actions[0].note);
    applied(&world, &other, &Options::default());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_machine_can_be_made_anew(plot in a_plot(), seed in any::<u64>()) {
        let (world, infra) = (World::new(), plot.infra());
        let Ok(plan) = world.plan(&infra, &Options::default()) else { return Err(TestCaseError::reject("no plan")) };
        let _ = world.apply(&plan);
        let count = world.fake.state().instances.len();
        let Ok(plan) = world.plan(&infra, &anew(&MACHINES)) else { return Err(TestCaseError::reject("no room")) };
        world.fake.shuffle(seed);
        let report = world.apply(&plan);
        prop_assert_eq!(failures(&plan, &report), Vec::<String>::new(), "{}", told(&plan));
        prop_assert_eq!(world.fake.state().instances.len(), 2 * count);
        let again = world.plan(&infra, &Options::default()).unwrap();
        prop_assert!(again.is_empty(), "{}\nagain:\n{}", told(&plan), told(&again));
    }
}
