//! Which files make up the infrastructure, and how several become one tree.

use std::fs;
use std::path::{Path as File, PathBuf};

use super::at::quoted;
use super::node::{Entry, Kind, Node};
use super::problem::{Path, Place, Problem};
use super::source::{Source, Sources};
use super::{Failure, yaml};

/// The largest file that is read.
const MAX_SIZE: u64 = 4 * 1024 * 1024;

/// Reads what `-f` names, or `infra.yml` or `infra/` here. Broken YAML and files in the wrong place are problems.
pub(super) fn read(path: Option<&File>) -> Result<(Sources, Vec<Problem>), Failure> {
    let (path, mut problems) = choose(path)?;
    let mut files = if path.is_dir() { directory(&path)? } else { vec![(Role::Whole, path.clone())] };
    files.retain(|(role, file)| {
        let wrong_ending = *role == Role::Ignored;
        if wrong_ending {
            let message = format!("{} is not read: its name does not end in `.yml`", file.display());
            let place = Place { file: usize::MAX, start: 0, end: 0 };
            problems.push(Problem::warning(Path::default(), message).at_place(place).help("rename it"));
        }
        !wrong_ending
    });
    let mut sources = Vec::new();
    let mut trees = Vec::new();
    for (number, (role, file)) in files.into_iter().enumerate() {
        let (text, invalid) = text(&file, number)?;
        problems.extend(invalid.clone());
        if invalid.is_none() {
            match yaml::read(&text, number) {
                Ok(mut tree) => {
                    tree.merge(&mut problems);
                    trees.push((role, tree));
                }
                Err(problem) => problems.push(*problem),
            }
        }
        sources.push(Source::new(file.display().to_string(), text));
    }
    let broken = trees.len() < sources.len();
    let root = if path.is_dir() { joined(trees, &mut problems) } else { whole(trees) };
    let name = if path.is_dir() {
        format!("{}/", path.display().to_string().trim_end_matches('/'))
    } else {
        path.display().to_string()
    };
    let sources = Sources::new(name, sources, root);
    if broken { Err(Failure::Invalid { problems, sources: Box::new(sources) }) } else { Ok((sources, problems)) }
}

/// What a file is for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Role {
    /// `infra.yml`: everything.
    Whole,
    /// `infra/base.yml`.
    Base,
    /// `infra/domains/*.yml`.
    Domains,
    /// `infra/policies.yml`.
    Policies,
    /// Looks like one of them, and is not.
    Ignored,
}

/// The file or directory to read; a warning when there are both.
fn choose(path: Option<&File>) -> Result<(PathBuf, Vec<Problem>), Failure> {
    if let Some(path) = path {
        return if path.exists() { Ok((path.to_owned(), Vec::new())) } else { Err(missing(path)) };
    }
    let (file, directory) = (File::new("infra.yml"), File::new("infra"));
    match (file.is_file(), directory.join("base.yml").is_file() || directory.is_dir()) {
        (true, true) if directory.join("base.yml").is_file() => {
            let message = "both `infra.yml` and `infra/` are here, and only `infra.yml` is read";
            let place = Place { file: usize::MAX, start: 0, end: 0 };
            let warning = Problem::warning(Path::default(), message).at_place(place);
            Ok((file.to_owned(), vec![warning.help("remove one, or choose with `-f infra`")]))
        }
        (true, _) => Ok((file.to_owned(), Vec::new())),
        (false, true) => Ok((directory.to_owned(), Vec::new())),
        (false, false) => Err(Failure::Unreadable {
            message: "there is no `infra.yml` and no `infra/` here".to_owned(),
            help: Some(if File::new("infra.yaml").exists() {
                "rename `infra.yaml` to `infra.yml`, or write `-f infra.yaml`".to_owned()
            } else {
                "go to the directory that has one, name it with `-f PATH`, or start with `anklume init`".to_owned()
            }),
        }),
    }
}

fn missing(path: &File) -> Failure {
    Failure::Unreadable {
        message: format!("{} is not there", path.display()),
        help: Some("`-f` takes an `infra.yml`, or a directory with a `base.yml`".to_owned()),
    }
}

/// The files of the directory form, in the order they are merged.
fn directory(path: &File) -> Result<Vec<(Role, PathBuf)>, Failure> {
    let base = path.join("base.yml");
    if !base.is_file() {
        let nearer = ["infra.yml", "infra/base.yml", "base.yaml"].map(|name| path.join(name));
        return Err(Failure::Unreadable {
            message: format!("{} has no `base.yml`", path.display()),
            help: Some(match nearer.iter().find(|file| file.is_file()) {
                Some(file) if file.ends_with("infra/base.yml") => {
                    format!("write `-f {}`", path.join("infra").display())
                }
                Some(file) if file.ends_with("base.yaml") => "rename `base.yaml` to `base.yml`".to_owned(),
                Some(file) => format!("write `-f {}`", file.display()),
                None => "it holds `project_name` and `global`".to_owned(),
            }),
        });
    }
    let mut files = vec![(Role::Base, base)];
    let domains = path.join("domains");
    if domains.is_dir() {
        let listed = fs::read_dir(&domains).and_then(Iterator::collect::<Result<Vec<_>, _>>);
        let mut names: Vec<PathBuf> =
            listed.map_err(|error| unreadable(&domains, &error))?.iter().map(fs::DirEntry::path).collect();
        names.sort();
        let hidden = |file: &File| file.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'));
        for file in names.into_iter().filter(|file| !hidden(file)) {
            match file.extension().and_then(|ending| ending.to_str()) {
                Some("yml") => files.push((Role::Domains, file)),
                Some("yaml") => files.push((Role::Ignored, file)),
                _ => {}
            }
        }
    }
    let policies = path.join("policies.yml");
    if policies.is_file() {
        files.push((Role::Policies, policies));
    } else if path.join("policies.yaml").is_file() {
        files.push((Role::Ignored, path.join("policies.yaml")));
    }
    Ok(files)
}

fn unreadable(path: &File, error: &std::io::Error) -> Failure {
    Failure::Unreadable { message: format!("{} cannot be read: {error}", path.display()), help: None }
}

/// The text of a file, and what is wrong with its bytes.
fn text(path: &File, number: usize) -> Result<(String, Option<Problem>), Failure> {
    let size = fs::metadata(path).map_err(|error| unreadable(path, &error))?.len();
    if size > MAX_SIZE {
        let problem = Problem::error(Path::default(), "this file is larger than 4 MiB")
            .at_place(Place { file: number, start: 0, end: 0 })
            .help("an infrastructure is text: is this the right file?");
        return Ok((String::new(), Some(problem)));
    }
    let bytes = fs::read(path).map_err(|error| unreadable(path, &error))?;
    Ok(match String::from_utf8(bytes) {
        Ok(text) => (text, None),
        Err(error) => {
            let start = error.utf8_error().valid_up_to();
            let text = String::from_utf8_lossy(error.as_bytes()).into_owned();
            let problem = Problem::error(Path::default(), "this is not UTF-8 text")
                .at_place(Place { file: number, start, end: start + '\u{fffd}'.len_utf8() })
                .help("save the file as UTF-8");
            (text, Some(problem))
        }
    })
}

fn whole(trees: Vec<(Role, Node)>) -> Node {
    trees.into_iter().next().map_or_else(|| Node::empty(0), |(_, tree)| tree)
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
