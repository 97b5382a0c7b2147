//! What must hold between the values of an infrastructure. Every rule gives all of its problems.

mod addresses;
mod clashes;
mod cron;
mod domains;
mod global;
mod host;
mod machines;
mod names;
mod policies;
#[cfg(test)]
mod tests;
mod volumes;

use super::model::{Domain, Infra, Machine, Profile};
use super::problem::{Path, Problem};

pub(super) use addresses::zone;
pub(crate) use cron::duration;
pub(crate) use host::host_rules;
pub(super) use names::is_project_name;

/// All problems of a file by itself.
pub(super) fn check(infra: &Infra) -> Vec<Problem> {
    [
        names::check(infra),
        global::check(infra),
        addresses::check(infra),
        domains::check(infra),
        machines::check(infra),
        clashes::check(infra),
        volumes::check(infra),
        policies::check(infra),
    ]
    .concat()
}

/// A machine with its domain, both with their names.
#[derive(Clone, Copy)]
struct Spot<'i> {
    domain_name: &'i str,
    domain: &'i Domain,
    name: &'i str,
    machine: &'i Machine,
}

impl<'i> Spot<'i> {
    fn path(self) -> Path {
        domain_path(self.domain_name).to("machines").to(self.name)
    }

    /// The domain's profiles that the machine has, in order of assignment.
    fn profiles(self) -> impl DoubleEndedIterator<Item = (&'i str, &'i Profile)> {
        self.machine.profiles.iter().filter_map(move |name| {
            self.domain.profiles.get_key_value(name).map(|(name, profile)| (name.as_str(), profile))
        })
    }

    /// The value of an Incus key: the machine's own, else that of its last profile that has it.
    fn config(self, key: &str) -> Option<(&'i str, Path)> {
        if let Some(value) = self.machine.config.get(key) {
            return Some((value, self.path().to("config").to(key)));
        }
        self.profiles().rev().find_map(|(name, profile)| {
            let value = profile.config.get(key)?;
            Some((value.as_str(), domain_path(self.domain_name).to("profiles").to(name).to("config").to(key)))
        })
    }
}

fn domain_path(name: &str) -> Path {
    Path::of(["domains", name])
}

/// Every machine, in the file's order.
fn machines(infra: &Infra) -> impl Iterator<Item = Spot<'_>> {
    infra.domains.iter().flat_map(|(domain_name, domain)| {
        domain.machines.iter().map(move |(name, machine)| Spot { domain_name, domain, name, machine })
    })
}

/// Is this a schedule that the file may have?
pub(crate) fn is_schedule(text: &str) -> bool {
    cron::schedule(text).is_ok()
}

/// What Incus takes for true.
pub(super) fn is_true(value: &str) -> bool {
    matches!(value.to_lowercase().as_str(), "true" | "1" | "yes" | "on")
}
