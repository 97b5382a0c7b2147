//! `anklume exec`, `shell` and `logs`: into one machine, whose project is found by itself.

use std::process::ExitCode;

use anyhow::{Context, Result};

use super::load;
use crate::cli::{ExecArgs, Global, LogsArgs, ShellArgs};
use crate::failure::Hinted;
use crate::host::facts;
use crate::incus::call::Call;
use crate::incus::door::{self, ThisHost};
use crate::plan::Id;
use crate::resolve::names::Names;
use crate::resources::instance::{self, Instances};
use crate::resources::{Found, Resource, Status};
use crate::ui::Ui;

/// A login shell of root, whatever the guest has of it.
const LOGIN: &str = "command -v su >/dev/null && exec su -l || exec sh -l";

/// Runs a command in a machine; its exit code is the command's.
pub(crate) async fn exec(global: &Global, args: &ExecArgs, ui: Ui) -> Result<ExitCode> {
    let id = running(&find(global, &args.name, ui).await?)?;
    let mut words = vec!["exec".to_owned(), id.name.clone(), "--project".into(), id.project.clone()];
    for (option, value) in [("--cwd", &args.cwd), ("--user", &args.user)] {
        words.extend(value.iter().flat_map(|value| [option.to_owned(), value.clone()]));
    }
    words.extend(args.env.iter().flat_map(|pair| ["--env".to_owned(), pair.clone()]));
    words.push("--".into());
    words.extend(args.command.iter().cloned());
    Err(door::become_program(&Call::incus(words)).into())
}

/// Opens a login shell.
pub(crate) async fn shell(global: &Global, args: &ShellArgs, ui: Ui) -> Result<ExitCode> {
    let id = running(&find(global, &args.name, ui).await?)?;
    let words = ["exec", &id.name, "--project", &id.project, "--", "sh", "-c", LOGIN];
    Err(door::become_program(&Call::incus(words)).into())
}

/// Shows what a machine wrote on its console, or what Incus wrote about it.
pub(crate) async fn logs(global: &Global, args: &LogsArgs, ui: Ui) -> Result<ExitCode> {
    let id = find(global, &args.name, ui).await?.id;
    let words: &[&str] = if args.incus {
        &["info", &id.name, "--project", &id.project, "--show-log"]
    } else {
        &["console", &id.name, "--project", &id.project, "--show-log"]
    };
    Err(door::become_program(&Call::incus(words.iter().copied())).into())
}

/// The machine of this infrastructure with that name, by one read.
async fn find(global: &Global, name: &str, ui: Ui) -> Result<Found> {
    let loaded = load(global, ui)?;
    let facts = facts::read_context(std::path::Path::new("/"), global.yolo);
    let wanted = Names::new(loaded.infra.global.nesting_prefix, &facts).instance(name);
    let listing = door::json(&ThisHost, &Call::query(instance::LISTING)).await.context("Incus cannot be read")?;
    let found = listing.as_array().into_iter().flatten().filter_map(|listed| Instances.found(listed));
    let ours = |found: &Found| found.marks.as_ref().is_some_and(|marks| marks.infra == loaded.infra.project_name);
    let mut named = found.filter(|found| ours(found) && (found.id.name == wanted || found.id.name == name));
    named.next().ok_or_else(|| missing(&loaded.infra, name))
}

fn missing(infra: &crate::infra::model::Infra, name: &str) -> anyhow::Error {
    let written = infra.domains.values().any(|domain| domain.machines.contains_key(name));
    if written {
        return Hinted::new(format!("`{name}` is in the file and not made yet"), "`anklume apply` makes it").into();
    }
    let machines = infra.domains.values().flat_map(|domain| domain.machines.keys().map(String::as_str));
    let hint = match crate::infra::near::nearest(name, machines) {
        Some(near) => format!("did you mean `{near}`?"),
        None => "`anklume status` lists the machines".to_owned(),
    };
    Hinted::new(format!("anklume made no machine called `{name}`"), hint).into()
}

/// Only a running machine runs commands.
fn running(found: &Found) -> Result<Id> {
    let name = &found.id.name;
    match found.instance.as_ref().map(|instance| &instance.status) {
        Some(Status::Running) => Ok(found.id.clone()),
        Some(Status::Frozen) => {
            Err(Hinted::new(format!("{name} is paused"), format!("`anklume resume {name}` lets it run on")).into())
        }
        _ => Err(Hinted::new(format!("{name} does not run"), format!("`anklume start {name}` starts it")).into()),
    }
}
