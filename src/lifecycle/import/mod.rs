//! `anklume import`: from what stands on a host to a file that says so.
//!
//! The file is drafted from what stands, read as anybody would read it, and planned. What `apply` would change by it, other
//! than to set its marks, is left out of it and drafted again, until nothing is: so the promise of the file is kept by
//! trying, not by knowing everything that may stand on a host.

mod bridges;
mod cards;
mod domain;
mod draft;
mod images;
mod machine;
mod policies;
mod scene;
mod scope;
mod stores;
mod strangers;
mod thing;
mod verdict;

use crate::failure::Hinted;
use crate::infra::page;
use crate::infra::problem::Path;
use draft::{Draft, Ground, Left};
use verdict::{Verdict, Whose, verdict};

pub(crate) use images::Images;
pub(crate) use scene::Scene;
pub(crate) use scope::Asked;
use scope::Scope;

/// A file, and what became of it.
#[derive(Debug)]
pub(crate) struct Imported {
    pub(crate) text: String,
    pub(crate) domains: usize,
    pub(crate) machines: usize,
    /// Things that `apply` would set its marks on.
    pub(crate) adopted: usize,
    /// It would load the table.
    pub(crate) loads: bool,
    /// Projects of the same infrastructure that it does not have.
    pub(crate) rest: Vec<String>,
    /// What is in the file as a comment only.
    pub(crate) left: Vec<String>,
}

/// Writes the file.
///
/// # Errors
/// Names that are nowhere, and several infrastructures at once.
pub(crate) fn import(scene: &Scene<'_>, asked: &Asked) -> Result<Imported, Hinted> {
    let scope = Scope::new(scene, asked)?;
    let ground = Ground::new(scene, &scope);
    let mut left = draft::impossible(scene, &scope);
    loop {
        let mut draft = Draft::new(scene, &scope, &ground, &left);
        let meant = draft.counting();
        let found = verdict(scene, &page::text(&meant, &page::Remarks::default()), &meant);
        if !leave(&mut left, &found) {
            let mut end: Vec<String> =
                found.blames.iter().map(|blame| format!("`anklume apply` would: {}", blame.why)).collect();
            end.extend(scope.refused.iter().map(|(project, why)| format!("the project {project} is left out: {why}")));
            draft.remarks.end.extend(end);
            head(&mut draft, &scope, &found);
            strangers::draft(scene, &scope, &mut draft);
            return Ok(imported(&draft, &scope, &left, &found));
        }
    }
}

/// Leaves out what is to blame. Is there something that was not left out before?
fn leave(left: &mut Left, found: &Verdict) -> bool {
    let before = left.clone();
    for blame in &found.blames {
        let why = match &blame.whose {
            Whose::Domain(domain) => left.domains.entry(domain.clone()).or_default(),
            Whose::Machine(domain, machine) => left.machines.entry((domain.clone(), machine.clone())).or_default(),
            Whose::Share(share) => {
                left.shares.insert(share.clone());
                continue;
            }
            Whose::Nobody => continue,
        };
        if !why.contains(&blame.why) {
            why.push(blame.why.clone());
        }
    }
    *left != before
}

/// What the reader is to know first.
fn head(draft: &mut Draft, scope: &Scope, found: &Verdict) {
    let mut say = |line: &str| draft.remarks.note(&Path::default(), line);
    say("Written by `anklume import` from what stands on this host.");
    say("");
    say(
        "`anklume apply` changes nothing by it but its own marks (`user.anklume.*`): nothing restarts, no address moves.",
    );
    if found.loads {
        say("It also loads the table that keeps the domains apart: what is to pass between them is said in");
        say("`network_policies`, and everything else is dropped from then on.");
    }
    if !scope.rest.is_empty() {
        let rest = scope.rest.join(", ");
        let whole = &scope.infra;
        say(&format!(
            "It is a part of `{whole}` only: {rest} would be shown as not in the file, and `--prune` deletes that."
        ));
    }
    say("");
    say(
        "What leaves no trace on a host is not in it: trust levels other than by the networks, notes, roles and services,",
    );
    say("weights, image repositories, policies from `host` (it reaches everything anyway).");
    if !scope.is_marked {
        draft.remarks.note(&Path::of(["project_name"]), "any name: everything that this file is about carries it");
    }
}

fn imported(draft: &Draft, scope: &Scope, left: &Left, found: &Verdict) -> Imported {
    let meant = draft.counting();
    let domains = left.domains.keys().map(|domain| format!("domain {domain}"));
    let machines = left.machines.keys().filter(|(domain, _)| !left.has_domain(domain));
    let machines = machines.map(|(domain, machine)| format!("machine {machine} of {domain}"));
    let refused = scope.refused.iter().map(|(project, _)| format!("project {project}"));
    let strangers = scope.strangers.iter().map(|name| format!("instance {name} of default"));
    Imported {
        text: page::text(&draft.infra, &draft.remarks),
        domains: meant.domains.len(),
        machines: meant.domains.values().map(|domain| domain.machines.len()).sum(),
        adopted: found.adopted,
        loads: found.loads,
        rest: scope.rest.clone(),
        left: domains.chain(machines).chain(refused).chain(strangers).collect(),
    }
}
