//! Files of the host: as calls, so that a plan can show how each is written and taken away; and those beside the file of
//! the infrastructure, which are somebody's too.

use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, fchown};
use std::path::{Path, PathBuf};

use crate::incus::call::Call;

/// Puts a file in place: whole and on the disk, or not at all. Directories above it are made.
pub(crate) fn write(path: &str, mode: &str, text: &str) -> Vec<Call> {
    let new = format!("{path}.new");
    vec![
        Call::run("install", ["-D", "-m", mode, "/dev/stdin", &new]).text(text),
        Call::run("sync", [&new]),
        Call::run("mv", ["-f", &new, path]),
    ]
}

/// Takes files away, there or not.
pub(crate) fn remove<'a>(paths: impl IntoIterator<Item = &'a str>) -> Call {
    Call::run("rm", ["-f"].into_iter().chain(paths))
}

/// Puts something else into a file, or makes it (with this mode): as a whole or not at all, for the same people as before,
/// and never over what somebody wrote in the meantime. Behind a symbolic link it is the file that the link leads to.
pub(crate) fn replace(path: &Path, before: Option<&[u8]>, after: &[u8], mode: u32) -> io::Result<()> {
    let there = fs::symlink_metadata(path).is_ok();
    let path = if there { fs::canonicalize(path)? } else { path.to_owned() };
    let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let known = match before {
        Some(before) => Some(as_it_was(&path, before)?),
        None if there => return Err(meanwhile()),
        None => None,
    };
    if !dir.is_dir() {
        make_directory(dir)?;
    }
    let new = beside(&path);
    let make = || match &known {
        Some(known) => make_for(&new, known, after),
        None => make_in(&new, dir, mode, after),
    };
    let written = make().or_else(|error| {
        if error.kind() != io::ErrorKind::AlreadyExists {
            return Err(error);
        }
        // One that a run left that was cut off; or somebody's link to where nothing of ours is to be written.
        fs::remove_file(&new)?;
        make()
    });
    written.and_then(|()| fs::rename(&new, &path)).inspect_err(|_| drop(fs::remove_file(&new)))
}

/// Makes a file that is not there, for the same people as another one.
pub(crate) fn make_like(path: &Path, like: &Path, text: &[u8]) -> io::Result<()> {
    make_for(path, &fs::metadata(like)?, text)
}

/// What somebody wrote is in it: it has to be on the disk before the old one goes.
fn make_for(path: &Path, like: &fs::Metadata, text: &[u8]) -> io::Result<()> {
    let mut file = fs::File::create_new(path)?;
    file.set_permissions(like.permissions())?;
    give(&file, like)?;
    file.write_all(text)?;
    file.sync_all()
}

/// Nothing of anybody's is in it: it can be written again.
fn make_in(path: &Path, dir: &Path, mode: u32, text: &[u8]) -> io::Result<()> {
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(mode).open(path)?;
    give_to_owner_of(&file, dir);
    file.write_all(text)
}

/// Takes a file away that still is what it was.
pub(crate) fn remove_unchanged(path: &Path, before: &[u8]) -> io::Result<()> {
    as_it_was(path, before)?;
    fs::remove_file(path)
}

fn as_it_was(path: &Path, before: &[u8]) -> io::Result<fs::Metadata> {
    if fs::read(path)? == before { fs::metadata(path) } else { Err(meanwhile()) }
}

fn meanwhile() -> io::Error {
    io::Error::other("somebody changed it in the meantime; run this again")
}

/// Hidden, so that nobody who reads the directory takes it for one of its files.
fn beside(path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!(".{name}.anklume-new"))
}

/// Only root can give a file away; whoever is not root and may write here owns it already.
fn give(file: &fs::File, like: &fs::Metadata) -> io::Result<()> {
    let own = file.metadata()?;
    if (own.uid(), own.gid()) == (like.uid(), like.gid()) {
        return Ok(());
    }
    fchown(file, Some(like.uid()), Some(like.gid()))
}

