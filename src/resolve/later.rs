//! What the file says and this version does not do yet, so that nothing is passed over in silence.

use super::desired::Later;
use super::{enabled, machine_path};
use crate::infra::model::{Infra, Machine};
use crate::infra::problem::Path;

/// Every key that has no effect yet and does not say its default, sorted by place.
pub(super) fn later(infra: &Infra) -> Vec<Later> {
    let mut all = Vec::new();
    let mut add = |at: Path, found: Vec<(bool, &str, &str)>| {
        let written = found.into_iter().filter(|(written, ..)| *written);
        all.extend(written.map(|(_, key, what)| Later { path: at.to(key).to_string(), what: what.into() }));
    };
    for (name, domain) in enabled(infra) {
        for (machine, written) in &domain.machines {
            add(machine_path(name, machine), of_machine(written));
        }
    }
    all.sort();
    all
}

/// Is it written, under which key, and what will it do?
type Found = Vec<(bool, &'static str, &'static str)>;

fn of_machine(machine: &Machine) -> Found {
    vec![
        (!machine.roles.is_empty(), "roles", ANSIBLE),
        (!machine.services.is_empty(), "services", ANSIBLE),
        (!machine.export_apps.is_empty(), "export_apps", ANSIBLE),
    ]
    vec![(machine.health.is_some(), "health", "asked after an upgrade and by `status`")]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::infra::model::Domain;
    use crate::resolve::sample::{domain, infra, machine, sound};

    #[test]
    fn a_file_of_defaults_leaves_nothing_for_later() {
        assert_eq!(sound(&infra([("pro", domain([("pro-dev", machine())]))])).later, []);
    }

    fn web() -> Machine {
        Machine { health: Some("true".into()), ..machine() }
    }

    #[test]
    fn what_is_written_and_not_done_is_listed_with_its_place() {
        let later = later(&infra([("pro", domain([("web", web())]))]));
        let paths: Vec<&str> = later.iter().map(|one| one.path.as_str()).collect();
        assert_eq!(paths, ["domains.pro.machines.web.health"]);
        assert!(later[0].what.contains("`status`"));
    }

    #[test]
    fn a_disabled_domain_promises_nothing() {
        let infra = infra([("pro", Domain { enabled: false, ..domain([("web", web())]) })]);
        assert_eq!(later(&infra), []);
    }
}
