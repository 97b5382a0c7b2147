//! Copies of machines that are on their way: they have a name of their own until they are whole and in their place, and a
//! plan leaves them, and what they are made from, to the command that makes them.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::fields::mark;
use super::{Found, Wanted, volume};
use crate::incus::live::Live;
use crate::plan::{Held, Id, Kind, Why};

/// What a host name label holds, and so an instance name.
const LONGEST: usize = 63;
const END: &str = "-anklume-part";
const OLD_END: &str = "-anklume-old";

/// What is written on the copy. Whatever cuts a run off, this tells where it stood.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Journey {
    /// What the machine will be called.
    pub(crate) name: String,
    /// What it is a copy of: project and name; nothing for one that comes from a backup.
    pub(crate) from: Option<(String, String)>,
    /// The source goes once the copy is complete.
    pub(crate) moves: bool,
    /// When the source was last started: after that, the copy is one of what it was.
    pub(crate) used: String,
    /// It was found to be the same as its source.
    pub(crate) complete: bool,
    /// The volumes that go along.
    pub(crate) volumes: Vec<Load>,
    /// What is to be typed to go on.
    pub(crate) by: String,
}

/// A volume that goes along.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Load {
    /// What the machine calls it.
    pub(crate) device: String,
    /// Pool and name, as in an `Id`.
    pub(crate) from: String,
    pub(crate) to: String,
    /// The disk that it is for the machine, without these two.
    #[serde(default)]
    pub(crate) keys: BTreeMap<String, String>,
}

impl Journey {
    /// As it is written.
    pub(crate) fn text(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }

    /// What a listed thing carries. One that cannot be read still says that the thing is on its way.
    pub(super) fn read(listed: &Value) -> Option<Self> {
        let text = listed["config"][mark::JOURNEY].as_str()?;
        Some(serde_json::from_str(text).unwrap_or_default())
    }

    /// The instance that it is a copy of.
    pub(crate) fn source(&self) -> Option<Id> {
        self.from.as_ref().map(|(project, name)| Id::within(Kind::Instance, project, name))
    }
}

/// The copy of a machine that is to stand there, until it is complete.
pub(crate) fn part(id: &Id) -> Id {
    called(id, END)
}

/// A machine that is made anew, as it is kept until the new one is healthy.
pub(crate) fn old(id: &Id) -> Id {
    called(id, OLD_END)
}

fn called(id: &Id, end: &str) -> Id {
    let start: String = id.name.chars().take(LONGEST - end.len()).collect();
    Id::within(id.kind, &id.project, format!("{}{end}", start.trim_end_matches('-')))
}

/// Is it a copy that is not in its place yet, or an old machine that is kept for a while?
pub(crate) fn is_part(found: &Found) -> bool {
    found.id.kind == Kind::Instance && [END, OLD_END].iter().any(|end| found.id.name.ends_with(end))
}

/// What a plan neither makes nor changes nor deletes.
#[derive(Debug, Default)]
pub(super) struct Strays {
    pub(super) left: BTreeSet<Id>,
    pub(super) held: Vec<Held>,
}

impl Strays {
    /// Machines that stand in another domain than the file has them in, and copies that were cut off. With `prune` one that
    /// is not protected is deleted where it stands, as the plan shows, and made anew.
    pub(super) fn of(all: &[Wanted], live: &Live, infra: &str, prune: bool) -> Self {
        let mut strays = Self::default();
        let ours = |found: &&Found| found.marks.as_ref().is_some_and(|marks| marks.infra == infra);
        let parts = live.found.values().filter(ours).filter(|found| is_part(found));
        for part in parts {
            strays.left.insert(part.id.clone());
            strays.held.push(cut_off(part));
        }
        let of_file: BTreeSet<&Id> = all.iter().map(|wanted| &wanted.id).collect();
        for wanted in all.iter().filter(|wanted| wanted.id.kind == Kind::Instance) {
            if live.found.contains_key(&wanted.id) {
                continue;
            }
            let source = elsewhere(&wanted.id, live, infra).filter(|found| !of_file.contains(&found.id));
            let source = source.filter(|found| found.protected || !prune);
            if let Some(source) = source {
                strays.leave(all, wanted, Some(source));
                strays.held.push(moved(wanted, source));
            } else if [part(&wanted.id), old(&wanted.id)].iter().any(|id| strays.left.contains(id)) {
                strays.leave(all, wanted, None);
            }
        }
        strays
    }

