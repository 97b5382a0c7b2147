//! `anklume backup` and `restore-backup`: a machine with its volumes as one file, and from one.

use std::fs::{self, File};
use std::io::{BufReader, BufWriter, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::relocate::{self, Trip, quiet};
use super::{DONE, Ground, apply, check_file, lock};
use crate::carry::archive::{self, Entry};
use crate::carry::copying::{completion, leftovers};
use crate::carry::{Cargo, Obstacle, action, in_a_row};
use crate::cli::{BackupArgs, Global, RestoreBackupArgs};
use crate::failure::{Hinted, Unfinished};
use crate::host::clock;
use crate::incus::call::Call;
use crate::incus::door::{Host, ThisHost, perform};
use crate::incus::live::Live;
use crate::infra::rewrite::Edited;
use crate::plan::{Action, Id, Kind, Plan, Verb};
use crate::resources::fields::mark;
use crate::resources::instance::Instances;
use crate::resources::journey::{Journey, Load, part, volume_part};
use crate::resources::{Found, volume};
use crate::ui::Ui;

/// What a backup says of itself, its first member.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Manifest {
    format: u32,
    made: String,
    name: String,
    domain: String,
    vm: bool,
    /// As the file had it, without an address.
    entry: String,
    /// The machine first, then its volumes.
    members: Vec<Member>,
}

/// A member of a backup, as Incus exported it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Member {
    file: String,
    size: u64,
    sha256: String,
    /// Of a volume: what the machine calls it, and its pool and name when it was exported.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    volume: Option<(String, String)>,
}

const MANIFEST: &str = "manifest.json";
const INSTANCE: &str = "instance.tar.gz";
const FORMAT: u32 = 1;

/// Writes a machine with its volumes into a file.
pub(crate) async fn backup(global: &Global, args: &BackupArgs, ui: Ui) -> Result<ExitCode> {
    let _lock = lock::take("backup")?;
    check_file(global, ui)?;
    quiet(ui).await?;
    let ground = Ground::read(global, false, ui).await?;
    let name = &args.name;
    relocate::domain_of(&ground, name)?;
    let (domain, machine) = relocate::machine(&ground, name)?;
    let id = Id::within(Kind::Instance, &domain.project, &machine.instance);
    let Some(source) = ground.live.found.get(&id) else {
        return Err(Hinted::new(format!("{name} is not made yet"), "`anklume apply` makes it").into());
    };
    if source.is_ephemeral() {
        let hint = "write `instance_ephemeral: false`, `anklume apply`, then this again";
        return Err(Hinted::new(format!("{name} has to stop for it, and is gone when it stops"), hint).into());
    }
    let file = std::path::absolute(&args.backup)?;
    if file.exists() {
        return Err(Hinted::new(format!("{} is there already", file.display()), "name another file").into());
    }
    let cargo = Cargo::pack(source, &ground.live, (domain, machine), false, "");
    let work = Work::new(&file)?;
    let volumes: Vec<(String, Id)> = cargo.attached().collect();
    let plan = exporting(source, &volumes, &domain.name, &work);
    agree(&plan, "", args.yes, ui)?;
    for directory in machine.directories.iter().filter(|directory| !directory.shared) {
        ui.say(format!("not in it: {}, which is a directory of this host", directory.path));
    }
    let report = apply::carry_out(&plan, apply::bounds(Some(1)), ui).await?;
    if source.is_up() {
        perform(&ThisHost, &Instances::start(&id)).await.context("the machine does not start again")?;
    }
    if !report.is_clean() {
        return Err(Hinted::new("no backup was made", "once what failed is mended, run it again").into());
    }
    let entry = ground.loaded.entry(&domain.name, name).unwrap_or_default();
    let manifest = manifest(&work, (name, &domain.name, machine.vm, &entry), &volumes)?;
    seal(&work, &manifest, &file).await?;
    let size = fs::metadata(&file).map(|known| known.len()).unwrap_or_default();
    ui.say(format!("{name} is in {}, {} MiB.", file.display(), size.div_ceil(1 << 20)));
    Ok(DONE)
}

