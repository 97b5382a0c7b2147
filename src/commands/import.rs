//! `anklume import`: writes the file that says what stands on this host.

use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result};

use super::DONE;
use crate::cli::{Global, ImportArgs};
use crate::failure::Hinted;
use crate::host::{self, files};
use crate::incus::door::{Host, ThisHost};
use crate::lifecycle::import::{Asked, Images, Imported, Scene, import};
use crate::ui::Ui;

/// Who may read it: what is in machines' keys can be a secret.
const MODE: &str = "0600";

/// Looks, drafts, writes.
pub(crate) async fn run(global: &Global, args: &ImportArgs, ui: Ui) -> Result<ExitCode> {
    if let Some(path) = args.output.as_deref().filter(|path| path.exists() && !args.force) {
        let message = format!("{} is there already, and nothing was written", path.display());
        return Err(Hinted::new(message, "name another file, or say `--force`").into());
    }
    let context = host::facts::read_context(Path::new("/"), global.yolo);
    let (seen, images) = tokio::join!(super::seen(context, false), Images::read(&ThisHost));
    let (live, facts) = seen?;
    let images = images.context("the images cannot be listed")?;
    let scene = Scene { live: &live, facts: &facts, images: &images, is_dir: &|path| Path::new(path).is_dir() };
    let imported = import(&scene, &asked(args))?;
    match &args.output {
        None => ui.print(&imported.text),
        Some(path) => write(path, &imported.text).await?,
    }
    say(&imported, args.output.as_deref(), ui);
    Ok(DONE)
}

/// `pro`, `default:web`
fn asked(args: &ImportArgs) -> Asked {
    let mut asked = Asked::default();
    for word in &args.project {
        match word.split_once(':') {
            Some(("default", name)) => asked.instances.push(name.to_owned()),
            _ => asked.projects.push(word.clone()),
        }
    }
    asked
}

async fn write(path: &Path, text: &str) -> Result<()> {
    let failed = || format!("{} cannot be written", path.display());
    let whole = std::path::absolute(path).with_context(failed)?;
    for call in files::write(&whole.to_string_lossy(), MODE, text) {
        ThisHost.call(&call).await.with_context(failed)?;
    }
    Ok(())
}

fn say(imported: &Imported, path: Option<&Path>, ui: Ui) {
    let count = |count: usize, word: &str| format!("{count} {word}{}", if count == 1 { "" } else { "s" });
    let (domains, machines) = (count(imported.domains, "domain"), count(imported.machines, "machine"));
    let marks = match imported.adopted {
        0 => "all of it carries anklume's marks".to_owned(),
        some => format!("{some} things get anklume's marks, and nothing else is changed"),
    };
    ui.say(format!("{domains}, {machines}; {marks}"));
    if imported.loads {
        ui.say("`anklume apply` also loads the table: between these domains passes what `network_policies` says, nothing else");
    }
    if !imported.rest.is_empty() {
        let rest = imported.rest.join(", ");
        ui.say(format!("this is a part of its infrastructure only: with this file {rest} would be shown as left over"));
    }
    if !imported.left.is_empty() {
        ui.say(format!("left out, as comments with the reason: {}", imported.left.join(", ")));
    }
    if let Some(path) = path {
        ui.say(format!(
            "{} has the values of the machines' keys, secrets among them: only its owner can read it",
            path.display()
        ));
        ui.say(format!("`anklume -f {} plan` shows what `apply` would do", path.display()));
    }
}