    /// The machine, where it stands and where it is to stand, its volumes, and its name in the DNS zone: it has no address
    /// there yet.
    fn leave(&mut self, all: &[Wanted], wanted: &Wanted, source: Option<&Found>) {
        let is_name = |other: &&Wanted| {
            let of_it = || other.id.name.rsplit('/').next() == Some(wanted.id.name.as_str());
            other.id.kind == Kind::Record && other.domain == wanted.domain && of_it()
        };
        self.left.extend(all.iter().filter(is_name).map(|record| record.id.clone()));
        let volumes = |needs: &[Id]| needs.iter().filter(|id| id.kind == Kind::Volume).cloned().collect::<Vec<_>>();
        self.left.insert(wanted.id.clone());
        self.left.extend(volumes(&wanted.needs));
        if let Some(source) = source {
            self.left.insert(source.id.clone());
            self.left.extend(volumes(&source.needs));
        }
    }
}

/// The machine of this name that stands in another project.
pub(crate) fn elsewhere<'a>(id: &Id, live: &'a Live, infra: &str) -> Option<&'a Found> {
    let ours = |found: &&Found| found.marks.as_ref().is_some_and(|marks| marks.infra == infra);
    let of_name = |found: &&Found| found.id.kind == Kind::Instance && found.id.name == id.name && found.id != *id;
    live.found.values().find(|found| of_name(found) && ours(found))
}

fn moved(wanted: &Wanted, source: &Found) -> Held {
    let (from, name) = (source.domain(), &wanted.id.name);
    Held {
        id: wanted.id.clone(),
        domain: wanted.domain.clone(),
        why: Why::Moved,
        fields: Vec::new(),
        message: format!("stands in the domain `{from}`; `anklume move {name}` brings it here with its data"),
    }
}

fn cut_off(found: &Found) -> Held {
    let by = found.marks.as_ref().and_then(|marks| marks.journey.as_ref()).map(|journey| journey.by.as_str());
    let goes_on = by.map(|by| format!("`{by}` goes on from there, ")).unwrap_or_default();
    let what = if found.id.name.ends_with(OLD_END) {
        "kept until the one that is made in its place is healthy, by a run that was cut off"
    } else {
        "a copy that was cut off"
    };
    Held {
        id: found.id.clone(),
        domain: found.domain().to_owned(),
        why: Why::Unfinished,
        fields: Vec::new(),
        message: format!("{what}; {goes_on}`anklume destroy {} --force` deletes it", found.id.name),
    }
}

