//! What carries our mark and has left the file: shown, and deleted when that was asked for.

use std::collections::{BTreeMap, BTreeSet};

use super::sides::Sides;
use super::target::Target;
use super::weigh::{AllWeighed, after};
use super::{Found, aside, needs_of, resource, volume};
use crate::incus::live::Live;
use crate::plan::{Action, Held, Id, Kind, Verb, Why};

/// What goes, and what stays though it left the file.
#[derive(Default)]
pub(crate) struct Removal<'a> {
    pub(crate) delete: Vec<&'a Found>,
    pub(crate) held: Vec<Held>,
}

/// The orphans of an infrastructure; what something else still needs may be among those to be deleted. With `--prune`
/// those of what was named go: that anything else waits for them is no reason to delete more.
/// What is in `left` is on its way, and none.
pub(super) fn orphans<'a>(sides: &Sides<'a>, left: &BTreeSet<Id>) -> Removal<'a> {
    let (desired, target) = (sides.desired, Target::new(sides));
    let is_orphan = |found: &&Found| {
        ours(found, &desired.infra)
            && sides.wanted_of(&found.id).is_none()
            && !left.contains(&found.id)
            && !desired.disabled.contains(found.domain())
    };
    let orphans = sides.live.found.values().filter(is_orphan).filter(|found| !goes_along(found));
    let (volumes, orphans): (Vec<&Found>, Vec<&Found>) = orphans.partition(|found| is_volume(found));
    let (aside, orphans): (Vec<&Found>, Vec<&Found>) = orphans.into_iter().partition(|found| found.is_set_aside());
    let parts = |volume: &&Found| volume.id.name.ends_with(volume::PART);
    let (parts, volumes): (Vec<&Found>, Vec<&Found>) = volumes.into_iter().partition(parts);
    let kept = volumes.into_iter().map(|volume| kept(volume, "not in the file; kept with its data"));
    let kept = kept.chain(parts.into_iter().map(cut_off)).chain(aside.into_iter().map(aside::held));
    let goes = |found: &&Found| sides.options.prune && !stays(found) && target.names(found.domain(), &found.id);
    let (delete, stay): (Vec<&Found>, Vec<&Found>) = orphans.into_iter().partition(goes);
    Removal { delete, held: kept.chain(stay.into_iter().map(not_pruned)).collect() }
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
    Removal { delete, held }.without_needed(&users_now(live))
}

/// All that is ours, whatever the file says. `force` is the word for what is protected, `volumes` that for data.
pub(super) fn everything<'a>(live: &'a Live, infra: &str, force: bool, volumes: bool) -> Removal<'a> {
    let all = live.found.values().filter(|found| ours(found, infra) && !goes_along(found));
    let (kept, all): (Vec<&Found>, Vec<&Found>) = all.partition(|found| is_volume(found) && !volumes);
    // A volume has no protection of its own: it has that of its domain.
    let domain = |found: &Found| live.found.get(&Id::global(Kind::Project, &found.id.project));
    let of_protected = |found: &Found| is_volume(found) && domain(found).is_some_and(|domain| domain.protected);
    let stays = |found: &&Found| !force && (found.protected || of_protected(found));
    let (stay, delete): (Vec<&Found>, Vec<&Found>) = all.into_iter().partition(stays);
    let kept = kept
        .into_iter()
        .map(|volume| held(volume, Why::Kept, "kept with its data; `anklume flush --volumes` deletes it too".into()));
    let protected = |found| held(found, Why::Protected, "protected; `anklume flush --force` deletes it too".into());
    let held = kept.chain(stay.into_iter().map(protected)).collect();
    Removal { delete, held }.without_needed(&users_now(live))
}

/// Who needs what.
type Users<'a> = BTreeMap<Id, Vec<&'a Id>>;

fn grouped<'a>(pairs: impl Iterator<Item = (Id, &'a Id)>) -> Users<'a> {
    let mut users = Users::new();
    for (need, user) in pairs {
        users.entry(need).or_default().push(user);
    }
    users
}

/// Who needs what as things stand.
fn users_now(live: &Live) -> Users<'_> {
    grouped(live.found.values().flat_map(|user| user.needs.iter().map(|need| (need.clone(), &user.id))))
}

