//! What carries our mark and has left the file: shown, and deleted when that was asked for.

use std::collections::BTreeSet;

use super::planner::Options;
use super::{Found, Wanted, resource, target, volume};
use crate::incus::live::Live;
use crate::plan::{Action, Held, Id, Impact, Kind, Verb, Why};
use crate::resolve::desired::Desired;

/// What goes, and what stays though it left the file.
#[derive(Default)]
pub(crate) struct Removal<'a> {
    pub(crate) delete: Vec<&'a Found>,
    pub(crate) held: Vec<Held>,
}

impl Removal<'_> {
    /// Does this stay as it always does: a volume with its data, and what of its project cannot go before it?
    fn keeps(&self, found: &Found) -> bool {
        let project = Id::global(Kind::Project, &found.id.project);
        let kept = |id: &Id| self.held.iter().any(|held| held.why == Why::Kept && held.id == *id);
        kept(&found.id) || goes_along(found) && kept(&project)
    }
}

/// The orphans of an infrastructure. With `--prune` those of what was named go: that anything else waits for them, the
/// table or a machine, is no reason to delete more.
pub(crate) fn orphans<'a>(wanted: &[Wanted], desired: &Desired, live: &'a Live, options: &Options) -> Removal<'a> {
    let wanted_ids: BTreeSet<&Id> = wanted.iter().map(|wanted| &wanted.id).collect();
    let is_orphan = |found: &&Found| {
        ours(found, &desired.infra) && !wanted_ids.contains(&found.id) && !desired.disabled.contains(&domain(found))
    };
    let orphans: Vec<&Found> = live.found.values().filter(is_orphan).filter(|found| !goes_along(found)).collect();
    let (volumes, orphans): (Vec<&Found>, Vec<&Found>) = orphans.into_iter().partition(|found| is_volume(found));
    let kept = volumes.into_iter().map(|volume| kept(volume, "not in the file; kept with its data"));
    let goes = |found: &&Found| {
        options.prune && !stays(found) && target::names(desired, &options.target, &domain(found), &found.id)
    };
    let (delete, stay): (Vec<&Found>, Vec<&Found>) = orphans.into_iter().partition(goes);
    let mut removal = Removal { delete, held: kept.chain(stay.into_iter().map(not_pruned)).collect() };
    still_needed(&mut removal, wanted, live);
    removal.delete.sort_by_key(|found| std::cmp::Reverse((found.id.kind, found.id.clone())));
    removal
}

/// What a user named to be destroyed, of all that is ours: `pick` says which, `force` is the word for protected ones.
pub(crate) fn named<'a>(live: &'a Live, infra: &str, pick: impl Fn(&Found) -> bool, force: bool) -> Removal<'a> {
    let ours = || live.found.values().filter(|found| ours(found, infra) && !goes_along(found));
    let picked = ours().filter(|found| !is_volume(found) && pick(found));
    let (delete, stay): (Vec<&Found>, Vec<&Found>) = picked.partition(|found| force || !found.protected);
    // Those of the machines that go, too: whoever deletes a machine is told where its data is.
    let is_left_behind =
        |volume: &&Found| pick(volume) || delete.iter().any(|machine| machine.needs.contains(&volume.id));
    let volumes = ours().filter(|found| is_volume(found)).filter(is_left_behind);
    let kept = volumes.map(|volume| kept(volume, "kept with its data"));
    let held = kept.chain(stay.into_iter().map(protected)).collect();
    let mut removal = Removal { delete, held };
    still_needed(&mut removal, &[], live);
    removal.delete.sort_by_key(|found| std::cmp::Reverse((found.id.kind, found.id.clone())));
    removal
}

fn ours(found: &Found, infra: &str) -> bool {
    found.marks.as_ref().is_some_and(|marks| marks.infra == infra)
}

/// A project's `default` profile can be neither made nor deleted: it goes with its project.
fn goes_along(found: &Found) -> bool {
    found.id.kind == Kind::Profile && found.id.name == "default"
}

fn is_volume(found: &Found) -> bool {
    found.id.kind == Kind::Volume
}

fn kept(volume: &Found, how: &str) -> Held {
    let by_hand = volume::deletion_by_hand(&volume.id);
    held(volume, Why::Kept, format!("{how}; `{by_hand}` deletes it"))
}

fn domain(found: &Found) -> String {
    found.marks.as_ref().map(|marks| marks.domain.clone()).unwrap_or_default()
}

