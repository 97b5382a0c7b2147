//! Which files make up the infrastructure, and what is in them.

use std::fs;
use std::path::{Path as File, PathBuf};

use super::Failure;
use super::problem::{Path, Place, Problem};

/// The largest file that is read.
const MAX_SIZE: u64 = 4 * 1024 * 1024;

/// A file as it was read.
pub(super) struct Text {
    pub(super) role: Role,
    /// As the user calls it.
    pub(super) name: String,
    pub(super) content: String,
    /// Why there is no text.
    pub(super) wrong: Option<Problem>,
}

/// What a file is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
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

/// Reads what `-f` names, or `infra.yml` or `infra/` here: what it is called, its files, and warnings about others.
pub(super) fn read(path: Option<&File>) -> Result<(String, Vec<Text>, Vec<Problem>), Failure> {
    let (path, mut warnings) = choose(path)?;
    if !path.is_dir() {
        let name = path.display().to_string();
        return Ok((name, vec![text(Role::Whole, &path, 0)?], warnings));
    }
    let (ignored, files): (Vec<_>, Vec<_>) =
        directory(&path)?.into_iter().partition(|(role, _)| *role == Role::Ignored);
    warnings.extend(ignored.iter().map(|(_, file)| {
        nowhere(format!("{} is not read: its name does not end in `.yml`", file.display())).help("rename it")
    }));
    let texts = files.iter().enumerate().map(|(number, (role, file))| text(*role, file, number));
    let texts = texts.collect::<Result<Vec<_>, _>>()?;
    Ok((format!("{}/", path.display().to_string().trim_end_matches('/')), texts, warnings))
}

/// A warning about no line of any file.
fn nowhere(message: impl Into<String>) -> Problem {
    Problem::warning(Path::default(), message).at_place(Place { file: usize::MAX, start: 0, end: 0 })
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
            Ok((file.to_owned(), vec![nowhere(message).help("remove one, or choose with `-f infra`")]))
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
fn text(role: Role, path: &File, number: usize) -> Result<Text, Failure> {
    let name = path.display().to_string();
    let size = fs::metadata(path).map_err(|error| unreadable(path, &error))?.len();
    if size > MAX_SIZE {
        let problem = Problem::error(Path::default(), "this file is larger than 4 MiB")
            .at_place(Place { file: number, start: 0, end: 0 })
            .help("an infrastructure is text: is this the right file?");
        return Ok(Text { role, name, content: String::new(), wrong: Some(problem) });
    }
    let bytes = fs::read(path).map_err(|error| unreadable(path, &error))?;
    Ok(match String::from_utf8(bytes) {
        Ok(content) => Text { role, name, content, wrong: None },
        Err(error) => {
            let start = error.utf8_error().valid_up_to();
            let content = String::from_utf8_lossy(error.as_bytes()).into_owned();
            let problem = Problem::error(Path::default(), "this is not UTF-8 text")
                .at_place(Place { file: number, start, end: start + '\u{fffd}'.len_utf8() })
                .help("save the file as UTF-8");
            Text { role, name, content, wrong: Some(problem) }
        }
    })
}
