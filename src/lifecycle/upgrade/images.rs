//! Which machines were made from an older image than the one that is here now.

use serde_json::Value;

use crate::plan::{Id, Kind};
use crate::resolve::desired::Desired;
use crate::resources::image;

/// A machine, and what it was made from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Made {
    pub(crate) id: Id,
    pub(crate) domain: String,
    /// As in the file.
    pub(crate) name: String,
    pub(crate) image: String,
    /// The fingerprint of the image that it was made from; nothing where it is not made yet.
    pub(crate) from: Option<String>,
    /// That of the one that is here; nothing where none is.
    pub(crate) now: Option<String>,
    /// The day when the one that is here was made.
    pub(crate) day: String,
}

impl Made {
    /// Is a newer one here?
    pub(crate) fn is_older(&self) -> bool {
        self.from.is_some() && self.now.is_some() && self.from != self.now
    }
}

/// The machines of the file. `images` are those of the project `default`, `instances` those of all.
pub(crate) fn made(desired: &Desired, images: &Value, instances: &Value) -> Vec<Made> {
    let listed = |id: &Id| {
        let mut all = instances.as_array().into_iter().flatten();
        all.find(|one| one["name"] == id.name.as_str() && one["project"] == id.project.as_str())
    };
    let machines =
        desired.domains.iter().flat_map(|domain| domain.machines.iter().map(move |machine| (domain, machine)));
    let made = machines.map(|(domain, machine)| {
        let id = Id::within(Kind::Instance, &domain.project, &machine.instance);
        let from = listed(&id).map(|one| one["config"]["volatile.base_image"].as_str().unwrap_or_default().to_owned());
        let here = here(images, &machine.image, machine.vm);
        let text = |key: &str| here.and_then(|here| here[key].as_str()).map(str::to_owned);
        Made {
            id,
            domain: domain.name.clone(),
            name: machine.name.clone(),
            image: machine.image.clone(),
            from,
            now: text("fingerprint"),
            day: text("created_at").unwrap_or_default().chars().take("2026-01-31".len()).collect(),
        }
    });
    made.collect()
}

/// The image that a new machine would be made from: by its alias, or by the beginning of its fingerprint.
fn here<'v>(images: &'v Value, image: &str, vm: bool) -> Option<&'v Value> {
    let name = image::local_name(image, vm);
    let all = || images.as_array().into_iter().flatten();
    let of_type = all().filter(|one| (one["type"] == "virtual-machine") == vm);
    let is_called = |one: &&Value| {
        let mut aliases = one["aliases"].as_array().into_iter().flatten();
        aliases.any(|alias| alias["name"] == name.as_str())
    };
    let starts_so = |one: &&Value| one["fingerprint"].as_str().is_some_and(|print| print.starts_with(&name));
    of_type.clone().find(is_called).or_else(|| of_type.clone().find(starts_so))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::infra::model::Machine;
    use crate::resolve::sample::{domain, infra, machine, sound};
    use serde_json::json;

    #[test]
    fn a_machine_is_older_where_its_image_has_another_fingerprint_now() {
        let of = |image: &str| Machine { os_image: Some(image.into()), ..machine() };
        let machines =
            [("dev", of("images:debian/13")), ("web", of("golden")), ("old", of("abcd")), ("new", machine())];
        let desired = sound(&infra([("pro", domain(machines))]));
        let images = json!([
            {"fingerprint": "bb", "type": "container", "created_at": "2026-11-01T00:00:00Z",
             "aliases": [{"name": "anklume/images/debian/13"}]},
            {"fingerprint": "cc", "type": "virtual-machine", "aliases": [{"name": "golden"}]},
            {"fingerprint": "abcdef", "type": "container", "aliases": []}]);
        let instance =
            |name: &str, base: &str| json!({"name": name, "project": "pro", "config": {"volatile.base_image": base}});
        let instances = json!([instance("dev", "aa"), instance("web", "cc"), instance("old", "abcdef")]);
        let told = made(&desired, &images, &instances);
        let told: Vec<_> = told.iter().map(|made| (made.name.as_str(), made.is_older(), made.now.as_deref())).collect();
        let new = ("new", false, Some("bb"));
        assert_eq!(told, [("dev", true, Some("bb")), ("web", false, None), ("old", false, Some("abcdef")), new]);
    }
}
