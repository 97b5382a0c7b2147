//! What the file says and this version does not do yet, so that nothing is passed over in silence.

use super::desired::Later;
use super::{domain_path, enabled, machine_path};
use crate::infra::model::{AiProvider, Domain, Global, Infra, Machine};
use crate::infra::problem::Path;

const ANSIBLE: &str = "for Ansible, by a later version";

/// Every key that has no effect yet and does not say its default, sorted by place.
pub(super) fn later(infra: &Infra) -> Vec<Later> {
    let mut all = Vec::new();
    let mut add = |at: Path, found: Vec<(bool, &str, &str)>| {
        let written = found.into_iter().filter(|(written, ..)| *written);
        all.extend(written.map(|(_, key, what)| Later { path: at.to(key).to_string(), what: what.into() }));
    };
    add(Path::of(["global"]), of_global(&infra.global));
    for (name, domain) in enabled(infra) {
        add(domain_path(name), of_domain(domain));
        for (machine, written) in &domain.machines {
            add(machine_path(name, machine), of_machine(written));
        }
    }
    all.sort();
    all
}

/// Is it written, under which key, and what will it do?
type Found = Vec<(bool, &'static str, &'static str)>;

fn of_global(global: &Global) -> Found {
    vec![
        (global.default_connection != "community.general.incus", "default_connection", ANSIBLE),
        (global.default_user != "root", "default_user", ANSIBLE),
        (!global.ai_access.vram_flush, "ai_vram_flush", ANSIBLE),
    ]
}

fn of_domain(domain: &Domain) -> Found {
    vec![
        (domain.ai_provider != AiProvider::Local, "ai_provider", ANSIBLE),
        (domain.ai_sanitize.is_some(), "ai_sanitize", ANSIBLE),
        (domain.file_portal.is_some(), "file_portal", ANSIBLE),
    ]
}

fn of_machine(machine: &Machine) -> Found {
    vec![
        (!machine.roles.is_empty(), "roles", ANSIBLE),
        (!machine.services.is_empty(), "services", ANSIBLE),
        (!machine.export_apps.is_empty(), "export_apps", ANSIBLE),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::infra::model::AiSanitize;
    use crate::resolve::sample::{domain, infra, machine, sound};

    #[test]
    fn a_file_of_defaults_leaves_nothing_for_later() {
        assert_eq!(sound(&infra([("pro", domain([("pro-dev", machine())]))])).later, []);
    }

    #[test]
    fn what_is_written_and_not_done_is_listed_with_its_place() {
        let web = Machine { roles: vec!["web".into()], ..machine() };
        let infra = infra([("pro", Domain { ai_sanitize: Some(AiSanitize::On), ..domain([("web", web)]) })]);
        let later = later(&infra);
        let paths: Vec<&str> = later.iter().map(|one| one.path.as_str()).collect();
        let expected = ["domains.pro.ai_sanitize", "domains.pro.machines.web.roles"];
        assert_eq!(paths, expected);
        assert_eq!(later[1].what, ANSIBLE);
    }

    #[test]
    fn a_disabled_domain_promises_nothing() {
        let web = Machine { roles: vec!["web".into()], ..machine() };
        let infra = infra([("pro", Domain { enabled: false, ..domain([("web", web)]) })]);
        assert_eq!(later(&infra), []);
    }
}
