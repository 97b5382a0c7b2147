//! `anklume flush`: takes an infrastructure off this host, all that carries its mark and nothing else.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result};

use super::{DONE, apply, lock, seen, sync, unusable};
use crate::apply::Outcome;
use crate::cli::{FlushArgs, Global, SyncArgs};
use crate::failure::{Hinted, Unfinished, WrongInput};
use crate::firewall::fence::Table;
use crate::host::facts::read_context;
use crate::incus::call::Call;
use crate::incus::door::{ThisHost, json, perform};
use crate::incus::live::Live;
use crate::infra;
use crate::lifecycle::under_way;
use crate::plan::{Action, Kind, Plan, Verb, Why};
use crate::render;
use crate::resources::fields::Key;
use crate::resources::planner::flush::{Asked, flush};
use crate::ui::Ui;

/// How often it looks again by itself, where calls of an earlier run were in its way.
const ROUNDS: usize = 4;

/// List, question, run, look again.
pub(crate) async fn run(global: &Global, args: &FlushArgs, ui: Ui) -> Result<ExitCode> {
    let _lock = lock::take("flush")?;
    let name = name(global, args, ui)?;
    let asked = Asked { force: args.force, volumes: args.volumes };
    let live = read().await?;
    let plan = flush(&name, &live, asked);
    ui.print(render::text::flush(&plan, &ui.out));
    if !(is_whole(&plan) && clear_generated(global, args, false, ui)?) && plan.actions.is_empty() {
        return nothing(&plan, &name, &live, ui);
    }
    say_what_stays(&plan, &live, ui);
    if read_context(Path::new("/"), global.yolo).is_production() && !args.force {
        return Err(not_here().into());
    }
    if !args.yes && !agreed(&name, ui)? {
        return Err(Unfinished("nothing was deleted".into()).into());
    }
    let plan = carried_out(plan, &name, asked, args, ui).await?;
    forget_runs(&name).await?;
    if is_whole(&plan) {
        clear_generated(global, args, true, ui)?;
    }
    left(&plan)
}

/// Of the file only the name matters, and what else is wrong with it does not.
fn name(global: &Global, args: &FlushArgs, ui: Ui) -> Result<String> {
    match &args.infra {
        Some(name) if name.is_empty() => Err(WrongInput::plain("an infrastructure has a name", None, &ui.err).into()),
        Some(name) => Ok(name.clone()),
        None => infra::project_name(global.file.as_deref()).map_err(|failure| unusable(failure, ui)),
    }
}

async fn read() -> Result<Live> {
    let (live, _) = seen(read_context(Path::new("/"), false), false).await?;
    // Without the right to change the table, it would stay and nobody would be told.
    if !matches!(live.table, Table::Elsewhere(_)) {
        live.table.known()?;
    }
    Ok(live)
}

/// Does no machine stay? Else the files for Ansible are right as they are.
fn is_whole(plan: &Plan) -> bool {
    !plan.held.iter().any(|held| held.id.kind == Kind::Instance)
}

/// The files for Ansible beside that of the infrastructure: tells which of them have managed sections, and takes these out
/// where `act` says so. Is there any? By a name alone nobody knows where they are.
fn clear_generated(global: &Global, args: &FlushArgs, act: bool, ui: Ui) -> Result<bool> {
    let dir = sync::home(global, None);
    if args.infra.is_some() || !sync::has_sections(&dir)? {
        return Ok(false);
    }
    sync::clear(&dir, &SyncArgs { check: !act, ..SyncArgs::default() }, ui)?;
    Ok(true)
}

/// A run over snapshots that was cut off is written down at the server: nobody will cure it any more.
async fn forget_runs(name: &str) -> Result<()> {
    let server = json(&ThisHost, &Call::query("/1.0")).await.context("Incus cannot be read")?;
    if under_way::read(&server, name).is_some() {
        perform(&ThisHost, &under_way::over(name))
            .await
            .context("what a run that was cut off has left cannot be unset")?;
    }
    Ok(())
}

fn not_here() -> Hinted {
    Hinted::new(
        "nothing was deleted: this is a production host (no /etc/anklume/absolute_level says that it is nested in another \
         one), where what goes is gone for good",
        "say `--force` if it is this host that you mean; that also deletes what is protected",
    )
}

