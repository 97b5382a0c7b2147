//! `anklume sync`: writes what Ansible reads, and keeps what its owner wrote beside it.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result};

use super::{DONE, Ground};
use crate::ansible::files::{self, Change, DIRECTORIES, Kept, Lost, Orphan, Sync, There};
use crate::ansible::groups;
use crate::cli::{Global, SyncArgs};
use crate::failure::Hinted;
use crate::host::files::{make_like, remove_unchanged, replace};
use crate::render::diff::diff;
use crate::ui::{Style, Ui};

/// Reads, compares, writes.
pub(crate) async fn run(global: &Global, args: &SyncArgs, ui: Ui) -> Result<ExitCode> {
    let dir = home(global, args.dir.as_deref());
    if args.clear {
        return clear(&dir, args, ui);
    }
    let mode = mode(global);
    let ground = Ground::read(global, args.offline, ui).await?;
    let sync = compared(&ground, &dir, args.prune)?;
    carry_out(&dir, &sync.changes, mode, args, ui)?;
    for orphan in &sync.orphans {
        tell_orphan(orphan, args.prune, ui);
    }
    warn(&dir, &sync, ui);
    let (count, word) = (sync.changes.len(), if args.check { "would be written" } else { "written" });
    ui.say(format!("{count} {word}, of {} files in {}.", sync.wanted.len(), dir.display()));
    Ok(code(args, &sync.changes))
}

/// Much of what the infrastructure says is in the files: they are for the same people.
fn mode(global: &Global) -> u32 {
    fs::metadata(infrastructure(global)).map_or(0o600, |known| known.mode() & 0o666)
}

/// What is to be written beside the file of the infrastructure.
pub(super) struct Renewal {
    dir: PathBuf,
    changes: Vec<Change>,
    mode: u32,
}

impl Renewal {
    pub(super) fn show(&self, ui: Ui) -> Result<()> {
        let check = SyncArgs { check: true, ..SyncArgs::default() };
        carry_out(&self.dir, &self.changes, self.mode, &check, ui)
    }

    pub(super) fn write(&self, ui: Ui) -> Result<()> {
        carry_out(&self.dir, &self.changes, self.mode, &SyncArgs::default(), ui)
    }
}

/// What a sync would write; `None` where it would write nothing.
pub(super) fn renewal(global: &Global, ground: &Ground) -> Result<Option<Renewal>> {
    let dir = home(global, None);
    let changes = compared(ground, &dir, false)?.changes;
    Ok((!changes.is_empty()).then(|| Renewal { dir, changes, mode: mode(global) }))
}

/// Is there any part of anklume's in the files of a directory?
pub(super) fn has_sections(dir: &Path) -> Result<bool> {
    Ok(!files::cleared(&there(dir)?).is_empty())
}

/// Takes anklume's part out of all files; those that have nothing else in them go.
pub(super) fn clear(dir: &Path, args: &SyncArgs, ui: Ui) -> Result<ExitCode> {
    let changes = files::cleared(&there(dir)?);
    // None is made.
    carry_out(dir, &changes, 0o600, args, ui)?;
    if !args.check {
        // Only those go that are empty.
        for name in DIRECTORIES {
            let _ = fs::remove_dir(dir.join(name));
        }
    }
    let gone = changes.iter().filter(|change| change.after.is_none()).count();
    let (left, word) = (changes.len() - gone, if args.check { "would go" } else { "gone" });
    ui.say(format!("{gone} {word}, {left} with only what is yours."));
    Ok(code(args, &changes))
}

fn code(args: &SyncArgs, changes: &[Change]) -> ExitCode {
    if args.check && !changes.is_empty() { ExitCode::FAILURE } else { DONE }
}

/// Writes and tells; with `--check` it only tells.
fn carry_out(dir: &Path, changes: &[Change], mode: u32, args: &SyncArgs, ui: Ui) -> Result<()> {
    for change in changes {
        let backup = if args.check { None } else { write(dir, change, mode)? };
        tell(change, backup.as_deref(), args, ui);
    }
    Ok(())
}

/// What Ansible will not read as its owner may think.
fn warn(dir: &Path, sync: &Sync, ui: Ui) {
    let warning = ui.err.paint(Style::Yellow, "warning:");
    for (path, keys) in &sync.written_twice {
        let keys = keys.join("`, `");
        ui.say(format!(
            "{warning} {path}: `{keys}` is written twice, by anklume and around it: only one of them counts"
        ));
    }
    for (path, instead) in shadowed(dir, sync) {
        ui.say(format!("{warning} {path} is not read by Ansible, since {instead} is there too"));
    }
}

/// Where the files are: beside the file of the infrastructure, unless something else is said.
pub(super) fn home(global: &Global, dir: Option<&Path>) -> PathBuf {
    let above = global.file.as_deref().and_then(Path::parent).filter(|above| !above.as_os_str().is_empty());
    dir.or(above).unwrap_or(Path::new(".")).to_owned()
}

/// The file or the directory that `-f` names, or that is taken without it.
pub(super) fn infrastructure(global: &Global) -> PathBuf {
    let default = || if Path::new("infra.yml").is_file() { "infra.yml".into() } else { PathBuf::from("infra") };
    global.file.clone().unwrap_or_else(default)
}

/// What is to be done in a directory.
pub(super) fn compared(ground: &Ground, dir: &Path, prune: bool) -> Result<Sync> {
    if let Some(name) = groups::reserved(&ground.desired.domains) {
        let message = format!("Ansible has a group of its own that is called `{name}`, so the domain cannot be one");
        return Err(Hinted::new(message, "rename the domain in the file").into());
    }
    let there = there(dir)?;
    Ok(files::sync(&ground.loaded.infra, &ground.desired, &there, prune))
}

