//! The ends of `network_policies`: that they exist, that they are one thing, that they have an address.

use std::collections::HashMap;

use super::super::at::quoted;
use super::super::model::{Addressing, Infra, Policy};
use super::super::near::nearest;
use super::super::problem::{Path, Problem};
use super::{Spot, machines};

pub(super) fn check(infra: &Infra) -> Vec<Problem> {
    let machines: HashMap<&str, Spot<'_>> = machines(infra).map(|spot| (spot.name, spot)).collect();
    let check = Check { infra, machines };
    let policies = infra.network_policies.iter().enumerate();
    policies.flat_map(|(at, policy)| check.policy(policy, &Path::of(["network_policies"]).to(at))).collect()
}

struct Check<'i> {
    infra: &'i Infra,
    machines: HashMap<&'i str, Spot<'i>>,
}

impl<'i> Check<'i> {
    fn policy(&self, policy: &'i Policy, path: &Path) -> Vec<Problem> {
        let ends = [("from", policy.from.as_str()), ("to", policy.to.as_str())];
        let mut problems: Vec<Problem> = ends.iter().filter_map(|(key, name)| self.end(name, path.to(key))).collect();
        if problems.is_empty() && !policy.from.is_empty() && self.domain_of(&policy.from) == self.domain_of(&policy.to)
        {
            problems.push(match self.domain_of(&policy.to) {
                Some(domain) => Problem::warning(
                    path.to("to"),
                    format!("this opens nothing: both ends are in `{domain}`, where machines reach each other anyway"),
                )
                .help("remove the policy; to filter inside a domain, write an `acl`"),
                None => Problem::error(path.to("to"), "both ends are the host").help("name a domain or a machine"),
            });
        }
        problems
    }

    /// The domain that an end is or lies in; the host is in none.
    fn domain_of(&self, end: &'i str) -> Option<&'i str> {
        match self.machines.get(end) {
            Some(spot) => Some(spot.domain_name),
            None => Some(end).filter(|end| *end != "host"),
        }
    }

    fn end(&self, name: &str, path: Path) -> Option<Problem> {
        let domain = self.infra.domains.contains_key(name);
        let machine = self.machines.get(name);
        match (domain, machine) {
            _ if name.is_empty() || name == "host" => None,
            (true, None) => None,
            (true, Some(spot)) => Some(
                Problem::error(path, format!("{} is a domain and a machine", quoted(name)))
                    .also(super::domain_path(name), "this domain")
                    .also(spot.path(), "this machine")
                    .help("give one of them another name"),
            ),
            (false, Some(spot)) => {
                let fixed = matches!(self.infra.global.addressing, Addressing::Zones { .. }) && !spot.machine.dhcp
                    || spot.machine.ip.is_some()
                    || spot.machine.host_part.is_some()
                    || spot.machine.devices.values().any(|device| device.contains_key("ipv4.address"));
                (!fixed).then(|| {
                    Problem::error(
                        path,
                        format!("{} has no fixed address, so nothing can be opened for it", quoted(name)),
                    )
                    .also(spot.path(), "this machine")
                    .help("give it an `ip`")
                })
            }
            (false, None) => Some(self.unknown(name, path)),
        }
    }

    fn unknown(&self, name: &str, path: Path) -> Problem {
        let known = self.infra.domains.keys().map(String::as_str).chain(self.machines.keys().copied()).chain(["host"]);
        let mut known: Vec<&str> = known.collect();
        known.sort_unstable();
        let help = match nearest(name, known) {
            Some(near) => format!("did you mean {}?", quoted(near)),
            None if name.starts_with("x-") => "keys that start with `x-` are ignored".to_owned(),
            None => "an end is a domain, a machine or `host`".to_owned(),
        };
        Problem::error(path, format!("no domain or machine is called {}", quoted(name))).help(help)
    }
}
