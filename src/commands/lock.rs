//! One writer at a time: a lock that names its holder.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{ErrorKind, Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result};

use crate::failure::Hinted;

/// Held until it is dropped, or the process ends in whatever way.
#[derive(Debug)]
pub(crate) struct Lock {
    file: File,
}

impl Lock {
    /// The lock for another process too, which has it then for as long as it has this open.
    pub(crate) fn shared(&self) -> std::io::Result<Stdio> {
        self.file.try_clone().map(Stdio::from)
    }
}

/// Takes the lock for a command, or says who has it.
pub(crate) fn take(command: &str) -> Result<Lock> {
    take_at(&place(), command)
}

/// Is a command at work that took the lock?
pub(crate) fn is_taken() -> bool {
    is_taken_at(&place())
}

fn is_taken_at(place: &Path) -> bool {
    // Taken for a moment to find out, which is why a taker tries for longer than that.
    let opened = OpenOptions::new().read(true).open(place);
    opened.is_ok_and(|file| matches!(file.try_lock(), Err(TryLockError::WouldBlock)))
}

/// `/run/anklume/lock` for root; others have a directory of their own.
fn place() -> PathBuf {
    let run = Path::new("/run/anklume");
    if std::fs::create_dir_all(run).is_ok() {
        return run.join("lock");
    }
    let own = std::env::var_os("XDG_RUNTIME_DIR").map_or_else(std::env::temp_dir, PathBuf::from);
    own.join("anklume.lock")
}

fn take_at(place: &Path, command: &str) -> Result<Lock> {
    let open = || format!("the lock file {} cannot be opened", place.display());
    let mut file = match OpenOptions::new().read(true).write(true).create(true).truncate(false).open(place) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::PermissionDenied => {
            return Err(Hinted::new(format!("only root can {command}"), format!("`sudo anklume {command}`")).into());
        }
        Err(error) => return Err(error).with_context(open),
    };
    match patiently(&file) {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut holder = String::new();
            let _ = file.read_to_string(&mut holder);
            let holder = Some(holder.trim()).filter(|holder| !holder.is_empty()).unwrap_or("it did not leave its name");
            let message = format!("another anklume is at work: {holder}");
            return Err(Hinted::new(message, "wait until it is done, then run this again").into());
        }
        Err(TryLockError::Error(error)) => return Err(error).with_context(open),
    }
    // The name of the holder is for people; the lock itself is the kernel's.
    let user = std::env::var("USER").or_else(|_| std::env::var("LOGNAME"));
    let user = user.map(|user| format!(" of {user}")).unwrap_or_default();
    let _ = file.set_len(0).and_then(|()| file.rewind());
    let _ = writeln!(file, "`anklume {command}`{user}, process {}", std::process::id());
    Ok(Lock { file })
}

/// Whoever only looks whether it is taken has it for a moment.
fn patiently(file: &File) -> Result<(), TryLockError> {
    for _ in 0..10 {
        match file.try_lock() {
            Err(TryLockError::WouldBlock) => std::thread::sleep(Duration::from_millis(10)),
            result => return result,
        }
    }
    file.try_lock()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn looking_whether_it_is_taken_takes_it_from_nobody() {
        let dir = tempfile::tempdir().unwrap();
        let place = dir.path().join("lock");
        assert!(!is_taken_at(&place));
        drop(take_at(&place, "apply").unwrap());
        assert!(!is_taken_at(&place));
        let looking = std::thread::spawn({
            let place = place.clone();
            move || (0..20_000).filter(|_| is_taken_at(&place)).count()
        });
        for _ in 0..200 {
            let held = take_at(&place, "apply").unwrap();
            assert!(is_taken_at(&place));
            drop(held);
        }
        looking.join().unwrap();
    }

    #[test]
    fn the_second_one_is_told_who_holds_it() {
        let dir = tempfile::tempdir().unwrap();
        let place = dir.path().join("lock");
        let held = take_at(&place, "apply").unwrap();
        let refused = take_at(&place, "destroy").unwrap_err().to_string();
        assert!(refused.contains("`anklume apply`"), "{refused}");
        assert!(refused.contains(&format!("process {}", std::process::id())), "{refused}");
        drop(held);
        // A child of another test holds what was open when it was forked, until it has become its own program.
        let is_free = || {
            std::thread::sleep(std::time::Duration::from_millis(10));
            take_at(&place, "destroy").is_ok()
        };
        assert!((0..500).any(|_| is_free()));
    }
}