fn held(found: &Found, why: Why, message: String) -> Held {
    Held { id: found.id.clone(), domain: domain(found), why, fields: Vec::new(), message }
}

/// Is it protected, and more than what the file said once? Filters and names of a domain that goes on are not.
fn stays(found: &Found) -> bool {
    found.protected && !matches!(found.id.kind, Kind::Acl | Kind::Zone | Kind::Record)
}

fn not_pruned(found: &Found) -> Held {
    if stays(found) {
        return protected(found);
    }
    held(found, Why::Orphan, "not in the file; `anklume apply --prune` deletes it".into())
}

fn protected(found: &Found) -> Held {
    let name = if found.id.kind == Kind::Instance { found.id.name.clone() } else { domain(found) };
    held(found, Why::Protected, format!("protected; `anklume destroy {name} --force` deletes it"))
}

/// Takes back every deletion of something that something else still needs, until nothing is left to take back: a
/// machine that stays keeps its profiles, its bridge and its project.
fn still_needed(removal: &mut Removal<'_>, wanted: &[Wanted], live: &Live) {
    loop {
        let going: BTreeSet<&Id> = removal.delete.iter().map(|found| &found.id).collect();
        let user_of = |id: &Id| {
            let stays = live.found.values().filter(|user| !going.contains(&user.id) && !goes_with(user, &going));
            let users = stays.filter(|user| match wanted.iter().find(|wanted| wanted.id == user.id) {
                Some(wanted) => wanted.needs.contains(id),
                None => user.needs.contains(id),
            });
            // Rather one that need not stay.
            users.min_by_key(|user| removal.keeps(user))
        };
        let (stay, go): (Vec<_>, Vec<_>) =
            removal.delete.iter().map(|found| (*found, user_of(&found.id))).partition(|(_, user)| user.is_some());
        if stay.is_empty() {
            return;
        }
        let stay = stay.into_iter().filter_map(|(found, user)| user.map(|user| (found, user)));
        let held = stay.map(|(found, user)| {
            // It stays for the same reason as the one that needs it, where that one left the file too.
            let of_user = removal.held.iter().find(|held| held.id == user.id).map(|held| held.why);
            let why = of_user.filter(|why| *why == Why::Protected);
            let why = why.unwrap_or(if removal.keeps(user) { Why::Kept } else { Why::Refused });
            held(found, why, format!("still needed by {}", user.id))
        });
        let held: Vec<Held> = held.collect();
        removal.held.extend(held);
        removal.delete = go.into_iter().map(|(found, _)| found).collect();
    }
}

/// The `default` profile of a project that goes.
fn goes_with(found: &Found, going: &BTreeSet<&Id>) -> bool {
    goes_along(found) && going.contains(&Id::global(Kind::Project, &found.id.project))
}