/// Who will need what, once the plan is done.
pub(super) fn users_then<'a>(sides: &Sides<'a>, all: &AllWeighed<'_>) -> Users<'a> {
    let standing = sides.live.found.values().flat_map(|found| {
        let needs =
            if all.contains_key(&found.id) { needs_of(&found.id, after(all, found)) } else { found.needs.clone() };
        needs.into_iter().map(|need| (need, &found.id))
    });
    let new = sides.wanted.iter().filter(|wanted| !sides.live.found.contains_key(&wanted.id));
    let new = new.flat_map(|wanted| wanted.needs.iter().map(|need| (need.clone(), &wanted.id)));
    grouped(standing.chain(new))
}

fn ours(found: &Found, infra: &str) -> bool {
    found.marks.as_ref().is_some_and(|marks| marks.infra == infra)
}

/// A project's `default` profile can be neither made nor deleted: it goes with its project.
fn goes_along(found: &Found) -> bool {
    is_default_profile(&found.id)
}

fn is_default_profile(id: &Id) -> bool {
    id.kind == Kind::Profile && id.name == "default"
}

fn is_volume(found: &Found) -> bool {
    found.id.kind == Kind::Volume
}

fn kept(volume: &Found, how: &str) -> Held {
    let by_hand = volume::deletion_by_hand(&volume.id);
    held(volume, Why::Kept, format!("{how}; `{by_hand}` deletes it"))
}

fn cut_off(volume: &Found) -> Held {
    let by_hand = volume::deletion_by_hand(&volume.id);
    held(
        volume,
        Why::Unfinished,
        format!("a copy that was cut off; whatever made it goes on, or `{by_hand}` deletes it"),
    )
}

fn held(found: &Found, why: Why, message: String) -> Held {
    Held { id: found.id.clone(), domain: found.domain().to_owned(), why, fields: Vec::new(), message }
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
    let name = if found.id.kind == Kind::Instance { found.id.name.clone() } else { found.domain().to_owned() };
    held(found, Why::Protected, format!("protected; `anklume destroy {name} --force` deletes it"))
}

impl Removal<'_> {
    /// Takes back every deletion of something that something else still needs, until nothing is left to take back: a
    /// machine that stays keeps its profiles, its bridge and its project.
    pub(super) fn without_needed(mut self, users: &Users<'_>) -> Self {
        loop {
            let going: BTreeSet<&Id> = self.delete.iter().map(|found| &found.id).collect();
            let stays = |user: &&&Id| !going.contains(*user) && !goes_with(user, &going);
            let reasons: BTreeMap<&Id, Why> = self.held.iter().map(|held| (&held.id, held.why)).collect();
            let user_of = |found: &Found| {
                let staying = users.get(&found.id).into_iter().flatten().filter(stays);
                // Rather one that need not stay.
                staying.min_by_key(|user| is_kept(user, &reasons))
            };
            let (go, stay): (Vec<_>, Vec<_>) = self.delete.iter().copied().partition(|found| user_of(found).is_none());
            let needed = |found: &&Found| user_of(found).map(|user| still_needed(found, user, reason(user, &reasons)));
            let held: Vec<Held> = stay.iter().filter_map(needed).collect();
            self.held.extend(held);
            self.delete = go;
            if stay.is_empty() {
                self.delete.sort_by_key(|found| std::cmp::Reverse((found.id.kind, found.id.clone())));
                return self;
            }
        }
    }
}

/// Does this stay as it always does: a volume with its data, and what of its project cannot go before it?
fn is_kept(id: &Id, reasons: &BTreeMap<&Id, Why>) -> bool {
    let kept = |id: &Id| reasons.get(id) == Some(&Why::Kept);
    kept(id) || is_default_profile(id) && kept(&Id::global(Kind::Project, &id.project))
}

/// What is needed stays for the same reason as the one that needs it, where that one left the file too.
fn reason(user: &Id, reasons: &BTreeMap<&Id, Why>) -> Why {
    match reasons.get(user) {
        Some(Why::Protected) => Why::Protected,
        _ if is_kept(user, reasons) => Why::Kept,
        _ => Why::Refused,
    }
}

fn still_needed(found: &Found, user: &Id, why: Why) -> Held {
    // A bridge is no project's: say whose machine it is.
    let place = match (found.id.kind, user.kind) {
        (Kind::Network, Kind::Instance) => format!(" of {}", user.project),
        _ => String::new(),
    };
    held(found, why, format!("still needed by {user}{place}"))
}

/// The `default` profile of a project that goes.
fn goes_with(id: &Id, going: &BTreeSet<&Id>) -> bool {
    is_default_profile(id) && going.contains(&Id::global(Kind::Project, &id.project))
}

