//! `resource_policy`: the host's CPUs and memory, shared out between the machines that set no limits themselves.

use super::desired::{Config, Domain, Machine};
use crate::host::facts::Totals;
use crate::infra::bytes;
use crate::infra::model::{Amount, Infra, ResourcePolicy};
use crate::infra::problem::{Path, Problem};

const MIB: f64 = 1_048_576.0;
/// A machine gets no less memory than this, in MiB.
const LEAST_MEMORY: f64 = 128.0;

/// Gives every machine its share, and says where more is promised than there is.
pub(super) fn share_out(infra: &Infra, totals: Totals, domains: &mut [Domain]) -> Vec<Problem> {
    let Some(policy) = &infra.global.resource_policy else { return Vec::new() };
    let cpus = Pot::new("CPUs", f64::from(totals.cpus), policy.reserve_cpu);
    let memory = Pot::new("memory", totals.memory_bytes, policy.reserve_memory);
    let mut problems = Vec::new();
    problems.extend(hand_out(infra, policy, &cpus, domains, &Cpus { all: cpus.total, policy }));
    problems.extend(hand_out(infra, policy, &memory, domains, &Memory { all: memory.total, policy }));
    problems
}

/// What there is of a resource.
struct Pot {
    name: &'static str,
    total: f64,
    available: f64,
}

impl Pot {
    fn new(name: &'static str, total: f64, reserve: Amount) -> Self {
        let reserve = match reserve {
            Amount::Percent(percent) => total * f64::from(percent) / 100.0,
            Amount::Absolute(amount) => amount,
        };
        Self { name, total, available: (total - reserve).max(0.0) }
    }
}

/// One of the two resources: how a machine says how much of it it takes, and how it is given its share.
trait Resource {
    /// What the machine's own keys or those of its profiles take; `None` where nothing is said.
    fn taken(&self, said: &dyn Fn(&str) -> Option<String>) -> Option<f64>;
    /// Writes the share into the machine's keys; what was really given, after rounding.
    fn give(&self, machine: &mut Machine, share: f64) -> f64;
    /// The amount for people.
    fn shown(&self, amount: f64) -> String;
}

fn hand_out(
    infra: &Infra,
    policy: &ResourcePolicy,
    pot: &Pot,
    domains: &mut [Domain],
    resource: &dyn Resource,
) -> Option<Problem> {
    let mut promised = 0.0;
    let mut weights = 0.0;
    for (domain, machine) in domains.iter().flat_map(|domain| domain.machines.iter().map(move |one| (domain, one))) {
        match resource.taken(&|key| said(domain, machine, key)) {
            Some(amount) => promised += amount,
            None => weights += weight(infra, policy, &domain.name, &machine.name),
        }
    }
    let rest = (pot.available - promised).max(0.0);
    for domain in domains {
        let profiles = domain.profiles.clone();
        for machine in &mut domain.machines {
            let said = |key: &str| in_config_or_profiles(&machine.config, &machine.profiles, &profiles, key);
            if resource.taken(&said).is_none() {
                let share = rest * weight(infra, policy, &domain.name, &machine.name) / weights;
                promised += resource.give(machine, share);
            }
        }
    }
    // A share of a byte or of a thousandth of a processor is no promise broken.
    (promised > pot.available * 1.001).then(|| too_much(pot, promised, policy, resource))
}

fn too_much(pot: &Pot, promised: f64, policy: &ResourcePolicy, resource: &dyn Resource) -> Problem {
    let message = format!(
        "the machines are promised {} of {}, and {} are available ({} less the host's reserve)",
        resource.shown(promised),
        pot.name,
        resource.shown(pot.available),
        resource.shown(pot.total)
    );
    let path = Path::of(["global", "resource_policy"]);
    if policy.overcommit {
        return Problem::warning(path, message).at_key();
    }
    let help = "give machines less, lower `host_reserve`, or write `overcommit: true`";
    Problem::error(path, message).at_key().help(help)
}

fn weight(infra: &Infra, policy: &ResourcePolicy, domain: &str, machine: &str) -> f64 {
    let written = infra.domains.get(domain).and_then(|domain| domain.machines.get(machine));
    written.filter(|_| policy.proportional).map_or(1.0, |machine| f64::from(machine.weight))
}

fn said(domain: &Domain, machine: &Machine, key: &str) -> Option<String> {
    in_config_or_profiles(&machine.config, &machine.profiles, &domain.profiles, key)
}

