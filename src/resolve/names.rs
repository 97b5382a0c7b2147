//! The names that things get in Incus: the nesting prefix, and bridges that fit in 15 characters.

use std::collections::BTreeMap;

use sha2::{Digest, Sha256};

use super::{domain_path, machine_path};
use crate::host::facts::Facts;
use crate::infra::model::{Domain, Infra};
use crate::infra::problem::{Path, Problem};

/// What a Linux interface name holds.
const BRIDGE_MAX: usize = 15;
/// What a host name label holds.
const INSTANCE_MAX: usize = 63;
const HASH_LENGTH: usize = 6;

/// Makes Incus names; on a nested host each gets the prefix of its level.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Names {
    prefix: String,
    /// Bridges that the file calls by their own names.
    bridges: BTreeMap<String, String>,
}

impl Names {
    /// The names on this host: level 1 and deeper gives `001-` and so on, where the file wants a prefix at all.
    pub(crate) fn new(nesting_prefix: bool, facts: &Facts) -> Self {
        let level = facts.absolute_level.filter(|level| nesting_prefix && *level > 0);
        Self { prefix: level.map(|level| format!("{level:03}-")).unwrap_or_default(), bridges: BTreeMap::new() }
    }

    /// The names of this infrastructure.
    pub(crate) fn of(infra: &Infra, facts: &Facts) -> Self {
        let named = infra.domains.iter().filter_map(|(name, domain)| Some((name.clone(), domain.bridge.name.clone()?)));
        Self { bridges: named.collect(), ..Self::new(infra.global.nesting_prefix, facts) }
    }

    /// The Incus project of a domain.
    pub(crate) fn project(&self, domain: &str) -> String {
        format!("{}{domain}", self.prefix)
    }

    /// The bridge of a domain: the one that the file names, else `net-<domain>`, or a short name that always comes out
    /// the same.
    pub(crate) fn bridge(&self, domain: &str) -> String {
        if let Some(written) = self.bridges.get(domain) {
            return written.clone();
        }
        let whole = format!("{}net-{domain}", self.prefix);
        if whole.len() <= BRIDGE_MAX { whole } else { shortened(&whole) }
    }

    /// The Incus instance of a machine.
    pub(crate) fn instance(&self, machine: &str) -> String {
        format!("{}{machine}", self.prefix)
    }

    /// A storage volume of a machine: the names of volumes are those of the whole project.
    pub(crate) fn volume(&self, machine: &str, volume: &str) -> String {
        format!("{}-{volume}", self.instance(machine))
    }

    /// How long a domain's name may be for its bridge to carry all of it.
    fn kept(&self) -> usize {
        BRIDGE_MAX.saturating_sub(self.bridge("").len())
    }
}

/// The beginning of the name, for people, and a hash of all of it, for uniqueness.
fn shortened(whole: &str) -> String {
    let start: String = whole.chars().take(BRIDGE_MAX - HASH_LENGTH - 1).collect();
    format!("{}-{}", start.trim_end_matches('-'), hash(whole))
}

/// Six base-32 characters: 30 bits.
fn hash(text: &str) -> String {
    const DIGITS: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";
    let digest = Sha256::digest(text);
    digest.iter().take(HASH_LENGTH).map(|byte| char::from(DIGITS[usize::from(byte % 32)])).collect()
}

/// Names that Incus could not take, or that two things would share.
pub(super) fn check(infra: &Infra, names: &Names) -> Vec<Problem> {
    let mut problems = Vec::new();
    let mut owners: BTreeMap<String, &str> = BTreeMap::new();
    for (domain, written) in &infra.domains {
        if names.project(domain) == "default" {
            problems.push(
                Problem::error(domain_path(domain), "the Incus project `default` is never touched")
                    .at_key()
                    .help("give the domain another name, such as `main`"),
            );
        }
        let bridge = names.bridge(domain);
        if let Some(first) = owners.get(&bridge) {
            problems.push(
                Problem::error(
                    domain_path(domain),
                    format!("`{domain}` and `{first}` get the same bridge, `{bridge}`"),
                )
                .at_key()
                .help(format!("rename one of them; up to {} characters are kept as they are", names.kept()))
                .also(domain_path(first), "the other one"),
            );
        } else {
            owners.insert(bridge, domain);
        }
        problems.extend(written.machines.keys().filter_map(|machine| too_long(names, domain, machine)));
        problems.extend(one_volume_twice(names, domain, written));
    }
    problems
}

fn too_long(names: &Names, domain: &str, machine: &str) -> Option<Problem> {
    let instance = names.instance(machine);
    let over = instance.len().checked_sub(INSTANCE_MAX).filter(|over| *over > 0)?;
    let message = format!("`{instance}` has {} characters, and an instance name holds {INSTANCE_MAX}", instance.len());
    let help = format!("take {over} characters off the name, or write `nesting_prefix: false` under `global`");
    Some(Problem::error(machine_path(domain, machine), message).at_key().help(help))
}