/// Where a volume is copied to, until it is complete.
pub(crate) fn volume_part(id: &Id) -> Id {
    Id::within(id.kind, &id.project, format!("{}{}", id.name, volume::PART))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resources::Resource;
    use crate::resources::instance::Instances;
    use serde_json::json;

    fn instance(project: &str, name: &str, journey: Option<&Journey>) -> Found {
        let mut config = json!({"user.anklume.infra": "lab", "user.anklume.domain": project});
        config["user.anklume.journey"] = journey.map_or(Value::Null, |journey| json!(journey.text()));
        let listed = json!({"name": name, "project": project, "type": "container", "status": "Stopped",
            "profiles": [], "config": config,
            "devices": {"data": {"type": "disk", "pool": "p", "source": format!("{name}-data"), "path": "/d"}}});
        Instances.found(&listed).unwrap()
    }

    fn live(found: impl IntoIterator<Item = Found>) -> Live {
        Live { found: found.into_iter().map(|found| (found.id.clone(), found)).collect(), ..Live::empty() }
    }

    /// The machine, as the file has it in this domain.
    fn wanted(project: &str, name: &str) -> Wanted {
        let found = instance(project, name, None);
        Wanted { needs: found.needs, ..Wanted::bare(found.id, project, found.fields) }
    }

    fn told(strays: &Strays) -> Vec<String> {
        strays.held.iter().map(|held| format!("{:?} {}/{}", held.why, held.id.project, held.id.name)).collect()
    }

    #[test]
    fn a_copy_has_a_name_that_fits() {
        let of = |name: &str| part(&Id::within(Kind::Instance, "pro", name)).name;
        assert_eq!(of("dev"), "dev-anklume-part");
        assert_eq!(of(&"m".repeat(63)).len(), 63);
    }

    #[test]
    fn a_machine_in_another_domain_is_left_where_it_is_with_its_volumes() {
        let live = live([instance("pro", "dev", None), instance("pro", "web", None)]);
        let strays = Strays::of(&[wanted("home", "dev"), wanted("pro", "web")], &live, "lab", false);
        assert_eq!(told(&strays), ["Moved home/dev"]);
        assert!(strays.held[0].message.contains("in the domain `pro`; `anklume move dev` brings"));
        let mut left: Vec<Id> = ["pro", "home"].map(|project| Id::within(Kind::Instance, project, "dev")).into();
        left.extend(["pro", "home"].map(|project| volume::id(project, "p", "dev-data")));
        assert_eq!(strays.left, left.into_iter().collect());
        assert!(Strays::of(&[wanted("home", "dev")], &live, "lab", true).left.is_empty(), "it goes, and is told to go");
        assert!(Strays::of(&[wanted("home", "dev")], &live, "other", false).left.is_empty(), "somebody else's");
    }

    #[test]
    fn a_copy_that_was_cut_off_is_no_machine_yet_and_keeps_the_place_of_one() {
        let journey = Journey { name: "dev".into(), by: "anklume move dev --to home".into(), ..Journey::default() };
        let live = live([instance("home", "dev-anklume-part", Some(&journey))]);
        let strays = Strays::of(&[wanted("home", "dev")], &live, "lab", false);
        assert_eq!(told(&strays), ["Unfinished home/dev-anklume-part"]);
        assert!(strays.held[0].message.contains("`anklume move dev --to home` goes on"), "{:?}", strays.held);
        assert!(strays.left.contains(&Id::within(Kind::Instance, "home", "dev")), "no empty one is made meanwhile");
    }

    #[test]
    fn an_old_machine_keeps_its_place_until_the_new_one_is_healthy() {
        let by = "anklume upgrade --rebuild dev";
        let journey = Journey { name: "dev".into(), by: by.into(), ..Journey::default() };
        let live = live([instance("pro", "dev-anklume-old", Some(&journey))]);
        let strays = Strays::of(&[wanted("pro", "dev")], &live, "lab", true);
        assert_eq!(told(&strays), ["Unfinished pro/dev-anklume-old"]);
        assert!(strays.held[0].message.contains(&format!("`{by}` goes on from there")), "{:?}", strays.held);
        assert!(strays.left.contains(&Id::within(Kind::Instance, "pro", "dev")), "no other one is made meanwhile");
    }

    #[test]
    fn what_is_written_on_a_copy_is_read_back() {
        let journey = Journey { from: Some(("pro".into(), "dev".into())), moves: true, ..Journey::default() };
        let found = instance("home", "dev-anklume-part", Some(&journey));
        assert_eq!(found.marks.unwrap().journey, Some(journey));
        let garbled = json!({"config": {"user.anklume.journey": "?"}});
        assert_eq!(Journey::read(&garbled), Some(Journey::default()));
    }
}