/// What root makes in somebody's directory is theirs.
fn give_to_owner_of(file: &fs::File, dir: &Path) {
    let _ = fs::metadata(dir).and_then(|dir| give(file, &dir));
}

/// Makes a directory, and those above it, for whom the one above belongs to.
fn make_directory(dir: &Path) -> io::Result<()> {
    let above = dir.parent().filter(|above| !above.as_os_str().is_empty()).unwrap_or(Path::new("."));
    if !above.is_dir() {
        make_directory(above)?;
    }
    fs::create_dir(dir)?;
    give_to_owner_of(&fs::File::open(dir)?, above);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::incus::door::{Host, ThisHost};
    use std::os::unix::fs::PermissionsExt;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn a_file_is_replaced_as_a_whole_and_its_mode_stays() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("deep/down/x.yml");
        replace(&file, None, b"one", 0o600).unwrap();
        let first = fs::metadata(&file).unwrap().ino();
        replace(&file, Some(b"one"), b"two", 0o644).unwrap();
        assert_eq!((fs::read(&file).unwrap(), mode(&file)), (b"two".to_vec(), 0o600));
        assert_ne!(fs::metadata(&file).unwrap().ino(), first, "who reads the old one meanwhile reads it to its end");
        assert_eq!(fs::read_dir(file.parent().unwrap()).unwrap().count(), 1, "nothing is left beside it");
    }

    #[test]
    fn a_link_stays_one_and_the_file_that_it_leads_to_is_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let (file, link) = (dir.path().join("file"), dir.path().join("link"));
        fs::write(&file, "one").unwrap();
        std::os::unix::fs::symlink("file", &link).unwrap();
        replace(&link, Some(b"one"), b"two", 0o644).unwrap();
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(fs::read(&file).unwrap(), b"two");
        std::os::unix::fs::symlink("nowhere", dir.path().join("broken")).unwrap();
        assert!(replace(&dir.path().join("broken"), None, b"x", 0o644).is_err());
    }

    #[test]
    fn what_somebody_wrote_in_the_meantime_is_not_written_over() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("x.yml");
        fs::write(&file, "theirs").unwrap();
        for before in [None, Some(b"mine".as_slice())] {
            assert!(replace(&file, before, b"new", 0o644).unwrap_err().to_string().contains("in the meantime"));
        }
        assert!(remove_unchanged(&file, b"mine").is_err());
        assert_eq!(fs::read(&file).unwrap(), b"theirs");
        remove_unchanged(&file, b"theirs").unwrap();
        assert!(!file.exists());
    }

    async fn run(calls: &[Call]) {
        for call in calls {
            ThisHost.call(call).await.unwrap();
        }
    }

    #[tokio::test(flavor = "current_thread")]
    async fn a_file_is_written_with_its_directories_and_its_mode_and_replaced_as_a_whole() {
        use std::os::unix::fs::{MetadataExt, PermissionsExt};
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("deep/down/file");
        let name = path.to_str().unwrap();
        run(&write(name, "0600", "one\n")).await;
        let first = std::fs::metadata(&path).unwrap();
        assert_eq!(first.permissions().mode() & 0o777, 0o600);
        // Somebody who reads the old one meanwhile reads it to its end: another file takes its place.
        run(&write(name, "0644", "two, with no newline")).await;
        let second = std::fs::metadata(&path).unwrap();
        assert_ne!(first.ino(), second.ino());
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "two, with no newline");
        assert_eq!(std::fs::read_dir(path.parent().unwrap()).unwrap().count(), 1, "nothing is left beside it");
        run(&[remove([name, "/nowhere/at/all"])]).await;
        assert!(!path.exists());
    }

    #[test]
    fn a_file_is_shown_as_a_here_document() {
        let shown: Vec<String> =
            write("/etc/x", "0644", "one\ntwo\n").iter().map(|call| call.shell(|_, _| None)).collect();
        assert_eq!(shown[0], "install -D -m 0644 /dev/stdin /etc/x.new <<'EOF'\none\ntwo\nEOF");
        assert_eq!(shown[1..], ["sync /etc/x.new", "mv -f /etc/x.new /etc/x"]);
    }
}