/// `data` of `pro-dev` and `dev-data` of `pro` would be one volume.
fn one_volume_twice(names: &Names, domain: &str, written: &Domain) -> Vec<Problem> {
    let mut problems = Vec::new();
    let mut owners: BTreeMap<String, Path> = BTreeMap::new();
    for (machine, written) in &written.machines {
        for volume in written.storage_volumes.keys() {
            let (name, path) = (names.volume(machine, volume), machine_path(domain, machine));
            let path = path.to("storage_volumes").to(volume);
            if let Some(first) = owners.get(&name) {
                let message = format!("two volumes would be called `{name}` in Incus");
                let problem = Problem::error(path, message).at_key().also(first.clone(), "the first one");
                problems.push(problem.help("give one of them another name"));
            } else {
                owners.insert(name, path);
            }
        }
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::infra::model::Bridge;
    use crate::resolve::sample::{domain, infra, machine};
    use proptest::prelude::*;

    fn at_level(level: u32) -> Names {
        Names::new(true, &Facts { absolute_level: Some(level), ..Facts::default() })
    }

    #[test]
    fn without_nesting_names_are_as_written() {
        for names in [Names::new(true, &Facts::default()), at_level(0)] {
            assert_eq!((names.project("pro"), names.bridge("pro")), ("pro".into(), "net-pro".into()));
            assert_eq!(names.instance("pro-dev"), "pro-dev");
        }
    }

    #[test]
    fn a_nested_host_puts_its_level_in_front_of_every_name() {
        let names = at_level(1);
        assert_eq!((names.project("pro"), names.bridge("pro")), ("001-pro".into(), "001-net-pro".into()));
        assert_eq!(names.instance("pro-dev"), "001-pro-dev");
    }

    #[test]
    fn the_file_can_refuse_the_prefix() {
        let facts = Facts { absolute_level: Some(2), ..Facts::default() };
        assert_eq!(Names::new(false, &facts).project("pro"), "pro");
    }

    #[test]
    fn a_long_bridge_name_is_shortened_always_in_the_same_way() {
        let names = Names::default();
        assert_eq!(names.bridge("eleven-char"), "net-eleven-char");
        assert_eq!(names.bridge("twelve-chars"), "net-twel-rhzdco");
        assert_eq!(at_level(1).bridge("workstation"), "001-net-l557rx");
    }

    #[test]
    fn a_bridge_that_the_file_names_is_called_so_on_every_level() {
        let bridge = Bridge { name: Some("homebr0".into()), ..Bridge::default() };
        let infra = infra([("home", Domain { bridge, ..domain([]) }), ("pro", domain([]))]);
        let deep = Facts { absolute_level: Some(1), ..Facts::default() };
        let names = Names::of(&infra, &deep);
        assert_eq!((names.bridge("home"), names.bridge("pro")), ("homebr0".into(), "001-net-pro".into()));
    }

    #[test]
    fn two_domains_on_one_bridge_are_a_problem_at_the_second() {
        let names = Names::default();
        let twin = names.bridge("twelve-chars").replace("net-", "");
        let infra = infra([("twelve-chars", domain([])), (&twin, domain([]))]);
        let problems = check(&infra, &names);
        assert_eq!(problems.len(), 1);
        assert_eq!(problems[0].path.to_string(), format!("domains.{twin}"));
        assert!(problems[0].message.contains("twelve-chars"), "{}", problems[0].message);
    }

    #[test]
    fn the_default_project_is_nobodys_domain_except_under_a_prefix() {
        let infra = infra([("default", domain([]))]);
        assert_eq!(check(&infra, &Names::default()).len(), 1);
        assert_eq!(check(&infra, &at_level(1)), []);
    }

    #[test]
    fn an_instance_name_that_the_prefix_makes_too_long_is_a_problem() {
        let long = "m".repeat(60);
        let infra = infra([("pro", domain([(&*long, machine())]))]);
        assert_eq!(check(&infra, &Names::default()), []);
        let problems = check(&infra, &at_level(1));
        assert_eq!(problems[0].path, machine_path("pro", &long));
        assert!(problems[0].help.as_ref().unwrap().contains("take 1 characters off"));
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn every_bridge_name_is_a_valid_interface_name(domain in "[a-z0-9][a-z0-9-]{0,62}", level in 0..1200u32) {
            let bridge = at_level(level).bridge(&domain);
            prop_assert!((2..=BRIDGE_MAX).contains(&bridge.len()), "{}", bridge);
            prop_assert!(bridge.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c)), "{}", bridge);
            prop_assert!(bridge.contains("net"), "{}", bridge);
        }
    }
}