/// The machine's own key wins, then the last profile's.
fn in_config_or_profiles(
    own: &Config,
    names: &[String],
    profiles: &[super::desired::Profile],
    key: &str,
) -> Option<String> {
    let of_profile = |name: &String| profiles.iter().find(|profile| profile.name == *name)?.config.get(key);
    own.get(key).or_else(|| names.iter().rev().find_map(of_profile)).cloned()
}

struct Cpus<'a> {
    all: f64,
    policy: &'a ResourcePolicy,
}

impl Resource for Cpus<'_> {
    fn taken(&self, said: &dyn Fn(&str) -> Option<String>) -> Option<f64> {
        let count = said("limits.cpu").map(|text| cpu_count(&text));
        let allowance = said("limits.cpu.allowance").map(|text| allowance(&text, self.all));
        match (count, allowance) {
            (Some(count), Some(allowance)) => Some(count.min(allowance)),
            (one, other) => one.or(other),
        }
    }

    fn give(&self, machine: &mut Machine, share: f64) -> f64 {
        // A virtual machine has processors, and no allowance of them.
        if self.policy.cpu_count || machine.vm {
            let count = share.floor().max(1.0);
            machine.config.insert("limits.cpu".into(), count.to_string());
            return count;
        }
        let percent = (100.0 * share / self.all).floor().max(1.0);
        machine.config.insert("limits.cpu.allowance".into(), format!("{percent}%"));
        percent * self.all / 100.0
    }

    fn shown(&self, amount: f64) -> String {
        format!("{amount:.1}")
    }
}

/// `4`, or a list of processors such as `0-3,7`.
fn cpu_count(text: &str) -> f64 {
    if let Ok(count) = text.parse::<u32>() {
        return count.into();
    }
    let range = |part: &str| match part.split_once('-') {
        Some((first, last)) => match (first.trim().parse::<u32>(), last.trim().parse::<u32>()) {
            (Ok(first), Ok(last)) => f64::from(last.saturating_sub(first)) + 1.0,
            _ => 0.0,
        },
        None => 1.0,
    };
    text.split(',').map(range).sum()
}

/// `25%` of all processors, or `50ms/100ms` of one.
fn allowance(text: &str, all: f64) -> f64 {
    if let Some(percent) = text.strip_suffix('%') {
        return percent.trim().parse::<f64>().unwrap_or(0.0) * all / 100.0;
    }
    let milliseconds = |part: &str| part.trim().trim_end_matches("ms").parse::<f64>().ok();
    let parts = text.split_once('/').and_then(|(time, of)| Some((milliseconds(time)?, milliseconds(of)?)));
    parts.filter(|(_, of)| *of > 0.0).map_or(0.0, |(time, of)| time / of)
}

struct Memory<'a> {
    all: f64,
    policy: &'a ResourcePolicy,
}

