//! `anklume image`: the one cache of all domains, and the image repository.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result};

use super::{DONE, Ground, apply, lock};
use crate::cli::{Format, Global, ImageCommand};
use crate::failure::{Hinted, Unfinished};
use crate::host::repository::{self, Repository};
use crate::incus::call::Call;
use crate::incus::door::{ThisHost, json};
use crate::plan::{Action, Plan, Verb};
use crate::render;
use crate::resources::cache::{Cache, Name, wanted};
use crate::resources::image;
use crate::ui::Ui;

/// Runs one of them.
pub(crate) async fn run(global: &Global, command: ImageCommand, ui: Ui) -> Result<ExitCode> {
    if let ImageCommand::List { format } = command {
        return list(global, format, ui).await;
    }
    let _lock = lock::take("image")?;
    let ground = Ground::read(global, false, ui).await?;
    match command {
        ImageCommand::List { .. } => Ok(DONE),
        ImageCommand::Refresh { images } => refresh(&ground, &images, ui).await,
        ImageCommand::Export { images, to } => export(&ground, &images, to, ui).await,
        ImageCommand::Import { from } => import(&ground, from, ui).await,
        ImageCommand::Prune { yes } => prune(&ground, yes, ui).await,
    }
}

pub(super) async fn cache() -> Result<Cache> {
    let (images, instances) = (
        Call::query("/1.0/images?recursion=1&project=default"),
        Call::query("/1.0/instances?recursion=1&all-projects=true"),
    );
    let (images, instances) = tokio::join!(json(&ThisHost, &images), json(&ThisHost, &instances));
    let told = "the image cache cannot be read";
    Ok(Cache::parse(&images.context(told)?, &instances.context(told)?))
}

async fn list(global: &Global, format: Format, ui: Ui) -> Result<ExitCode> {
    let (ground, cache) = tokio::join!(Ground::read(global, false, ui), cache());
    let (ground, cache) = (ground?, cache?);
    let rows = render::images::rows(&cache, &wanted(&ground.desired), &ground.desired.stored);
    ui.print(match format {
        Format::Text => render::images::text(&rows, &ui.out),
        Format::Json => render::json::pretty(&serde_json::to_value(&rows).unwrap_or_default()),
    });
    Ok(DONE)
}

/// Asks the servers for newer ones. Incus keeps a server's list for an hour before it asks again.
pub(super) async fn refresh(ground: &Ground, images: &[String], ui: Ui) -> Result<ExitCode> {
    let before = cache().await?;
    let mut plan = Plan::default();
    for name in named(images, &before.images.keys().cloned().collect::<Vec<_>>(), "in the cache")? {
        let cached = &before.images[&name];
        if !cached.auto_update {
            ui.say(format!("{} came from a file: there is no server to ask for a newer one", shown(&name)));
            continue;
        }
        let call = Call::incus(["image", "refresh", &cached.alias, "--project", "default"]);
        plan.actions.push(action(Verb::Update, &name, vec![call]));
    }
    carry_out(&plan, "refreshed", ui).await?;
    let after = cache().await?;
    for (name, now) in &after.images {
        if before.images.get(name).is_some_and(|then| then.fingerprint != now.fingerprint) {
            ui.print(format!("{} is newer now: {}\n", shown(name), now.made));
        }
    }
    let older = render::images::older(&after, &wanted(&ground.desired));
    if older > 0 {
        ui.say(format!("{older} machines are made from an older image; they keep it until they are made again"));
    }
    Ok(DONE)
}

/// Writes images into the repository, fetching first what is not here.
async fn export(ground: &Ground, images: &[String], to: Option<PathBuf>, ui: Ui) -> Result<ExitCode> {
    let dir = repository_dir(ground, to)?;
    let cache = cache().await?;
    let all: Vec<Name> = wanted(&ground.desired).into_iter().collect();
    let mut plan = Plan::default();
    let mut places = Vec::new();
    for name in named(images, &all, "in the file")? {
        let (image, vm) = &name;
        let (place, kind) = repository::place(&dir, image, *vm);
        let mut calls = Vec::new();
        if image::is_remote(image) && !cache.images.contains_key(&name) {
            calls.push(image::fetch(image, *vm));
        }
        std::fs::create_dir_all(&place).with_context(|| format!("{} cannot be made", place.display()))?;
        let part = repository::part(&place, kind).to_string_lossy().into_owned();
        calls.push(Call::incus(["image", "export", &image::local_name(image, *vm), &part, "--project", "default"]));
        plan.actions.push(action(Verb::Export, &name, calls));
        places.push((place, kind));
    }
    carry_out(&plan, "exported", ui).await?;
    for (place, kind) in places {
        repository::settle(&place, kind).with_context(|| format!("{} cannot be written", place.display()))?;
    }
    ui.say(format!("{} in {}.", plan.actions.len(), dir.display()));
    Ok(DONE)
}

