//! The image repository: a directory of exported images, `REMOTE/ALIAS/container` and `REMOTE/ALIAS/vm`, that nested
//! hosts and hosts without a network import from.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

/// An image as the file names it (`images:debian/13`, `golden`), and whether it is for virtual machines.
pub(crate) type Name = (String, bool);

/// What a repository holds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Repository {
    /// The files of each image, as `incus image import` takes them: the one with its metadata first.
    pub(crate) images: BTreeMap<Name, Vec<String>>,
}

/// The place of images that belong to no remote.
const LOCAL: &str = "local";
/// Files under this name are not whole yet.
const PART: &str = ".part";
const KINDS: [(&str, bool); 2] = [("container", false), ("vm", true)];

impl Repository {
    /// Looks through a directory.
    ///
    /// # Errors
    /// The directory, or one in it, cannot be read.
    pub(crate) fn read(dir: &Path) -> io::Result<Self> {
        let mut repository = Self::default();
        for remote in subdirectories(dir)? {
            repository.take(&remote, &file_name(&remote), "")?;
        }
        Ok(repository)
    }

    fn take(&mut self, dir: &Path, remote: &str, alias: &str) -> io::Result<()> {
        if !alias.is_empty() {
            let image = if remote == LOCAL { alias.to_owned() } else { format!("{remote}:{alias}") };
            for (kind, vm) in KINDS {
                if let Some(files) = files(dir, kind)? {
                    self.images.insert((image.clone(), vm), files);
                }
            }
        }
        for sub in subdirectories(dir)? {
            let name = file_name(&sub);
            let alias = if alias.is_empty() { name } else { format!("{alias}/{name}") };
            self.take(&sub, remote, &alias)?;
        }
        Ok(())
    }
}

/// The directory of an image, and the first part of its files' names.
pub(crate) fn place(repository: &Path, image: &str, vm: bool) -> (PathBuf, &'static str) {
    let (remote, alias) = image.split_once(':').unwrap_or((LOCAL, image));
    (repository.join(remote).join(alias), if vm { "vm" } else { "container" })
}

/// The name to export an image to, until it is whole.
pub(crate) fn part(dir: &Path, kind: &str) -> PathBuf {
    dir.join(format!("{kind}{PART}"))
}

/// Gives the files of a whole export their names: the root first, since an image is there once its metadata is.
///
/// # Errors
/// Files cannot be listed or renamed.
pub(crate) fn settle(dir: &Path, kind: &str) -> io::Result<()> {
    let start = format!("{kind}{PART}");
    let mut parts: Vec<String> = names(dir)?.into_iter().filter(|name| name.starts_with(&start)).collect();
    parts.sort_by_key(|name| name.strip_suffix(".root").is_none());
    for name in parts {
        std::fs::rename(dir.join(&name), dir.join(name.replacen(PART, "", 1)))?;
    }
    Ok(())
}

/// `container` or `container.tar.xz`, and `container.root` where the image comes in two.
fn files(dir: &Path, kind: &str) -> io::Result<Option<Vec<String>>> {
    let names = names(dir)?;
    let path = |name: &String| dir.join(name).to_string_lossy().into_owned();
    let is_metadata = |name: &&String| **name == kind || name.starts_with(&format!("{kind}.tar"));
    let Some(metadata) = names.iter().find(is_metadata) else { return Ok(None) };
    let root = names.iter().find(|name| **name == format!("{kind}.root"));
    Ok(Some([metadata].into_iter().chain(root).map(path).collect()))
}

fn names(dir: &Path) -> io::Result<Vec<String>> {
    let entries = std::fs::read_dir(dir)?.collect::<io::Result<Vec<_>>>()?;
    let files = entries.into_iter().filter(|entry| entry.path().is_file());
    let mut names: Vec<String> = files.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    Ok(names)
}

fn subdirectories(dir: &Path) -> io::Result<Vec<PathBuf>> {
    let entries = std::fs::read_dir(dir)?.collect::<io::Result<Vec<_>>>()?;
    let mut dirs: Vec<PathBuf> = entries.into_iter().map(|entry| entry.path()).filter(|path| path.is_dir()).collect();
    dirs.sort();
    Ok(dirs)
}

fn file_name(path: &Path) -> String {
    path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(files: &[&str]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for file in files {
            let path = dir.path().join(file);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "x").unwrap();
        }
        dir
    }

    fn shown(dir: &Path) -> Vec<String> {
        let repository = Repository::read(dir).unwrap();
        let each = repository.images.iter();
        each.map(|((image, vm), files)| format!("{image}{} {}", if *vm { " vm" } else { "" }, files.len())).collect()
    }

    #[test]
    fn an_image_is_found_by_remote_alias_and_kind() {
        let dir = with(&[
            "images/debian/13/container",
            "images/debian/13/container.root",
            "images/debian/13/vm.tar.xz",
            "images/debian/13/vm.root",
            "images/debian/13/cloud/container.tar.gz",
            "local/golden/container",
            "images/half/container.root",
            "images/begun/container.part",
            "README",
        ]);
        let expected = ["golden 1", "images:debian/13 2", "images:debian/13 vm 2", "images:debian/13/cloud 1"];
        assert_eq!(shown(dir.path()), expected);
        assert!(Repository::read(&dir.path().join("nowhere")).is_err());
    }

    #[test]
    fn an_export_is_there_only_once_it_is_whole() {
        let dir = with(&[]);
        let (place, kind) = place(dir.path(), "images:alpine/3.20", true);
        std::fs::create_dir_all(&place).unwrap();
        for end in ["", ".root"] {
            std::fs::write(format!("{}{end}", part(&place, kind).display()), "x").unwrap();
        }
        assert!(shown(dir.path()).is_empty());
        settle(&place, kind).unwrap();
        assert_eq!(shown(dir.path()), ["images:alpine/3.20 vm 2"]);
    }
}