fn exporting(source: &Found, volumes: &[(String, Id)], domain: &str, work: &Work) -> Plan {
    let id = &source.id;
    let mut actions = Vec::new();
    if source.is_up() {
        actions.push(action(
            Verb::Stop,
            id.clone(),
            domain,
            "until it is exported".into(),
            vec![Instances::stop(source)],
        ));
    }
    let to = work.path(INSTANCE);
    let call = Call::incus(["export", &id.name, &to, "--project", &id.project, "--compression", "gzip"]);
    actions.push(action(Verb::Export, id.clone(), domain, "with its snapshots".into(), vec![call]));
    for (at, (_, volume)) in volumes.iter().enumerate() {
        let ((pool, name), to) = (volume::parts(volume), work.path(&volume_file(at)));
        let words = ["storage", "volume", "export", pool, name, &to, "--project", &volume.project];
        let call = Call::incus(words.into_iter().chain(["--compression", "gzip"]));
        actions.push(action(Verb::Export, volume.clone(), domain, String::new(), vec![call]));
    }
    in_a_row(actions)
}

fn volume_file(at: usize) -> String {
    format!("volume-{at}.tar.gz")
}

fn manifest(
    work: &Work,
    (name, domain, vm, entry): (&str, &str, bool, &str),
    volumes: &[(String, Id)],
) -> Result<Manifest> {
    let mut members = vec![work.member(INSTANCE, None)?];
    for (at, (device, id)) in volumes.iter().enumerate() {
        members.push(work.member(&volume_file(at), Some((device.clone(), id.name.clone())))?);
    }
    let (name, domain, entry) = (name.to_owned(), domain.to_owned(), entry.to_owned());
    Ok(Manifest { format: FORMAT, made: clock::now(), name, domain, vm, entry, members })
}

/// Puts all of it into the file, which has its name only once it is whole and on the disk.
async fn seal(work: &Work, manifest: &Manifest, file: &Path) -> Result<()> {
    let text = serde_json::to_string_pretty(manifest).context("the manifest cannot be written")?;
    fs::write(work.path(MANIFEST), text).context("the manifest cannot be written")?;
    let whole = work.path("whole.tar");
    let open = || fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&whole);
    open().with_context(|| format!("{whole} cannot be written"))?;
    let files = manifest.members.iter().map(|member| member.file.as_str());
    let words = ["--format=posix", "-cf", whole.as_str(), "-C", work.text(), MANIFEST];
    ThisHost.call(&Call::run("tar", words.into_iter().chain(files))).await.context("the file cannot be written")?;
    File::open(&whole).and_then(|file| file.sync_all()).context("the file cannot be written")?;
    fs::rename(&whole, file).with_context(|| format!("{} cannot be written", file.display()))
}

/// Makes a machine from such a file.
pub(crate) async fn restore(global: &Global, args: &RestoreBackupArgs, ui: Ui) -> Result<ExitCode> {
    let _lock = lock::take("restore-backup")?;
    check_file(global, ui)?;
    quiet(ui).await?;
    let file = std::path::absolute(&args.backup)?;
    let work = Work::new(&file)?;
    let manifest = opened(&file, &work).await?;
    let ground = Ground::read(global, false, ui).await?;
    let name = args.name.as_ref().unwrap_or(&manifest.name);
    let edited = edited(&ground, &manifest, name, args.to.as_deref(), ui)?;
    let target = ground.with(edited.loaded.clone(), ui)?;
    let (domain, machine) = relocate::machine(&target, name)?;
    let by = format!("anklume restore-backup {} --name {name} --to {}", args.backup.display(), domain.name);
    let trip = Trip { target: &target, edited: &edited, domain, machine, by, moves: false };
    apply::isolation_can_be_told(&target)?;
    let place = trip.place();
    let earlier = relocate::complete(&target.live, &place, None).filter(|journey| journey.from.is_none());
    let journey = earlier.clone().unwrap_or_else(|| journey(&trip, &manifest));
    if earlier.is_some() {
        ui.say("it was imported already: going on with it");
        agree(&Plan::default(), &edited.shown, args.yes, ui)?;
    } else {
        relocate::refuse(obstacles(&trip, &manifest, &journey))?;
        let plan = importing(&trip, &manifest, &journey, &work);
        agree(&plan, &edited.shown, args.yes, ui)?;
        imported(&trip, &journey, &plan, &work, ui).await?;
    }
    drop(work);
    trip.arrive(global, &journey, ui).await
}