/// Takes from the repository what is not in the cache.
async fn import(ground: &Ground, from: Option<PathBuf>, ui: Ui) -> Result<ExitCode> {
    let dir = repository_dir(ground, from)?;
    let stored = Repository::read(&dir).with_context(|| format!("{} cannot be read", dir.display()))?;
    let aliases = crate::incus::server::Server::read(&ThisHost).await.context("Incus cannot be read")?.aliases;
    let missing = stored.images.iter().filter(|((image, vm), _)| !aliases.contains(&image::local_name(image, *vm)));
    let imports = missing.map(|(name, files)| action(Verb::Create, name, vec![image::import(files, &name.0, name.1)]));
    let plan = Plan { actions: imports.collect(), held: Vec::new() };
    carry_out(&plan, "imported", ui).await?;
    ui.say(format!("{} imported, {} were here.", plan.actions.len(), stored.images.len() - plan.actions.len()));
    Ok(DONE)
}

/// Deletes what no machine was made from and this file does not name.
async fn prune(ground: &Ground, yes: bool, ui: Ui) -> Result<ExitCode> {
    let cache = cache().await?;
    let unused = cache.unused(&ground.desired);
    if unused.is_empty() {
        ui.say("Nothing to delete: every image that anklume keeps is in use.");
        return Ok(DONE);
    }
    let mut plan = Plan::default();
    for (name, cached) in unused {
        ui.print(format!("- {}\n", shown(name)));
        // What has another name too goes on under that.
        let words: &[&str] = if cached.alone { &["image", "delete"] } else { &["image", "alias", "delete"] };
        let call = Call::incus(words.iter().copied().chain([cached.alias.as_str(), "--project", "default"]));
        plan.actions.push(action(Verb::Delete, name, vec![call]));
    }
    if !yes && !apply::agreed(ui, "Delete these?")? {
        return Err(Unfinished("nothing was deleted".into()).into());
    }
    carry_out(&plan, "deleted", ui).await?;
    Ok(DONE)
}

async fn carry_out(plan: &Plan, past: &str, ui: Ui) -> Result<()> {
    let report = apply::carry_out(plan, apply::bounds(None), ui).await?;
    if report.is_clean() {
        return Ok(());
    }
    Err(Hinted::new(format!("not every image was {past}"), "run it again: it does what is left").into())
}

fn action(verb: Verb, (image, vm): &Name, calls: Vec<Call>) -> Action {
    Action::bare(image::id(image, *vm), verb, calls)
}

/// Those of `all` that were named, of both kinds; all where none was.
fn named(images: &[String], all: &[Name], place: &str) -> Result<Vec<Name>> {
    for image in images {
        if !all.iter().any(|(name, _)| name == image) {
            let message = format!("there is no image `{image}` {place}");
            return Err(Hinted::new(message, "`anklume image list` shows them").into());
        }
    }
    Ok(all.iter().filter(|(name, _)| images.is_empty() || images.contains(name)).cloned().collect())
}

pub(super) fn shown((image, vm): &Name) -> String {
    image::id(image, *vm).name
}

fn repository_dir(ground: &Ground, given: Option<PathBuf>) -> Result<PathBuf> {
    let written = ground.loaded.infra.global.image_repository.as_ref();
    let dir = given.or_else(|| written.map(PathBuf::from));
    let dir = dir.ok_or_else(|| {
        let hint = "name a directory (`--to`, `--from`), or write `image_repository` under `global` in the file";
        Hinted::new("there is no image repository", hint)
    })?;
    // Incus's client and this process read it from the same place.
    Ok(std::path::absolute(Path::new(&dir))?)
}
