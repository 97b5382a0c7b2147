//! From the texts of the files to one tree.

use super::at::quoted;
use super::files::{Role, Text};
use super::node::{Entry, Kind, Node};
use super::problem::{Path, Problem};
use super::source::{Source, Sources};
use super::yaml;

/// Reads all texts as YAML and joins them; and is every one of them YAML?
pub(super) fn join(name: String, texts: Vec<Text>, problems: &mut Vec<Problem>) -> (Sources, bool) {
    let mut sources = Vec::new();
    let mut trees = Vec::new();
    for (number, Text { role, name, content, wrong }) in texts.into_iter().enumerate() {
        let read = wrong.map_or_else(|| yaml::read(&content, number), |problem| Err(Box::new(problem)));
        match read {
            Ok(mut tree) => {
                tree.merge(problems);
                trees.push((role, tree));
            }
            Err(problem) => problems.push(*problem),
        }
        sources.push(Source::new(role, name, content));
    }
    let whole = trees.len() == sources.len();
    let root = match trees.first() {
        Some((Role::Whole, _)) => trees.swap_remove(0).1,
        _ => joined(trees, problems),
    };
    (Sources::new(name, sources, root), whole)
}

/// One tree out of `base.yml`, `domains/*.yml` and `policies.yml`.
fn joined(trees: Vec<(Role, Node)>, problems: &mut Vec<Problem>) -> Node {
    let mut root = Node::empty(0);
    for (role, tree) in trees {
        if !matches!(tree.kind, Kind::Map(_)) && !tree.is_null() {
            let message = format!("this file must hold a map, and it holds {}", tree.what());
            problems.push(Problem::error(Path::default(), message).at_place(tree.place));
            continue;
        }
        match (role, tree) {
            (Role::Base, tree) => root = if tree.is_null() { Node::empty(0) } else { tree },
            (Role::Domains, tree) => add_domains(&mut root, tree, problems),
            (_, tree) => add_policies(&mut root, tree, problems),
        }
    }
    if root.get("domains").is_none() {
        add(&mut root, "domains", Node::empty(0));
    }
    root
}

fn add(root: &mut Node, key: &str, value: Node) {
    if let Kind::Map(entries) = &mut root.kind {
        let place = value.place;
        entries.push(Entry { key: key.to_owned(), plain: true, place, value });
    }
}

fn value_of<'r>(root: &'r mut Node, key: &str) -> Option<&'r mut Node> {
    match &mut root.kind {
        Kind::Map(entries) => entries.iter_mut().find(|entry| entry.key == key).map(|entry| &mut entry.value),
        _ => None,
    }
}

fn add_domains(root: &mut Node, file: Node, problems: &mut Vec<Problem>) {
    if let Some(entry) = file.get("domains") {
        let message = "`domains:` is not written in the files of `domains/`";
        let problem = Problem::error(Path::default(), message).at_place(entry.place);
        problems.push(problem.help("start with the domain's name, in the first column"));
        return;
    }
    match value_of(root, "domains") {
        Some(Node { kind: Kind::Map(all), .. }) => {
            if let Kind::Map(entries) = file.kind {
                all.extend(entries);
            }
        }
        Some(null) if null.is_null() => *null = file,
        Some(_) => {}
        None if file.is_null() => {}
        None => add(root, "domains", file),
    }
}

fn add_policies(root: &mut Node, file: Node, problems: &mut Vec<Problem>) {
    let Kind::Map(entries) = file.kind else { return };
    for entry in entries {
        match entry.key.as_str() {
            "network_policies" => match (value_of(root, "network_policies"), entry.value.kind) {
                (Some(Node { kind: Kind::List(all), .. }), Kind::List(items)) => all.extend(items),
                (Some(_), kind) => {
                    let message = format!(
                        "`network_policies` must be a list, and this is {}",
                        Node { kind, ..Node::empty(0) }.what()
                    );
                    problems.push(Problem::error(Path::default(), message).at_place(entry.place));
                }
                (None, kind) => {
                    if let Kind::Map(root) = &mut root.kind {
                        root.push(Entry { value: Node { kind, ..entry.value }, ..entry });
                    }
                }
            },
            _ if entry.is_note() => {}
            key => {
                let message = format!("{} does not belong into `policies.yml`", quoted(key));
                let problem = Problem::error(Path::default(), message).at_place(entry.place);
                problems.push(problem.help("it holds `network_policies` only; the rest goes into `base.yml`"));
            }
        }
    }
}
