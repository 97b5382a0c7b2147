//! The infra.yml language: loading, the typed model, its rules, and places in the text.

#[cfg(test)]
mod asked;
mod at;
mod decode;
mod draw;
mod edit;
mod emit;
#[cfg(test)]
mod examples;
mod expand;
mod files;
pub(crate) mod from_json;
#[cfg(test)]
mod golden;
mod join;
pub(crate) mod model;
pub(crate) mod near;
mod node;
pub(crate) mod older;
pub(crate) mod page;
pub(crate) mod problem;
pub(crate) mod rewrite;
mod rules;
#[cfg(test)]
mod sample;
mod scan;
mod shares;
mod source;
mod syntax;
mod yaml;

use std::path::Path;

pub(crate) use decode::{bytes, is_limit};
pub(crate) use draw::draw;
pub(crate) use rules::{duration, host_rules, is_schedule};
pub(crate) use source::Sources;

use model::Infra;
use problem::{Level, Problem};

/// A valid infrastructure.
#[derive(Debug, Clone)]
pub(crate) struct Loaded {
    pub(crate) infra: Infra,
    /// Warnings only.
    pub(crate) problems: Vec<Problem>,
    /// To draw problems that are found later.
    pub(crate) sources: Sources,
}

/// Why there is no infrastructure.
#[derive(Debug, Clone)]
pub(crate) enum Failure {
    /// No file, or none that can be read.
    Unreadable { message: String, help: Option<String> },
    /// What is written breaks rules: every problem, warnings among them.
    Invalid { problems: Vec<Problem>, sources: Box<Sources> },
}

/// Reads and checks what `-f` names (a file, or a directory with `base.yml`), else `./infra.yml`, else `./infra/`.
pub(crate) fn load(path: Option<&Path>) -> Result<Loaded, Failure> {
    let (name, texts, problems) = files::read(path)?;
    load_texts(name, texts, problems)
}

/// Only the name of the infrastructure, also from a file that is wrong elsewhere.
pub(crate) fn project_name(path: Option<&Path>) -> Result<String, Failure> {
    let (name, texts, problems) = files::read(path)?;
    let (sources, _) = join::join(name, texts, &mut problems.clone());
    let named = sources.root().get("project_name").and_then(|entry| entry.value.text());
    match named.filter(|name| rules::is_project_name(name)) {
        Some(name) => Ok(name.to_owned()),
        // What is wrong with it is told with all that is wrong.
        None => Err(load(path).err().unwrap_or(Failure::Invalid { problems, sources: Box::new(sources) })),
    }
}

/// The same from a text that is in no file yet.
pub(crate) fn load_text(name: &str, content: String) -> Result<Loaded, Failure> {
    let text = files::Text { role: files::Role::Whole, name: name.to_owned(), content, wrong: None };
    load_texts(name.to_owned(), vec![text], Vec::new())
}

/// The same from text that was read.
fn load_texts(name: String, texts: Vec<files::Text>, mut problems: Vec<Problem>) -> Result<Loaded, Failure> {
    let (sources, whole) = join::join(name, texts, &mut problems);
    if !whole {
        return Err(Failure::Invalid { problems, sources: Box::new(sources) });
    }
    let (mut infra, wrong) = decode::decode(sources.root());
    // What else is wrong with it may be right for the anklume that it asks for.
    if let Some(problem) = wrong.iter().find(|problem| decode::is_of_another_version(problem)) {
        return Err(Failure::Invalid { problems: vec![problem.clone()], sources: Box::new(sources) });
    }
    problems.extend(wrong);
    problems.extend(rules::check(&infra));
    if problems.iter().any(|problem| problem.level == Level::Error) {
        return Err(Failure::Invalid { problems, sources: Box::new(sources) });
    }
    expand::expand(&mut infra);
    Ok(Loaded { infra, problems, sources })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_is_read_from_a_file_that_is_wrong_elsewhere() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("infra.yml");
        let name = |text: &str| {
            std::fs::write(&file, text).unwrap();
            project_name(Some(&file))
        };
        assert_eq!(name("project_name: home\ndomains: [7]\nnonsense: {}\n").unwrap(), "home");
        assert_eq!(name("project_name: home\n").unwrap(), "home");
        for wrong in
            ["project_name: Not A Name\n", "project_name:\n", "domains: {}\n", "project_name: [home]\n", "a: {b\n"]
        {
            assert!(matches!(name(wrong), Err(Failure::Invalid { problems, .. }) if !problems.is_empty()), "{wrong}");
        }
        assert!(matches!(project_name(Some(&dir.path().join("none"))), Err(Failure::Unreadable { .. })));
        // Of a directory too, one file of which is no YAML.
        let write = |name: &str, text: &str| {
            let path = dir.path().join("infra").join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        };
        write("base.yml", "project_name: home\n");
        write("domains/a.yml", "a: {b\n");
        assert_eq!(project_name(Some(&dir.path().join("infra"))).unwrap(), "home");
    }
}
