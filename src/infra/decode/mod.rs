//! From the tree of a file to the typed model: types, known keys and defaults. What belongs together is in `rules/`.

pub(super) mod domain;
mod global;
pub(super) mod machine;
mod policy;
#[cfg(test)]
mod tests;
mod values;

pub(crate) use domain::is_limit;
pub(crate) use values::bytes;

use indexmap::IndexMap;
use semver::{Version, VersionReq};

use super::at::{At, Fields, Log, quoted};
use super::model::{Infra, SharedVolume};
use super::node::Node;
use super::problem::{Path, Problem};

const KEYS: &[&str] = &["project_name", "requires_anklume", "global", "domains", "network_policies", "shared_volumes"];

/// The model that a tree describes, and everything that is wrong with it by itself. A wrong value is left out, so that
/// the rules can still be asked about the rest.
pub(super) fn decode(root: &Node) -> (Infra, Vec<Problem>) {
    let log = Log::default();
    let file = At::root(root, &log).fields(KEYS);
    version(&file);
    let infra = Infra {
        project_name: file
            .required("project_name", "write a name for this infrastructure: `project_name: home`")
            .and_then(At::text)
            .unwrap_or_default()
            .to_owned(),
        global: global::global(file.required("global", "write `global: {}` for the defaults")),
        domains: file
            .required("domains", "write `domains: {}` to begin with none")
            .map(|_| file.each("domains", domain::domain))
            .unwrap_or_default(),
        network_policies: file.get("network_policies").map(policy::policies).unwrap_or_default(),
        shared_volumes: file.each("shared_volumes", shared_volume),
    };
    drop(file);
    (infra, log.into_inner())
}

/// Is it about a file that is for another anklume?
pub(super) fn is_of_another_version(problem: &Problem) -> bool {
    problem.path == Path::of(["requires_anklume"]) && problem.message.starts_with(OTHER_VERSION)
}

const OTHER_VERSION: &str = "this is anklume ";

/// `requires_anklume: ">=0.2"`: is this binary one of those?
fn version(file: &Fields<'_>) {
    let Some((at, text)) = file.get("requires_anklume").and_then(|at| Some((at, at.filled()?))) else { return };
    let this = env!("CARGO_PKG_VERSION");
    match (VersionReq::parse(text), Version::parse(this)) {
        (Ok(wanted), Ok(version)) if !wanted.matches(&version) => {
            at.error(
                format!("{OTHER_VERSION}{this}, and the file asks for {}", quoted(text)),
                "install a version that fits, or change `requires_anklume`",
            );
        }
        (Err(_), _) => {
            at.error(format!("{} is not a version requirement", quoted(text)), "write for example `\">=0.1, <2\"`");
        }
        _ => {}
    }
}

fn shared_volume(at: &At<'_>) -> SharedVolume {
    let map = at.fields(&["source", "path", "shift", "propagate", "consumers"]);
    let help = "name at least one domain or machine: `consumers: {pro: rw}`";
    let consumers = match map.required("consumers", help) {
        Some(at) => at
            .pairs()
            .iter()
            .map(|pair| (pair.key().to_owned(), pair.word(&[("ro", false), ("rw", true)]).unwrap_or_default()))
            .collect(),
        None => IndexMap::new(),
    };
    SharedVolume {
        source: map.text("source"),
        path: map.text("path"),
        shift: map.flag("shift", true),
        propagate: map.flag("propagate", false),
        consumers,
    }
}
