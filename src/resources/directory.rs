//! Directories of the host that machines see: made before the machines that need them, and never deleted.

use std::collections::BTreeMap;

use crate::incus::call::Call;
use crate::plan::{Action, Id, Impact, Kind, Verb};
use crate::resolve::desired::Desired;

/// What the plan calls one.
pub(crate) fn id(path: &str) -> Id {
    Id::global(Kind::Directory, path)
}

/// Every directory that the file asks for, with the domain that it belongs to; none for a shared one.
pub(crate) fn wanted(desired: &Desired) -> BTreeMap<&str, &str> {
    let mut wanted = BTreeMap::new();
    for domain in &desired.domains {
        for directory in domain.machines.iter().flat_map(|machine| &machine.directories) {
            let owner = if directory.shared { "" } else { domain.name.as_str() };
            wanted.entry(directory.path.as_str()).or_insert(owner);
        }
    }
    wanted
}

/// The action that makes one, with the directories above it.
pub(crate) fn creation(path: &str, domain: &str) -> Action {
    Action {
        id: id(path),
        domain: domain.to_owned(),
        verb: Verb::Create,
        fields: Vec::new(),
        impact: Impact::Live,
        note: if domain.is_empty() { "shared; kept for good".into() } else { "kept for good".into() },
        heavy: false,
        // Its owner is root: a container that sees the host's owners has its own root write there.
        calls: vec![Call::run("mkdir", ["-p", "-m", "0755", path])],
        after: Vec::new(),
    }
}
