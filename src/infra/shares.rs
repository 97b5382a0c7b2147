//! Who sees a shared volume, where, and whether they may write in it.

use super::model::{Domain, Machine, SharedVolume};
use super::rules::is_true;

impl SharedVolume {
    /// May this machine write in it? `None`: it does not get it.
    pub(crate) fn access(&self, domain_name: &str, domain: &Domain, name: &str, machine: &Machine) -> Option<bool> {
        let writes = self.consumers.get(name).or_else(|| self.consumers.get(domain_name))?;
        // What a machine shares on with machines of its own is out of sight here: only where that was asked for.
        (self.propagate || !machine.nests(domain)).then_some(*writes)
    }

    /// Where machines see it.
    pub(crate) fn target(&self, name: &str) -> String {
        self.path.clone().unwrap_or_else(|| format!("/shared/{name}"))
    }
}

impl Machine {
    /// Can it run machines of its own (`security.nesting`)?
    pub(crate) fn nests(&self, domain: &Domain) -> bool {
        let key = "security.nesting";
        let of_profiles = || self.profiles.iter().rev().find_map(|name| domain.profiles.get(name)?.config.get(key));
        self.config.get(key).or_else(of_profiles).is_some_and(|value| is_true(value))
    }
}

#[cfg(test)]
mod tests {
    use super::super::model::Infra;
    use super::super::sample::good;

    const FILE: &str = "project_name: home
global: {}
domains:
  pro:
    profiles: {deep: {config: {security.nesting: true}}}
    machines:
      dev: {}
      web: {}
      deep: {profiles: [default, deep]}
      flat: {profiles: [default, deep], config: {security.nesting: false}}
  perso: {machines: {mail: {}}}
shared_volumes:
  docs: {consumers: {pro: ro, dev: rw}}
  all: {path: /srv/all, propagate: true, consumers: {pro: ro}}
";

    fn access(infra: &Infra, volume: &str, domain: &str, machine: &str) -> Option<bool> {
        let home = &infra.domains[domain];
        infra.shared_volumes[volume].access(domain, home, machine, &home.machines[machine])
    }

    #[test]
    fn a_machines_own_word_wins_over_its_domains() {
        let infra = good(FILE);
        assert_eq!(access(&infra, "docs", "pro", "dev"), Some(true));
        assert_eq!(access(&infra, "docs", "pro", "web"), Some(false));
        assert_eq!(access(&infra, "docs", "perso", "mail"), None);
    }

    #[test]
    fn a_machine_that_nests_sees_only_what_propagates() {
        let infra = good(FILE);
        assert_eq!(access(&infra, "docs", "pro", "deep"), None);
        assert_eq!(access(&infra, "docs", "pro", "flat"), Some(false));
        assert_eq!(access(&infra, "all", "pro", "deep"), Some(false));
    }

    #[test]
    fn it_is_seen_under_shared_unless_the_file_says_where() {
        let infra = good(FILE);
        assert_eq!(infra.shared_volumes["docs"].target("docs"), "/shared/docs");
        assert_eq!(infra.shared_volumes["all"].target("all"), "/srv/all");
    }
}
