//! `anklume init`: a small file to start from.

use std::fs::{self, OpenOptions};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result};

use super::DONE;
use crate::cli::InitArgs;
use crate::failure::Hinted;
use crate::ui::Ui;

/// The file, but for its name.
const TEMPLATE: &str = include_str!("init.yml");
const NAME: &str = "my-host";

/// Writes it, where there is none.
pub(crate) fn run(args: &InitArgs, ui: Ui) -> Result<ExitCode> {
    let file = write(&args.directory)?;
    ui.say(format!("{} is there: read it, change what you like, then", file.display()));
    ui.say(format!("    anklume -f {} plan", file.display()));
    Ok(DONE)
}

fn write(directory: &Path) -> Result<PathBuf> {
    let file = directory.join("infra.yml");
    for there in [&file, &directory.join("infra")] {
        if there.exists() {
            return Err(in_the_way(there).into());
        }
    }
    fs::create_dir_all(directory).with_context(|| format!("{} cannot be made", directory.display()))?;
    let written = OpenOptions::new().write(true).create_new(true).open(&file);
    let written = written.and_then(|mut new| new.write_all(text(directory).as_bytes()));
    match written {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => return Err(in_the_way(&file).into()),
        written => written.with_context(|| format!("{} cannot be written", file.display()))?,
    }
    Ok(file)
}

fn in_the_way(there: &Path) -> Hinted {
    let message = format!("{} is there already, and stays as it is", there.display());
    Hinted::new(message, "choose another directory")
}

/// The template, with the name of the directory.
fn text(directory: &Path) -> String {
    TEMPLATE.replace(NAME, &name(directory))
}

/// The last part of the path as an infrastructure can be called.
fn name(directory: &Path) -> String {
    let whole = std::path::absolute(directory).unwrap_or_else(|_| directory.to_owned());
    let last = whole.file_name().map(|name| name.to_string_lossy().to_lowercase()).unwrap_or_default();
    let slug = |c: char| if c.is_ascii_lowercase() || c.is_ascii_digit() { c } else { '-' };
    let name: String = last.chars().map(slug).take(40).collect();
    match name.trim_matches('-') {
        "" => NAME.to_owned(),
        name => name.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::facts::Facts;
    use crate::infra;
    use crate::resolve::{Holds, resolve};

    #[test]
    fn what_it_writes_is_good_and_all_of_it_is_done_by_this_version() {
        let root = tempfile::tempdir().unwrap();
        let directory = root.path().join("My Lab, 2nd floor");
        let loaded = infra::load(Some(&write(&directory).unwrap())).unwrap_or_else(|why| panic!("{why:?}"));
        assert_eq!(loaded.problems, []);
        assert_eq!(loaded.infra.project_name, "my-lab--2nd-floor");
        let (desired, problems) = resolve(&loaded.infra, &Facts::default(), &Holds::default());
        assert_eq!(problems, []);
        assert!(!desired.domains.is_empty() && !desired.wall.openings.is_empty());
    }

    #[test]
    fn nothing_is_written_over() {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir_all(root.path().join("a/infra")).unwrap();
        fs::create_dir(root.path().join("b")).unwrap();
        fs::write(root.path().join("b/infra.yml"), "mine").unwrap();
        for name in ["a", "b"] {
            let refused = write(&root.path().join(name)).unwrap_err().to_string();
            assert!(refused.contains("is there already"), "{refused}");
        }
        assert_eq!(fs::read_to_string(root.path().join("b/infra.yml")).unwrap(), "mine");
        assert!(!root.path().join("a/infra.yml").exists());
    }

    #[test]
    fn a_directory_gives_its_name_as_far_as_it_can() {
        assert_eq!(name(Path::new("/x/Work")), "work");
        assert_eq!(name(Path::new("/x/.config")), "config");
        assert_eq!(name(Path::new("/")), "my-host");
    }
}