fn agreed(name: &str, ui: Ui) -> Result<bool> {
    if !ui.can_ask {
        return apply::agreed(ui, "");
    }
    Ok(ui.ask_for("Delete these for good?", name))
}

/// Runs the plan, and what is left of it as long as something was only in the way; the plan that is left then.
async fn carried_out(mut plan: Plan, name: &str, asked: Asked, args: &FlushArgs, ui: Ui) -> Result<Plan> {
    let mut deleted = 0;
    for _ in 0..ROUNDS {
        let report = apply::carry_out(&plan, apply::bounds(None), ui).await?;
        let outcomes = plan.actions.iter().zip(&report.outcomes);
        let gone = outcomes.filter(|(action, outcome)| action.verb == Verb::Delete && matches!(outcome, Outcome::Done));
        deleted += gone.count();
        plan = flush(name, &read().await?, asked);
        if report.is_clean() && plan.actions.is_empty() {
            ui.say(format!("{deleted} deleted."));
            return Ok(plan);
        }
        if !report.is_clean() && !report.wants_another_look() {
            break;
        }
        ui.say("some of it was gone or busy: looking again");
    }
    Err(Hinted::new("not everything was deleted", format!("run `{}` again: it does what is left", typed(args))).into())
}

/// What was typed.
fn typed(args: &FlushArgs) -> String {
    let mut words = "anklume flush".to_owned();
    words.extend(args.infra.iter().map(|name| format!(" --infra {name}")));
    words.extend(
        [(args.force, " --force"), (args.volumes, " --volumes")]
            .iter()
            .filter(|(said, _)| *said)
            .map(|(_, word)| *word),
    );
    words
}

/// What a flush never deletes, where there is any of it.
fn say_what_stays(plan: &Plan, live: &Live, ui: Ui) {
    let machines = plan.actions.iter().filter(|action| action.id.kind == Kind::Instance);
    let directories: BTreeSet<&str> = machines.flat_map(|action| directories(live, action)).collect();
    if !directories.is_empty() {
        let list: Vec<&str> = directories.into_iter().collect();
        ui.say(format!("directories of this host stay, with what is in them: {}", list.join(", ")));
    }
    if matches!(live.table, Table::Elsewhere(_)) {
        ui.say(
            "the table is on the host that Incus runs on and stays there; `nft delete table inet anklume` on that host takes it \
             away, once no other infrastructure is on it",
        );
    }
}

/// The directories of the host that a machine saw because its file said so.
fn directories<'a>(live: &'a Live, action: &Action) -> impl Iterator<Item = &'a str> {
    let found = live.found.get(&action.id).and_then(|found| Some((found, found.marks.as_ref()?)));
    found.into_iter().flat_map(|(found, marks)| {
        found.fields.iter().filter_map(|(key, value)| match key {
            Key::Device(_, name) if name == "source" && value.starts_with('/') && marks.applied.contains(key) => {
                Some(value.as_str())
            }
            _ => None,
        })
    })
}

fn nothing(plan: &Plan, name: &str, live: &Live, ui: Ui) -> Result<ExitCode> {
    let marks = live.found.values().filter_map(|found| found.marks.as_ref());
    let others: BTreeSet<&str> = marks.map(|marks| marks.infra.as_str()).collect();
    if !others.contains(name) {
        let others: Vec<&str> = others.into_iter().collect();
        let besides = if others.is_empty() { String::new() } else { format!("; there is {}", others.join(", ")) };
        ui.say(format!("nothing on this host carries the mark of `{name}`{besides}"));
    }
    left(plan)
}

/// What is protected, and data, stays as it is to; what waits for somebody else's is not done.
fn left(plan: &Plan) -> Result<ExitCode> {
    let stay = plan.held.iter().filter(|held| !matches!(held.why, Why::Kept | Why::Protected)).count();
    if stay > 0 {
        let message = format!("{stay} stay, since something needs them that is not of this infrastructure, see `!`");
        return Err(Hinted::new(message, "delete or detach that first, then run this again").into());
    }
    Ok(DONE)
}
