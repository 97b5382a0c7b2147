//! `anklume inventory`: what Ansible asks an inventory script for, from what Incus holds now.

use std::process::ExitCode;

use anyhow::Result;

use super::{DONE, Ground};
use crate::ansible::inventory::{Inventory, inventory};
use crate::cli::{Global, InventoryArgs};
use crate::failure::Hinted;
use crate::incus::call::Call;
use crate::incus::door::{Host, ThisHost};
use crate::infra::near::nearest;
use crate::plan::{Id, Kind};
use crate::render::json::pretty;
use crate::resolve::desired::{Domain, Machine};
use crate::resources::Status;
use crate::ui::Ui;

/// Reads and prints.
pub(crate) async fn run(global: &Global, args: &InventoryArgs, ui: Ui) -> Result<ExitCode> {
    let (ground, remote) = tokio::join!(Ground::read(global, false, ui), remote());
    let ground = ground?;
    let infra = &ground.loaded.infra;
    let all = inventory(infra, &ground.desired, &remote, |domain, machine| state(&ground, domain, machine));
    ui.print(match &args.host {
        Some(name) => pretty(&all.host(name).ok_or_else(|| missing(&all, name))?),
        None if args.graph => all.graph(),
        None => pretty(&all.list()),
    });
    Ok(DONE)
}

/// How a machine stands; nothing where there is none that is anklume's.
pub(super) fn state(ground: &Ground, domain: &Domain, machine: &Machine) -> Option<String> {
    let found = ground.live.found.get(&Id::within(Kind::Instance, &domain.project, &machine.instance))?;
    let ours = found.marks.as_ref().is_some_and(|marks| marks.infra == ground.desired.infra);
    let instance = found.instance.as_ref().filter(|_| ours)?;
    Some(match &instance.status {
        Status::Running => "running".into(),
        Status::Stopped => "stopped".into(),
        Status::Frozen => "frozen".into(),
        Status::Other(word) => word.to_lowercase(),
    })
}

/// The server that this was read from: Ansible's own default is `local`, whatever the client's is.
async fn remote() -> String {
    let told = ThisHost.call(&Call::incus(["remote", "get-default"])).await.unwrap_or_default();
    let told = String::from_utf8_lossy(&told).trim().to_owned();
    if told.is_empty() { "local".into() } else { told }
}

fn missing(all: &Inventory, name: &str) -> anyhow::Error {
    let hint = match nearest(name, all.hosts()) {
        Some(near) => format!("did you mean `{near}`?"),
        None => "`anklume inventory --graph` shows them".to_owned(),
    };
    Hinted::new(format!("there is no machine called `{name}`"), hint).into()
}
