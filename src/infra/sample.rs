//! For tests: infrastructures from text, and what is said about them.

use super::files::{Role, Text};
use super::model::{Infra, Machine};
use super::{Failure, Loaded, load_texts};

/// An `infra.yml` with this text.
pub(super) fn load_text(text: &str) -> Result<Loaded, Failure> {
    let name = "infra.yml".to_owned();
    let text = Text { role: Role::Whole, name: name.clone(), content: text.to_owned(), wrong: None };
    load_texts(name, vec![text], Vec::new())
}

/// Every problem as `line:column message`, in the order of the file.
pub(super) fn said(text: &str) -> Vec<String> {
    let (problems, sources) = match load_text(text) {
        Ok(Loaded { problems, sources, .. }) => (problems, sources),
        Err(Failure::Invalid { problems, sources }) => (problems, *sources),
        Err(Failure::Unreadable { message, .. }) => panic!("{message}"),
    };
    let mut said: Vec<_> = problems
        .iter()
        .map(|problem| (sources.place_of(problem), format!("{} {}", sources.locate(problem), problem.message)))
        .collect();
    said.sort();
    said.into_iter().map(|(_, said)| said.trim_start_matches("infra.yml:").to_owned()).collect()
}

/// A text that nothing is wrong with.
pub(super) fn good(text: &str) -> Infra {
    let said = said(text);
    assert!(said.is_empty(), "{text}\n{said:#?}");
    load_text(text).map_or_else(|_| unreachable!(), |loaded| loaded.infra)
}

/// A whole file around the lines of its domains.
pub(super) fn domains(lines: &str) -> String {
    format!("project_name: home\nglobal: {{}}\ndomains:\n{lines}")
}

/// A whole file around the fields of a machine, in flow style; they start in line 6, column 13.
pub(super) fn machine(fields: &str) -> String {
    domains(&format!("  pro:\n    machines:\n      dev: {{{fields}}}\n"))
}

/// The machine of `machine(fields)`, which nothing is wrong with.
pub(super) fn good_machine(fields: &str) -> Machine {
    good(&machine(fields)).domains["pro"].machines["dev"].clone()
}
