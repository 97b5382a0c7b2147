//! Images: those of the one remote, and the cache.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::state::{Image, State};
use super::words::Words;
use super::{Answer, Change};

/// What the remote `images` has, each for containers and for virtual machines.
const THERE: [&str; 5] = ["debian/13", "debian/13/cloud", "alpine/3.20", "alpine/3.22", "ubuntu/24.04"];

fn of_remote(image: &str) -> Result<&'static str, String> {
    let (remote, alias) = image.split_once(':').ok_or("a remote was to be named")?;
    if remote != "images" {
        return Err(format!("The remote \"{remote}\" doesn't exist"));
    }
    let known = THERE.into_iter().find(|there| *there == alias);
    known.ok_or_else(|| "Failed getting image: The requested image couldn't be found".to_owned())
}

/// `incus image info`
pub(super) fn info(image: &str, _vm: bool) -> Answer {
    of_remote(image).map(|_| Vec::new())
}

/// `incus image copy … --alias …`
pub(super) fn copy(state: &mut State, words: &Words<'_>, image: &str) -> Change {
    assert_eq!(words.option("--target-project"), Some("default"), "the cache is the one of project default");
    let (there, vm) = (of_remote(image)?, words.has("--vm"));
    let alias = words.option("--alias").expect("an image is found again by its alias");
    if state.images.iter().any(|image| image.aliases.contains(alias)) {
        return Err(format!("Failed remote image download: Alias already exists: {alias}"));
    }
    let fingerprint = format!("{there}{}", if vm { "-vm" } else { "" });
    match state.images.iter_mut().find(|image| image.fingerprint == fingerprint) {
        Some(image) => {
            image.aliases.insert(alias.to_owned());
        }
        None => state.images.push(Image { fingerprint, aliases: BTreeSet::from([alias.to_owned()]), vm }),
    }
    Ok(())
}

/// The image of a `create`: an alias of the cache.
pub(super) fn find<'a>(state: &'a State, name: &str) -> Result<&'a Image, String> {
    let found = state.images.iter().find(|image| image.aliases.contains(name) || image.fingerprint == name);
    found.ok_or_else(|| format!("Image \"{name}\" not found"))
}

pub(super) fn listing(state: &State) -> Value {
    let aliases = |image: &Image| image.aliases.iter().map(|name| json!({"name": name})).collect::<Value>();
    let one = |image: &Image| json!({"fingerprint": image.fingerprint, "aliases": aliases(image)});
    state.images.iter().map(one).collect()
}

impl State {
    /// An image that was put there by hand.
    pub(crate) fn put_image(&mut self, alias: &str, vm: bool) {
        let aliases = BTreeSet::from([alias.to_owned()]);
        self.images.push(Image { fingerprint: alias.to_owned(), aliases, vm });
    }
}
