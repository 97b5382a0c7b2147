//! `anklume provision`: runs the user's own Ansible with a playbook made of the roles in the file.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result};

use super::{DONE, Ground, inventory, sync};
use crate::ansible::playbook::{missing_role, playbook, refusal};
use crate::cli::{FILE_VARIABLE, Global, ProvisionArgs, SCRIPT, YOLO_VARIABLE};
use crate::failure::Hinted;
use crate::host::files::{remove_unchanged, replace};
use crate::incus::call::Call;
use crate::incus::door::{self, CallError};
use crate::ui::{Style, Ui};

const PROGRAM: &str = "ansible-playbook";

/// A machine that has roles.
struct Guest {
    name: String,
    /// The domain, and what Incus calls the machine: it may be named by either.
    domain: String,
    instance: String,
    roles: Vec<String>,
    state: Option<String>,
}

/// The machines that are named; without a name, all that have roles.
pub(crate) async fn run(global: &Global, args: &ProvisionArgs, ui: Ui) -> Result<ExitCode> {
    let ground = Ground::read(global, false, ui).await?;
    let guests = named(&ground, &args.names)?;
    provision(global, args, &ground, guests, ui).await
}

/// Is there an Ansible to run? Better to know before an apply than after it.
pub(super) fn is_possible() -> Result<()> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).any(|dir| dir.join(PROGRAM).is_file());
    if found { Ok(()) } else { Err(missing_ansible(CallError::Missing(PROGRAM))) }
}

/// The machines of an apply that is over, by their names in the file.
pub(super) async fn after(global: &Global, ground: &Ground, machines: &[String], ui: Ui) -> Result<ExitCode> {
    let guests: Vec<Guest> = all(ground).into_iter().filter(|guest| machines.contains(&guest.name)).collect();
    if guests.is_empty() {
        ui.say("No machine was made or started that has roles: nothing to provision.");
        return Ok(DONE);
    }
    let args = ProvisionArgs { names: Vec::new(), dir: None, check: false, tags: Vec::new(), more: Vec::new() };
    provision(global, &args, ground, guests, ui).await
}

async fn provision(
    global: &Global,
    args: &ProvisionArgs,
    ground: &Ground,
    guests: Vec<Guest>,
    ui: Ui,
) -> Result<ExitCode> {
    let (up, down): (Vec<_>, Vec<_>) = guests.into_iter().partition(Guest::is_up);
    for guest in &down {
        let state = guest.state.as_deref().unwrap_or("not made yet");
        ui.say(format!("{} {} is left out: it is {state}", ui.err.paint(Style::Yellow, "warning:"), guest.name));
    }
    if up.is_empty() {
        return Err(nobody(!down.is_empty()));
    }
    let dir = sync::home(global, args.dir.as_deref());
    say_what_is_stale(ground, &dir, ui);
    let stage = Stage::set(&dir, &playbook(up.iter().map(|guest| (guest.name.as_str(), guest.roles.as_slice()))))?;
    let environment = environment(global)?;
    check_roles(&stage, &environment, &up).await?;
    let code = door::attended(&stage.call(args), &environment).await.map_err(missing_ansible)?;
    match code {
        0 => Ok(DONE),
        code => Err(Hinted::new(format!("Ansible ended with exit code {code}"), "what failed is told above").into()),
    }
}

impl Guest {
    fn is_up(&self) -> bool {
        self.state.as_deref() == Some("running")
    }
}

/// Every machine of the file that has roles.
fn all(ground: &Ground) -> Vec<Guest> {
    let infra = &ground.loaded.infra;
    let homes = ground.desired.domains.iter().filter_map(|domain| Some((infra.domains.get(&domain.name)?, domain)));
    let machines = homes.flat_map(|(written, domain)| {
        domain.machines.iter().filter_map(move |machine| Some((domain, written.machines.get(&machine.name)?, machine)))
    });
    machines
        .filter(|(_, written, _)| !written.roles.is_empty())
        .map(|(domain, written, machine)| Guest {
            name: machine.name.clone(),
            domain: domain.name.clone(),
            instance: machine.instance.clone(),
            roles: written.roles.clone(),
            state: inventory::state(ground, domain, machine),
        })
        .collect()
}

/// Those of them that are named; a name that has no roles is an error.
fn named(ground: &Ground, names: &[String]) -> Result<Vec<Guest>> {
    ground.check_targets(names)?;
    let is = |guest: &Guest, name: &String| [&guest.name, &guest.domain, &guest.instance].contains(&name);
    let all = all(ground);
    if let Some(name) = names.iter().find(|name| !all.iter().any(|guest| is(guest, name))) {
        let hint = format!("write them in the file: `roles: [base_system]` under `{name}`");
        return Err(Hinted::new(format!("`{name}` has no roles"), hint).into());
    }
    Ok(all.into_iter().filter(|guest| names.is_empty() || names.iter().any(|name| is(guest, name))).collect())
}