/// The action that deletes one.
pub(crate) fn action(found: &Found) -> Action {
    let resource = resource(&found.id).expect("only Incus objects are found");
    Action {
        id: found.id.clone(),
        domain: domain(found),
        verb: Verb::Delete,
        fields: Vec::new(),
        impact: Impact::Live,
        note: String::new(),
        heavy: found.instance.as_ref().is_some_and(|instance| instance.vm),
        calls: resource.delete(found),
        after: Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resources::fields::Marks;
    use crate::resources::{FoundInstance, Status};

    fn found(id: Id, needs: &[Id]) -> Found {
        Found {
            id,
            marks: Some(Marks { infra: "home".into(), domain: "pro".into(), ..Marks::default() }),
            fields: super::super::fields::Fields::new(),
            protected: false,
            needs: needs.to_vec(),
            instance: None,
        }
    }

    fn project() -> Id {
        Id::global(Kind::Project, "pro")
    }

    fn bridge() -> Id {
        Id::global(Kind::Network, "net-pro")
    }

    fn dev() -> Id {
        Id::within(Kind::Instance, "pro", "pro-dev")
    }

    fn volume() -> Id {
        volume::id("pro", "default", "pro-dev-data")
    }

    /// A domain with one machine, whose volume holds data, and a bridge that the project's `default` profile needs.
    fn live() -> Live {
        let mut machine = found(dev(), &[project(), bridge(), volume()]);
        machine.instance = Some(FoundInstance { vm: false, root_pool: None, status: Status::Running });
        let profile = Id::within(Kind::Profile, "pro", "default");
        let all = [
            found(project(), &[]),
            found(bridge(), &[]),
            found(profile, &[project(), bridge()]),
            found(volume(), &[project()]),
            machine,
        ];
        Live { found: all.into_iter().map(|found| (found.id.clone(), found)).collect(), ..Live::empty() }
    }

    fn deleted(removal: &Removal<'_>) -> Vec<Id> {
        removal.delete.iter().map(|found| found.id.clone()).collect()
    }

    fn held(removal: &Removal<'_>) -> Vec<(Id, Why)> {
        let mut held: Vec<_> = removal.held.iter().map(|held| (held.id.clone(), held.why)).collect();
        held.sort();
        held
    }

    fn pruned(live: &Live, prune: bool) -> Removal<'_> {
        targeted(live, prune, &[])
    }

    fn targeted<'a>(live: &'a Live, prune: bool, target: &[&str]) -> Removal<'a> {
        let desired = Desired { infra: "home".into(), ..Desired::default() };
        let target = target.iter().map(ToString::to_string).collect();
        orphans(&[], &desired, live, &Options { prune, target, ..Options::default() })
    }

    #[test]
    fn only_what_was_named_is_pruned() {
        let mut live = live();
        live.found.remove(&volume());
        assert_eq!(deleted(&targeted(&live, true, &["perso"])), []);
        assert_eq!(deleted(&targeted(&live, true, &["pro-dev"])), [dev()]);
        assert_eq!(deleted(&targeted(&live, true, &["perso", "pro"])), [dev(), bridge(), project()]);
    }

    #[test]
    fn a_volume_stays_and_its_project_and_bridge_with_it() {
        let live = live();
        let all_kept = [(project(), Why::Kept), (bridge(), Why::Kept), (volume(), Why::Kept)];
        for removal in [pruned(&live, true), named(&live, "home", |_| true, true)] {
            assert_eq!((deleted(&removal), held(&removal)), (vec![dev()], all_kept.to_vec()));
        }
        let told = &pruned(&live, false).held;
        let of_volume = told.iter().find(|held| held.id == volume()).unwrap();
        assert_eq!(
            of_volume.message,
            "not in the file; kept with its data; `incus storage volume delete default pro-dev-data --project pro` deletes it"
        );
    }

    #[test]
    fn a_filter_that_left_the_file_goes_though_its_domain_is_protected() {
        let mut live = live();
        let mut acl = found(Id::global(Kind::Acl, "net-pro"), &[]);
        acl.protected = true;
        live.found = [(acl.id.clone(), acl)].into();
        assert_eq!(deleted(&pruned(&live, true)).len(), 1);
        assert_eq!(held(&pruned(&live, false))[0].1, Why::Orphan);
        assert_eq!(
            held(&named(&live, "home", |_| true, false))[0].1,
            Why::Protected,
            "but not by a word for everything"
        );
    }

    #[test]
    fn without_a_volume_the_whole_domain_goes() {
        let mut live = live();
        live.found.remove(&volume());
        assert_eq!(deleted(&pruned(&live, true)), [dev(), bridge(), project()]);
    }

    #[test]
    fn whoever_deletes_a_machine_is_told_of_the_volume_it_leaves() {
        let live = live();
        let removal = named(&live, "home", |found| found.id == dev(), false);
        assert_eq!((deleted(&removal), held(&removal)), (vec![dev()], vec![(volume(), Why::Kept)]));
    }

    #[test]
    fn what_a_protected_machine_needs_is_protected_with_it() {
        let mut live = live();
        live.found.remove(&volume());
        live.found.get_mut(&dev()).unwrap().protected = true;
        let removal = pruned(&live, true);
        assert_eq!(deleted(&removal), []);
        assert!(removal.held.iter().all(|held| held.why == Why::Protected), "{:?}", removal.held);
    }

    #[test]
    fn what_somebody_else_made_in_the_project_is_told_before_the_volume() {
        let mut live = live();
        let mut other = found(Id::within(Kind::Instance, "pro", "pet"), &[project()]);
        other.marks = None;
        live.found.insert(other.id.clone(), other);
        let removal = pruned(&live, true);
        let of_project = removal.held.iter().find(|held| held.id == project()).unwrap();
        assert_eq!((of_project.why, of_project.message.as_str()), (Why::Refused, "still needed by instance pet"));
    }
}