/// Reads the file to its end and takes it apart; nothing is written anywhere else before all of it was found whole.
async fn opened(file: &Path, work: &Work) -> Result<Manifest> {
    let shown = file.display().to_string();
    let damaged = |why: String| {
        Hinted::new(format!("{shown} is no whole backup: {why}"), "nothing was restored; take another one")
    };
    let words = ["-xf", &shown, "-C", work.text(), "--no-same-owner"];
    ThisHost.call(&Call::run("tar", words)).await.map_err(|error| damaged(error.to_string()))?;
    let text = fs::read(work.path(MANIFEST)).map_err(|_| damaged("it does not say what is in it".into()))?;
    let manifest: Manifest = serde_json::from_slice(&text).map_err(|error| damaged(error.to_string()))?;
    if manifest.format != FORMAT {
        let hint = "a later anklume wrote it, and reads it";
        return Err(Hinted::new(format!("{shown} is a backup of a kind that this version does not know"), hint).into());
    }
    for member in &manifest.members {
        let is_plain = !member.file.contains('/') && !member.file.starts_with('.');
        let found = if is_plain { work.member(&member.file, member.volume.clone()).ok() } else { None };
        if found.as_ref() != Some(member) {
            return Err(damaged(format!("`{}` in it is not what was written", member.file)).into());
        }
    }
    if manifest.members.first().is_none_or(|member| member.file != INSTANCE) {
        return Err(damaged("there is no machine in it".into()).into());
    }
    Ok(manifest)
}

fn edited(ground: &Ground, manifest: &Manifest, name: &str, to: Option<&str>, ui: Ui) -> Result<Edited> {
    let written = ground.loaded.infra.domain_of(name);
    if let Some(written) = written {
        if to.is_some_and(|to| to != written) {
            let hint = format!("another name (`--name`), or `--to {written}`");
            return Err(Hinted::new(format!("the file has `{name}` in the domain `{written}`"), hint).into());
        }
        return Ok(Edited::nothing(&ground.loaded));
    }
    let to = to.unwrap_or(&manifest.domain);
    relocate::is_domain(ground, to)?;
    relocate::writable(ground.loaded.added(&manifest.entry, name, to), ui)
}

fn journey(trip: &Trip<'_>, manifest: &Manifest) -> Journey {
    let loads = manifest.members.iter().filter_map(|member| member.volume.as_ref()).filter_map(|(device, from)| {
        let to = trip.machine.volumes.iter().find(|volume| volume.device == *device)?;
        let to = volume::id(&trip.domain.project, &to.wanted_pool, &to.name).name;
        Some(Load { device: device.clone(), from: from.clone(), to, ..Load::default() })
    });
    Journey { name: trip.machine.instance.clone(), volumes: loads.collect(), by: trip.by.clone(), ..Journey::default() }
}

fn obstacles(trip: &Trip<'_>, manifest: &Manifest, journey: &Journey) -> Vec<Obstacle> {
    let mut all = trip.obstacles(&journey.volumes);
    let name = &trip.machine.name;
    if manifest.vm != trip.machine.vm {
        let is = if manifest.vm { "vm" } else { "lxc" };
        all.push(Obstacle::new(
            format!("the backup is of a machine of `type: {is}`, and `{name}` is none in the file"),
            "restore it under another name (`--name`)",
        ));
    }
    for (device, _) in manifest.members.iter().filter_map(|member| member.volume.as_ref()) {
        if !journey.volumes.iter().any(|load| load.device == *device) {
            let hint =
                format!("write it under `storage_volumes` of `{name}`, or restore under another name (`--name`)");
            all.push(Obstacle::new(
                format!("the backup has a volume `{device}`, which the file does not give `{name}`"),
                hint,
            ));
        }
    }
    all
}

fn importing(trip: &Trip<'_>, manifest: &Manifest, journey: &Journey, work: &Work) -> Plan {
    let (place, domain) = (trip.place(), &trip.domain.name);
    let mut actions = leftovers(&trip.target.live, &place, &journey.volumes);
    for load in &journey.volumes {
        let of = |member: &&Member| member.volume.as_ref().is_some_and(|(device, _)| *device == load.device);
        let file = manifest.members.iter().find(of).map(|member| work.path(&member.file)).unwrap_or_default();
        let to = Id::within(Kind::Volume, &place.project, &load.to);
        let part = volume_part(&to);
        let (pool, name) = volume::parts(&part);
        let words = ["storage", "volume", "import", pool, &file, name, "--project", &place.project];
        actions.push(action(Verb::Create, to.clone(), domain, "from the backup".into(), vec![Call::incus(words)]));
    }
    let (file, copy) = (work.path(IMPORT), part(&place));
    let words = ["import", &file, &copy.name, "--project", &place.project, "--storage", trip.root_pool()];
    let heavy = trip.machine.vm;
    let import = action(Verb::Create, place.clone(), domain, "from the backup".into(), vec![Call::incus(words)]);
    actions.push(Action { heavy, ..import });
    in_a_row(actions)
}