fn nobody(down: bool) -> anyhow::Error {
    let (message, hint) = if down {
        ("no machine that has roles runs", "`anklume apply` makes and starts them")
    } else {
        ("no machine in the file has roles", "write them in the file: `roles: [base_system]` under a machine")
    };
    Hinted::new(message, hint).into()
}

/// Variables in files are stronger than those of an inventory: where they are older, they would win.
fn say_what_is_stale(ground: &Ground, dir: &Path, ui: Ui) {
    let Ok(sync) = sync::compared(ground, dir, false) else { return };
    let stale = sync.changes.iter().filter(|change| change.before.is_some()).count();
    if stale > 0 {
        let warning = ui.err.paint(Style::Yellow, "warning:");
        ui.say(format!(
            "{warning} {stale} files of variables are older than the infrastructure: `anklume sync` writes them"
        ));
    }
}

/// What Ansible is started with: the playbook, and a link by which anklume is its inventory. Both are gone with it.
struct Stage {
    playbook: PathBuf,
    script: PathBuf,
    text: String,
}

impl Stage {
    /// In the directory of the roles and the variables, since Ansible looks for both beside the playbook.
    fn set(dir: &Path, text: &str) -> Result<Self> {
        let dir = std::path::absolute(dir).context("the directory of the roles has no place")?;
        let me = std::process::id();
        let playbook = dir.join(format!(".anklume-provision-{me}.yml"));
        let stage = Self { script: dir.join(format!(".{SCRIPT}-{me}")), playbook, text: text.to_owned() };
        let told = || format!("the playbook cannot be written in {}", dir.display());
        replace(&stage.playbook, None, text.as_bytes(), 0o600).with_context(told)?;
        let program = std::env::current_exe().context("the program does not know its own place")?;
        std::os::unix::fs::symlink(program, &stage.script).with_context(told)?;
        Ok(stage)
    }

    fn words(&self) -> Vec<OsString> {
        vec!["--inventory".into(), self.script.clone().into(), self.playbook.clone().into()]
    }

    fn call(&self, args: &ProvisionArgs) -> Call {
        let mut words: Vec<String> = self.words().iter().map(|word| word.to_string_lossy().into_owned()).collect();
        words.extend(args.check.then(|| "--check".to_owned()));
        words.extend(args.tags.iter().flat_map(|tags| ["--tags".to_owned(), tags.clone()]));
        words.extend(args.more.iter().cloned());
        Call::run(PROGRAM, words)
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        let _ = remove_unchanged(&self.playbook, self.text.as_bytes());
        let _ = std::fs::remove_file(&self.script);
    }
}

/// Where the inventory finds the same infrastructure.
fn environment(global: &Global) -> Result<Vec<(&'static str, OsString)>> {
    let file = std::path::absolute(sync::infrastructure(global))?;
    let yolo = global.yolo.then(|| (YOLO_VARIABLE, "true".into()));
    Ok([(FILE_VARIABLE, file.into_os_string())].into_iter().chain(yolo).collect())
}

/// Ansible itself says whether it finds all roles, wherever it is told to look for them.
async fn check_roles(stage: &Stage, environment: &[(&str, OsString)], guests: &[Guest]) -> Result<()> {
    let words = stage.words();
    let words = words.iter().map(|word| word.to_string_lossy().into_owned()).chain(["--syntax-check".to_owned()]);
    let Err(error) = door::with_environment(&Call::read(PROGRAM, words), environment).await else { return Ok(()) };
    let CallError::Failed { said, .. } = &error else { return Err(missing_ansible(error)) };
    let Some(role) = missing_role(said) else {
        return Err(anyhow::anyhow!("{}", refusal(said)).context("Ansible refuses the roles of these machines"));
    };
    let of: Vec<&str> = guests
        .iter()
        .filter(|guest| guest.roles.iter().any(|one| one == role))
        .map(|guest| guest.name.as_str())
        .collect();
    let message = format!("Ansible finds no role `{role}`, which the file gives to {}", of.join(", "));
    let hint =
        format!("put it into `roles/{role}` beside the file, or name the places of your roles in `ANSIBLE_ROLES_PATH`");
    Err(Hinted::new(message, hint).into())
}

fn missing_ansible(error: CallError) -> anyhow::Error {
    if let CallError::Missing(_) = error {
        let hint = "install Ansible: the package `ansible` of your distribution, or `pip install ansible`";
        return Hinted::new(format!("`{PROGRAM}` is not installed, or not in the PATH"), hint).into();
    }
    error.into()
}
