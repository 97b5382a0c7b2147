//! `anklume upgrade`: images, guests, machines made anew, files; each step alone or in turn.

mod check;
mod files;
mod guests;
mod images;
mod rebuild;

use std::collections::BTreeSet;
use std::process::ExitCode;

use anyhow::Result;
use serde_json::Value;

use super::{DONE, relocate};
use crate::cli::{FilesArgs, Global, RebuildArgs, UpgradeArgs, UpgradeStep};
use crate::failure::{self, Hinted, Unfinished, WrongInput};
use crate::lifecycle::upgrade::packages::MARK;
use crate::plan::Id;
use crate::ui::{Style, Ui};

/// Runs one step, or all but the one that makes machines anew.
pub(crate) async fn run(global: &Global, args: UpgradeArgs, ui: Ui) -> Result<ExitCode> {
    match args.step {
        Some(UpgradeStep::Images { yes }) => images::run(global, yes, ui).await,
        Some(UpgradeStep::Guests(args)) => guests::run(global, &args, ui).await,
        Some(UpgradeStep::Rebuild(args)) => rebuild::run(global, &args, ui).await,
        Some(UpgradeStep::Files(args)) => files::run(global, &args, ui).await,
        None if args.rebuild.is_empty() => in_turn(global, args, ui).await,
        None => rebuild::run(global, &RebuildArgs { names: args.rebuild, how: args.how }, ui).await,
    }
}

/// A step that fails, or that the user does not want, keeps none of the others from being done.
async fn in_turn(global: &Global, args: UpgradeArgs, ui: Ui) -> Result<ExitCode> {
    let (yes, guests) = (args.how.yes, args.how.into());
    let mut failed = Vec::new();
    for step in ["images", "guests", "files"] {
        ui.say(ui.err.paint(Style::Bold, format!("{step}:")));
        let ended = match step {
            "images" => images::run(global, yes, ui).await,
            "guests" => guests::run(global, &guests, ui).await,
            _ => files::run(global, &FilesArgs { write: false, yes }, ui).await,
        };
        let Err(error) = ended else { continue };
        if error.is::<WrongInput>() {
            return Err(error);
        }
        ui.say(failure::told(&error, &ui.err));
        if !error.is::<Unfinished>() {
            failed.push(step);
        }
    }
    if failed.is_empty() {
        return Ok(DONE);
    }
    let message = format!("not everything is upgraded: {}", failed.join(", "));
    Err(Hinted::new(message, format!("`anklume upgrade {}` does that alone", failed[0])).into())
}

/// A run that was cut off leaves calls under way, in Incus and in guests: waits until there are none about these machines.
async fn quiet(machines: &BTreeSet<Id>, ui: Ui) -> Result<()> {
    let concerns = |operation: &Value| machines.iter().any(|id| is_about(operation, id));
    relocate::quiet_of(concerns, "waiting for what an earlier run left under way", ui).await
}

/// A shell that somebody opened in the machine is none of our business.
fn is_about(operation: &Value, id: &Id) -> bool {
    let resources = operation["resources"].to_string();
    let path = format!("/1.0/instances/{}", id.name);
    let project = format!("project={}", id.project);
    let in_project = id.project == "default" || resources.contains(&project);
    let is_its = ['?', '/', '"'].iter().any(|end| resources.contains(&format!("{path}{end}"))) && in_project;
    match operation["class"].as_str() {
        Some("task") => is_its || operation["description"].as_str().is_some_and(|text| text.contains("olume snapshot")),
        _ => is_its && operation["metadata"]["command"].to_string().contains(MARK),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::Kind;
    use serde_json::json;

    #[test]
    fn only_what_is_done_to_the_machine_is_waited_for() {
        let id = Id::within(Kind::Instance, "pro", "dev");
        let operation = |class: &str, path: &str, command: &[&str]| json!({"class": class, "description": "x", "resources": {"instances": [path]}, "metadata": {"command": command}});
        let (own, other) = ("/1.0/instances/dev?project=pro", "/1.0/instances/dev2?project=pro");
        assert!(is_about(&operation("task", own, &[]), &id));
        assert!(is_about(&operation("task", "/1.0/instances/dev/snapshots/s?project=pro", &[]), &id));
        assert!(!is_about(&operation("task", other, &[]), &id));
        assert!(!is_about(&operation("task", "/1.0/instances/dev?project=home", &[]), &id));
        assert!(is_about(&operation("websocket", own, &["sh", "-c", "…", MARK]), &id));
        assert!(!is_about(&operation("websocket", own, &["bash"]), &id), "somebody's shell");
    }
}