/// The files that are there.
fn there(dir: &Path) -> Result<There> {
    let mut there = There::new();
    for name in DIRECTORIES {
        read_into(&mut there, dir, name).with_context(|| format!("{} cannot be read", dir.join(name).display()))?;
    }
    Ok(there)
}

fn read_into(there: &mut There, dir: &Path, name: &str) -> std::io::Result<()> {
    let listed = match fs::read_dir(dir.join(name)) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        listed => listed?,
    };
    for entry in listed {
        let entry = entry?;
        let (path, file) = (entry.path(), entry.file_name().to_string_lossy().into_owned());
        let is_one = path.extension().is_some_and(|ending| ending == "yml") && !file.starts_with('.');
        if is_one && fs::metadata(&path).is_ok_and(|known| known.is_file()) {
            there.insert(format!("{name}/{file}"), fs::read(path)?);
        }
    }
    Ok(())
}

/// Writes a change, a new file with this mode; and first, beside it, what would be lost with it; says where that is.
fn write(dir: &Path, change: &Change, mode: u32) -> Result<Option<String>> {
    let path = dir.join(&change.path);
    let done = || -> std::io::Result<Option<String>> {
        let backup = match (&change.before, change.lost) {
            (Some(before), Some(_)) => Some(keep(dir, &change.path, before)?),
            _ => None,
        };
        match (&change.before, &change.after) {
            (before, Some(after)) => replace(&path, before.as_deref(), after, mode)?,
            (Some(before), None) => remove_unchanged(&path, before)?,
            (None, None) => {}
        }
        Ok(backup)
    };
    done().with_context(|| format!("{} cannot be written", path.display()))
}

/// Puts a copy beside a file: `x.yml.bak`, or `x.yml.2.bak` and so on where another one is there. Ansible reads no file that
/// ends so.
fn keep(dir: &Path, path: &str, text: &[u8]) -> std::io::Result<String> {
    let names = (1..).map(|count| if count == 1 { format!("{path}.bak") } else { format!("{path}.{count}.bak") });
    for name in names {
        match fs::read(dir.join(&name)) {
            Ok(there) if there == text => return Ok(name),
            Ok(_) => {}
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                make_like(&dir.join(&name), &dir.join(path), text)?;
                return Ok(name);
            }
            Err(error) => return Err(error),
        }
    }
    unreachable!("there is always another number")
}

fn tell(change: &Change, backup: Option<&str>, args: &SyncArgs, ui: Ui) {
    let (sign, style) = match (&change.before, &change.after) {
        (None, _) => ('+', Style::Green),
        (_, None) => ('-', Style::Red),
        _ => ('~', Style::Yellow),
    };
    ui.print(format!("{} {}\n", ui.out.paint(style, sign), change.path));
    if let Some(lost) = change.lost {
        let why = match lost {
            Lost::ByHand => "what anklume writes in it was changed by hand",
            Lost::Unknown => "an earlier anklume wrote it, and nobody can tell what was changed by hand",
        };
        let kept = backup.map_or_else(|| "would be kept".into(), |backup| format!("is kept as {backup}"));
        ui.say(format!("{} {}: {why}: it {kept}", ui.err.paint(Style::Yellow, "warning:"), change.path));
    }
    if args.diff {
        let text = |side: &Option<Vec<u8>>| String::from_utf8_lossy(side.as_deref().unwrap_or_default()).into_owned();
        ui.print(diff(&text(&change.before), &text(&change.after), &ui.out));
    }
}

fn tell_orphan(orphan: &Orphan, prune: bool, ui: Ui) {
    let why = match orphan.kept {
        None if prune => return,
        None => "`--prune` removes it",
        Some(Kept::Somebodys) => "something of yours is in it: delete it by hand",
        Some(Kept::Protected) => "it was protected: delete it by hand",
    };
    let sign = ui.out.paint(Style::Yellow, '!');
    ui.print(format!("{sign} {}  not in the infrastructure; {why}\n", orphan.path));
}

/// Files that Ansible passes over: where there is a file or a directory of that name without an ending, it reads only that.
fn shadowed<'a>(dir: &Path, sync: &'a Sync) -> impl Iterator<Item = (&'a str, &'a str)> {
    let variables = sync.wanted.iter().filter(|path| !path.starts_with("inventory/"));
    let pairs = variables.filter_map(|path| Some((path.as_str(), path.strip_suffix(".yml")?)));
    pairs.filter(move |(_, bare)| dir.join(bare).exists())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::infra::model::Infra;
    use crate::resolve::sample::{domain, infra, machine, sound};
    use std::time::Instant;

    fn hundred_times_ten() -> Infra {
        let machines = |home: usize| (0..10).map(move |number| format!("m{home}-{number}"));
        let mut all = infra([]);
        for home in 0..100 {
            let names: Vec<String> = machines(home).collect();
            all.domains.insert(format!("d{home}"), domain(names.iter().map(|name| (name.as_str(), machine()))));
        }
        all
    }

    #[test]
    fn a_large_infrastructure_is_written_at_once_and_the_second_time_nothing_is() {
        let dir = tempfile::tempdir().unwrap();
        let infra = hundred_times_ten();
        let desired = sound(&infra);
        let begin = Instant::now();
        let sync = files::sync(&infra, &desired, &there(dir.path()).unwrap(), false);
        for change in &sync.changes {
            write(dir.path(), change, 0o644).unwrap();
        }
        let took = begin.elapsed();
        assert_eq!(sync.changes.len(), 1201);
        // Built without optimisation, and beside other tests.
        assert!(took.as_millis() < 5000, "{took:?}");
        assert_eq!(files::sync(&infra, &desired, &there(dir.path()).unwrap(), true).changes, []);
    }
}
