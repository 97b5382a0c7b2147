//! Images: fetched once into the cache that all domains share, before the instances that need them.

use crate::incus::call::Call;
use crate::plan::{Action, Id, Kind, Verb};

/// The alias that anklume keeps an image of a remote under. Aliases of the remote itself are not copied: those of two
/// remotes could be the same, and one alias cannot stand for a container and a virtual machine image at once.
pub(crate) fn local_name(image: &str, vm: bool) -> String {
    match image.split_once(':') {
        Some((remote, alias)) if remote != "local" => {
            format!("anklume/{remote}/{alias}{}", if vm { "/vm" } else { "" })
        }
        Some((_, alias)) => alias.to_owned(),
        None => image.to_owned(),
    }
}

/// Is it one to be fetched from a remote, rather than one that is here already?
pub(crate) fn is_remote(image: &str) -> bool {
    image.split_once(':').is_some_and(|(remote, _)| remote != "local")
}

/// What the plan calls it.
pub(crate) fn id(image: &str, vm: bool) -> Id {
    Id::global(Kind::Image, if vm { format!("{image} (vm)") } else { image.to_owned() })
}

/// The action that brings it here, from its remote or from the files of the image repository.
pub(super) fn creation(image: &str, vm: bool, stored: Option<&[String]>) -> Action {
    let (note, call) = match stored {
        Some(files) => ("from the image repository", import(files, image, vm)),
        None => ("fetched once for all domains, kept up to date", fetch(image, vm)),
    };
    Action { note: note.into(), ..Action::bare(id(image, vm), Verb::Create, vec![call]) }
}

/// The call that fetches it and keeps it up to date.
pub(crate) fn fetch(image: &str, vm: bool) -> Call {
    let alias = local_name(image, vm);
    let mut args = vec!["image", "copy", image, "local:", "--alias", &alias, "--auto-update", "--quiet"];
    args.extend(["--target-project", "default"]);
    if vm {
        args.push("--vm");
    }
    Call::incus(args)
}

/// The call that takes it from files of the image repository.
pub(crate) fn import(files: &[String], image: &str, vm: bool) -> Call {
    let alias = local_name(image, vm);
    let words = ["image", "import"].map(str::to_owned).into_iter().chain(files.iter().cloned());
    Call::incus(words.chain(["--alias".to_owned(), alias, "--project".into(), "default".into()]))
}

/// The call that asks its remote whether there is such an image.
pub(crate) fn ask(image: &str, vm: bool) -> Call {
    let mut args = vec!["image", "info", image];
    if vm {
        args.push("--vm");
    }
    Call::incus(args)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_of_a_remote_has_one_alias_of_its_own_per_type() {
        assert_eq!(local_name("images:debian/13", false), "anklume/images/debian/13");
        assert_eq!(local_name("images:debian/13", true), "anklume/images/debian/13/vm");
        assert_eq!(local_name("golden", false), "golden");
        assert_eq!(local_name("local:golden", true), "golden");
        assert!(!is_remote("local:golden") && is_remote("images:x"));
    }
}