/// The archive that is imported: the one in the backup, with the machine as it is to be here.
const IMPORT: &str = "import.tar";

/// Imports all of it; where that fails, nothing of it stays.
async fn imported(trip: &Trip<'_>, journey: &Journey, plan: &Plan, work: &Work, ui: Ui) -> Result<()> {
    let networks = trip.target.live.found.keys().filter(|id| id.kind == Kind::Network).map(|id| id.name.clone());
    let set = [(mark::JOURNEY, journey.text()), (mark::DOMAIN, trip.domain.name.clone())];
    let set = set.map(|(key, value)| (key.to_owned(), value)).into();
    let entry = Entry { profiles: trip.machine.profiles.clone(), set, networks: networks.collect() };
    let packed = work.path(INSTANCE);
    ThisHost.call(&Call::run("gzip", ["-d", &packed])).await.context("the backup cannot be unpacked")?;
    let from = File::open(packed.trim_end_matches(".gz")).context("the backup cannot be read")?;
    let to = File::create(work.path(IMPORT)).context("there is no room for the backup")?;
    archive::rewrite(BufReader::new(from), BufWriter::new(to), &entry).context("the backup cannot be read")?;
    let report = apply::carry_out(plan, apply::bounds(Some(1)), ui).await?;
    if report.is_clean() {
        perform(&ThisHost, &completion(&trip.place(), journey, None)).await.context("it cannot be marked")?;
        return Ok(());
    }
    let live = Live::read(&ThisHost).await.context("Incus cannot be read")?;
    let undone = in_a_row(leftovers(&live, &trip.place(), &journey.volumes));
    apply::carry_out(&undone, apply::bounds(Some(1)), ui).await?;
    Err(Hinted::new("nothing was restored", format!("once what failed is mended: `{}`", trip.by)).into())
}

fn agree(plan: &Plan, shown: &str, yes: bool, ui: Ui) -> Result<()> {
    relocate::show(plan, shown, ui);
    if !yes && !apply::agreed(ui, "Do this?")? {
        return Err(Unfinished("nothing was done".into()).into());
    }
    Ok(())
}

/// A directory beside the file, gone when it is done with; what a run that was cut off left in it goes first.
struct Work(PathBuf);

impl Work {
    fn new(file: &Path) -> Result<Self> {
        use std::os::unix::fs::DirBuilderExt;
        let mut name = file.as_os_str().to_owned();
        name.push(".anklume-part");
        let dir = PathBuf::from(name);
        if dir.exists() {
            fs::remove_dir_all(&dir).with_context(|| format!("{} cannot be removed", dir.display()))?;
        }
        let make = || fs::DirBuilder::new().mode(0o700).create(&dir);
        make().with_context(|| format!("{} cannot be made", dir.display()))?;
        Ok(Self(dir))
    }

    fn text(&self) -> &str {
        self.0.to_str().unwrap_or_default()
    }

    fn path(&self, name: &str) -> String {
        self.0.join(name).to_string_lossy().into_owned()
    }

    fn member(&self, name: &str, volume: Option<(String, String)>) -> Result<Member> {
        let (mut sum, mut size) = (Sha256::new(), 0);
        let mut file = File::open(self.0.join(name)).with_context(|| format!("{name} cannot be read"))?;
        let mut buffer = vec![0; 1 << 20];
        loop {
            let read = file.read(&mut buffer).with_context(|| format!("{name} cannot be read"))?;
            if read == 0 {
                break;
            }
            sum.update(&buffer[..read]);
            size += read as u64;
        }
        let sha256 = format!("{:x}", sum.finalize());
        Ok(Member { file: name.to_owned(), size, sha256, volume })
    }
}

impl Drop for Work {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}
