//! What the file calls the image that a machine was made from.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::incus::call::Call;
use crate::incus::door::{CallError, Host, json};
use crate::plan::Id;
use crate::resources::fields::mark;
use crate::resources::instance;

/// The images of this host, and what its instances say of theirs.
#[derive(Debug, Clone, Default)]
pub(crate) struct Images {
    /// By fingerprint: what the file would call it.
    names: BTreeMap<String, String>,
    /// By project and instance: what it says itself.
    of: BTreeMap<(String, String), Told>,
}

#[derive(Debug, Clone, Default)]
struct Told {
    marked: Option<String>,
    fingerprint: Option<String>,
    /// `debian/trixie`, from the image's own properties.
    release: Option<String>,
}

/// What is known of an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Known {
    Named(String),
    /// It is no longer here, and was made for this release of this system.
    Guessed(String),
    Unknown,
}

impl Images {
    /// Asks Incus, and its program for the servers that it knows.
    pub(crate) async fn read(host: &impl Host) -> Result<Self, CallError> {
        let (images, instances, remotes) = (
            Call::query("/1.0/images?recursion=1&project=default"),
            Call::query(instance::LISTING),
            Call::incus(["remote", "list", "--format", "json"]),
        );
        let (images, instances, remotes) =
            tokio::join!(json(host, &images), json(host, &instances), json(host, &remotes));
        // Without its servers an image is called by its fingerprint.
        Ok(Self::parse(&images?, &instances?, &remotes.unwrap_or_default()))
    }

    fn parse(images: &Value, instances: &Value, remotes: &Value) -> Self {
        let servers = servers(remotes);
        let names = images
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|image| Some((image["fingerprint"].as_str()?.to_owned(), name(image, &servers)?)));
        let of = instances.as_array().into_iter().flatten().filter_map(|one| {
            let text = |key: &str| one["config"][key].as_str().filter(|text| !text.is_empty()).map(str::to_owned);
            let release = text("image.os").zip(text("image.release")).map(|(os, release)| format!("{os}/{release}"));
            let told = Told {
                marked: text(mark::IMAGE),
                fingerprint: text("volatile.base_image"),
                release: release.map(|release| release.to_lowercase()).filter(|text| !text.contains(' ')),
            };
            Some(((one["project"].as_str()?.to_owned(), one["name"].as_str()?.to_owned()), told))
        });
        Self { names: names.collect(), of: of.collect() }
    }

    /// The image of an instance.
    pub(super) fn of(&self, instance: &Id) -> Known {
        let Some(told) = self.of.get(&(instance.project.clone(), instance.name.clone())) else { return Known::Unknown };
        let by_name = || self.names.get(told.fingerprint.as_ref()?).cloned();
        match (told.marked.clone().or_else(by_name), &told.release) {
            (Some(name), _) => Known::Named(name),
            (None, Some(release)) => Known::Guessed(format!("images:{release}")),
            (None, None) => Known::Unknown,
        }
    }
}

/// The names of image servers by their addresses.
fn servers(remotes: &Value) -> BTreeMap<String, String> {
    let remotes = remotes.as_object().into_iter().flatten();
    let named = remotes.filter_map(|(name, remote)| {
        let address = remote["Addr"].as_str().or_else(|| remote["addr"].as_str())?;
        Some((address.trim_end_matches('/').to_owned(), name.clone()))
    });
    named.collect()
}

/// `images:debian/13`; what is on no server is called by its alias, or its fingerprint.
fn name(image: &Value, servers: &BTreeMap<String, String>) -> Option<String> {
    let aliases = || image["aliases"].as_array().into_iter().flatten().filter_map(|alias| alias["name"].as_str());
    let ours = aliases().find_map(|alias| {
        let (remote, rest) = alias.strip_prefix("anklume/")?.split_once('/')?;
        let vm = image["type"] == "virtual-machine";
        Some(format!("{remote}:{}", if vm { rest.strip_suffix("/vm")? } else { rest }))
    });
    let of_server = || {
        let source = &image["update_source"];
        let remote = servers.get(source["server"].as_str()?.trim_end_matches('/'))?;
        Some(format!("{remote}:{}", source["alias"].as_str().filter(|alias| !alias.is_empty())?))
    };
    let own = || aliases().next().map(str::to_owned);
    let name = ours.or_else(of_server).or_else(own).or_else(|| image["fingerprint"].as_str().map(str::to_owned));
    name.filter(|name| !name.contains(char::is_whitespace))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::Kind;
    use serde_json::json;

    #[test]
    fn an_image_is_called_by_its_mark_its_server_its_alias_or_its_release() {
        let source = json!({"server": "https://images.test/", "alias": "debian/13"});
        let images = json!([
            {"fingerprint": "aa", "type": "virtual-machine", "aliases": [{"name": "anklume/images/debian/13/vm"}]},
            {"fingerprint": "bb", "aliases": [], "update_source": source},
            {"fingerprint": "cc", "aliases": [{"name": "golden"}]},
            {"fingerprint": "dd", "aliases": []}]);
        let made = |name: &str, key: &str, value: &str| json!({"name": name, "project": "p", "config": {key: value, "image.os": "Debian", "image.release": "trixie"}});
        let base = |name: &str, value: &str| made(name, "volatile.base_image", value);
        let instances = json!([
            made("marked", "user.anklume.image", "images:x"), base("vm", "aa"), base("server", "bb"),
            base("alias", "cc"), base("bare", "dd"), base("gone", "ee"),
            {"name": "empty", "project": "p", "config": {}}]);
        let remotes = json!({"images": {"Addr": "https://images.test"}, "local": {"Addr": "unix://"}});
        let images = Images::parse(&images, &instances, &remotes);
        let of = |name: &str| images.of(&Id::within(Kind::Instance, "p", name));
        let named = |name: &str| Known::Named(name.into());
        assert_eq!((of("marked"), of("vm")), (named("images:x"), named("images:debian/13")));
        assert_eq!((of("server"), of("alias"), of("bare")), (named("images:debian/13"), named("golden"), named("dd")));
        assert_eq!((of("gone"), of("empty")), (Known::Guessed("images:debian/trixie".into()), Known::Unknown));
    }
}