/// The action that deletes one.
pub(crate) fn action(found: &Found) -> Action {
    let resource = resource(&found.id).expect("only Incus objects are found");
    // A volume has no way to go but this one, and is among what goes only where that was said in so many words.
    let calls = if is_volume(found) { vec![volume::deletion(&found.id)] } else { resource.delete(found) };
    Action {
        domain: found.domain().to_owned(),
        heavy: found.instance.as_ref().is_some_and(|instance| instance.vm),
        ..Action::bare(found.id.clone(), Verb::Delete, calls)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resolve::desired::Desired;
    use crate::resources::fields::Marks;
    use crate::resources::planner::Options;
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
        machine.instance = Some(FoundInstance::standing(Status::Running));
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

    /// What is deleted, and what is not.
    type Told = (Vec<Id>, Vec<Held>);

    fn told(removal: Removal<'_>) -> Told {
        let mut held = removal.held;
        held.sort_by(|a, b| a.id.cmp(&b.id));
        (removal.delete.iter().map(|found| found.id.clone()).collect(), held)
    }

    fn pruned(live: &Live, prune: bool) -> Told {
        targeted(live, prune, &[])
    }

    fn targeted(live: &Live, prune: bool, target: &[&str]) -> Told {
        let desired = Desired { infra: "home".into(), ..Desired::default() };
        let target = target.iter().map(ToString::to_string).collect();
        let options = Options { prune, target, ..Options::default() };
        let sides = Sides::new(&desired, live, None, &options, &[]);
        let removal = orphans(&sides, &BTreeSet::new());
        told(removal.without_needed(&users_then(&sides, &AllWeighed::new())))
    }

    fn reasons(held: &[Held]) -> Vec<(Id, Why)> {
        held.iter().map(|held| (held.id.clone(), held.why)).collect()
    }

    #[test]
    fn only_what_was_named_is_pruned() {
        let mut live = live();
        live.found.remove(&volume());
        assert_eq!(targeted(&live, true, &["perso"]).0, []);
        assert_eq!(targeted(&live, true, &["pro-dev"]).0, [dev()]);
        assert_eq!(targeted(&live, true, &["perso", "pro"]).0, [dev(), bridge(), project()]);
    }

    #[test]
    fn a_volume_stays_and_its_project_and_bridge_with_it() {
        let live = live();
        let all_kept = [(project(), Why::Kept), (bridge(), Why::Kept), (volume(), Why::Kept)];
        for (deleted, held) in [pruned(&live, true), told(named(&live, "home", |_| true, true))] {
            assert_eq!((deleted, reasons(&held)), (vec![dev()], all_kept.to_vec()));
        }
        let (_, told) = pruned(&live, false);
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
        assert_eq!(pruned(&live, true).0.len(), 1);
        assert_eq!(pruned(&live, false).1[0].why, Why::Orphan);
        let (_, held) = told(named(&live, "home", |_| true, false));
        assert_eq!(held[0].why, Why::Protected, "but not by a word for everything");
    }

    #[test]
    fn without_a_volume_the_whole_domain_goes() {
        let mut live = live();
        live.found.remove(&volume());
        assert_eq!(pruned(&live, true).0, [dev(), bridge(), project()]);
    }

    #[test]
    fn whoever_deletes_a_machine_is_told_of_the_volume_it_leaves() {
        let live = live();
        let (deleted, held) = told(named(&live, "home", |found| found.id == dev(), false));
        assert_eq!((deleted, reasons(&held)), (vec![dev()], vec![(volume(), Why::Kept)]));
    }

    #[test]
    fn what_a_protected_machine_needs_is_protected_with_it() {
        let mut live = live();
        live.found.remove(&volume());
        live.found.get_mut(&dev()).unwrap().protected = true;
        let (deleted, held) = pruned(&live, true);
        assert_eq!(deleted, []);
        assert!(held.iter().all(|held| held.why == Why::Protected), "{held:?}");
    }

    #[test]
    fn what_somebody_else_made_in_the_project_is_told_before_the_volume() {
        let mut live = live();
        let mut other = found(Id::within(Kind::Instance, "pro", "pet"), &[project()]);
        other.marks = None;
        live.found.insert(other.id.clone(), other);
        let (_, held) = pruned(&live, true);
        let of_project = held.iter().find(|held| held.id == project()).unwrap();
        assert_eq!((of_project.why, of_project.message.as_str()), (Why::Refused, "still needed by instance pet"));
    }
}