impl Resource for Memory<'_> {
    fn taken(&self, said: &dyn Fn(&str) -> Option<String>) -> Option<f64> {
        let text = said("limits.memory")?;
        let percent = text.strip_suffix('%').and_then(|percent| percent.trim().parse::<f64>().ok());
        Some(percent.map(|percent| percent * self.all / 100.0).or_else(|| bytes(&text)).unwrap_or(0.0))
    }

    fn give(&self, machine: &mut Machine, share: f64) -> f64 {
        let mebibytes = (share / MIB).floor().max(LEAST_MEMORY);
        machine.config.insert("limits.memory".into(), format!("{mebibytes}MiB"));
        // Virtual machines have the memory that they have.
        if self.policy.memory_soft && !machine.vm {
            machine.config.entry("limits.memory.enforce".into()).or_insert_with(|| "soft".into());
        }
        mebibytes * MIB
    }

    fn shown(&self, amount: f64) -> String {
        format!("{:.0}MiB", amount / MIB)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::facts::Facts;
    use crate::infra::model;
    use crate::infra::problem::Level;
    use crate::resolve::desired::Desired;
    use crate::resolve::sample::{domain, find, infra, keys, machine, named, profile};
    use crate::resolve::{Holds, resolve};

    const POLICY: ResourcePolicy = ResourcePolicy {
        reserve_cpu: Amount::Percent(20),
        reserve_memory: Amount::Percent(20),
        proportional: true,
        cpu_count: false,
        memory_soft: true,
        overcommit: false,
    };

    fn heavy(weight: u32) -> model::Machine {
        model::Machine { weight, ..machine() }
    }

    /// On a host of ten processors and 10000 MiB.
    fn shared(
        policy: ResourcePolicy,
        machines: impl IntoIterator<Item = (&'static str, model::Machine)>,
    ) -> (Desired, Vec<Problem>) {
        let mut home = domain(machines);
        home.profiles = named([("big", profile([]))]);
        home.profiles["big"].config = keys([("limits.memory", "5000MiB")]);
        let mut infra = infra([("pro", home)]);
        infra.global.resource_policy = Some(policy);
        let totals = Totals { cpus: 10, memory_bytes: 10_000.0 * MIB };
        resolve(&infra, &Facts { totals: Some(totals), ..Facts::default() }, &Holds::default())
    }

    fn of(desired: &Desired, machine: &str) -> String {
        let config = &find(desired, machine).config;
        let limits = config.iter().filter(|(key, _)| key.starts_with("limits."));
        limits.map(|(key, value)| format!("{}={value}", &key["limits.".len()..])).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn shares_go_by_weight_after_the_hosts_reserve() {
        let (desired, problems) = shared(POLICY, [("one", heavy(1)), ("three", heavy(3))]);
        assert_eq!(problems, []);
        assert_eq!(of(&desired, "one"), "cpu.allowance=20% memory=2000MiB memory.enforce=soft");
        assert_eq!(of(&desired, "three"), "cpu.allowance=60% memory=6000MiB memory.enforce=soft");
    }

    #[test]
    fn equal_shares_counts_of_processors_and_hard_limits_on_request() {
        let policy = ResourcePolicy { proportional: false, cpu_count: true, memory_soft: false, ..POLICY };
        let (desired, problems) = shared(policy, [("one", heavy(1)), ("three", heavy(3)), ("two", heavy(2))]);
        assert_eq!(problems, []);
        for machine in ["one", "two", "three"] {
            assert_eq!(of(&desired, machine), "cpu=2 memory=2666MiB");
        }
    }

    #[test]
    fn what_says_its_own_limit_is_left_alone_and_counted() {
        let mut fixed = machine();
        fixed.config = keys([("limits.cpu", "0-3"), ("limits.memory", "50%")]);
        let mut of_profile = machine();
        of_profile.profiles.push("big".into());
        of_profile.config = keys([("limits.cpu.allowance", "200ms/100ms")]);
        let (desired, problems) = shared(POLICY, [("fixed", fixed), ("rest", machine())]);
        assert_eq!(problems, []);
        assert_eq!(of(&desired, "fixed"), "cpu=0-3 memory=50%");
        assert_eq!(of(&desired, "rest"), "cpu.allowance=40% memory=3000MiB memory.enforce=soft");
        let (desired, problems) = shared(POLICY, [("of-profile", of_profile), ("rest", machine())]);
        assert_eq!(problems, []);
        assert_eq!(of(&desired, "of-profile"), "cpu.allowance=200ms/100ms", "its memory is its profile's");
        assert_eq!(of(&desired, "rest"), "cpu.allowance=60% memory=3000MiB memory.enforce=soft");
    }

    #[test]
    fn a_virtual_machine_has_processors_and_memory_and_neither_allowance_nor_soft_limits() {
        let (desired, _) = shared(POLICY, [("vm", model::Machine { vm: true, ..machine() })]);
        assert_eq!(of(&desired, "vm"), "cpu=8 memory=8000MiB");
    }

    #[test]
    fn more_than_there_is_is_an_error_or_with_overcommit_a_warning() {
        let mut greedy = machine();
        greedy.config = keys([("limits.memory", "9GiB")]);
        let (_, problems) = shared(POLICY, [("greedy", greedy.clone()), ("poor", machine())]);
        let [problem] = problems.as_slice() else { panic!("one problem: {problems:?}") };
        assert_eq!((problem.level, problem.path.to_string().as_str()), (Level::Error, "global.resource_policy"));
        assert!(problem.message.contains("9344MiB of memory, and 8000MiB are available"), "{}", problem.message);
        let policy = ResourcePolicy { overcommit: true, ..POLICY };
        let (desired, problems) = shared(policy, [("greedy", greedy), ("poor", machine())]);
        assert_eq!(problems[0].level, Level::Warning);
        assert_eq!(of(&desired, "poor"), "cpu.allowance=40% memory=128MiB memory.enforce=soft", "never less than that");
    }
}
