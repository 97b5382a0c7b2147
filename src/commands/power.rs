//! `anklume start`, `stop`, `restart`, `pause` and `resume`: the run state of machines, by machine, domain or all.

use std::process::ExitCode;

use anyhow::Result;

use super::named::Named;
use super::{DONE, Ground, apply, lock};
use crate::cli::{Global, PowerArgs};
use crate::failure::Hinted;
use crate::firewall::fence::{self, Table};
use crate::incus::call::Call;
use crate::incus::door::ThisHost;
use crate::infra::model::RunState;
use crate::plan::{Action, Id, Plan, Verb};
use crate::resources::instance::Instances;
use crate::resources::{Found, Status};
use crate::ui::Ui;

/// Finds the machines, changes those that stand otherwise, says what is left.
pub(crate) async fn run(global: &Global, args: &PowerArgs, verb: Verb, ui: Ui) -> Result<ExitCode> {
    let _lock = lock::take(verb.word())?;
    let ground = Ground::read(global, false, ui).await?;
    let named = Named::new(&ground, &args.names, "so nothing was done")?;
    let mut machines = named.machines();
    if !matches!(verb, Verb::Stop | Verb::Pause) {
        isolation_stands(&ground)?;
        if args.names.is_empty() {
            // "All" means all that the file wants to run.
            machines.retain(|found| file_says(&ground, &found.id).is_none_or(|state| state == RunState::Running));
        }
    }
    let mut plan = Plan::default();
    for found in machines {
        match calls(verb, found, args.force) {
            Turn::Calls(calls) => plan.actions.push(action(verb, found, calls)),
            Turn::Already(word) if !args.names.is_empty() => ui.say(format!("{} is {word} already", found.id.name)),
            Turn::Already(_) => {}
            Turn::Impossible(why) => {
                let message = format!("{} cannot be {}: {why}", found.id.name, past(verb));
                let hint = format!("`incus info {} --project {}` tells more", found.id.name, found.id.project);
                return Err(Hinted::new(message, hint).into());
            }
        }
    }
    let report = apply::carry_out(&plan, apply::bounds(None), ui).await?;
    if !report.is_clean() {
        return Err(Hinted::new(format!("not all were {}", past(verb)), "run it again: it does what is left").into());
    }
    ui.say(format!("{} {}.", plan.actions.len(), past(verb)));
    say_what_undoes_it(&ground, &plan, verb, ui);
    Ok(DONE)
}

/// Nothing starts, or runs on, where the domains are not kept apart as declared.
pub(super) fn isolation_stands(ground: &Ground) -> Result<()> {
    stands(ground, &ground.live.table)
}

/// The same, some time after everything was read.
pub(super) async fn isolation_still_stands(ground: &Ground) -> Result<()> {
    match &ground.live.table {
        Table::Elsewhere(_) => isolation_stands(ground),
        _ => stands(ground, &Table::read(&ThisHost).await),
    }
}

fn stands(ground: &Ground, table: &Table) -> Result<()> {
    let message = "nothing was started: the isolation between the domains is not in force";
    match fence::action(&ground.wall, table) {
        fence::Step::Nothing => Ok(()),
        fence::Step::Load(_) => Err(Hinted::new(message, "`anklume apply` loads it").into()),
        fence::Step::Unknown { why, hint } => Err(Hinted::new(format!("{message} ({why})"), hint).into()),
    }
}

/// What one machine needs.
#[derive(Debug, PartialEq)]
enum Turn {
    Calls(Vec<Call>),
    Already(&'static str),
    Impossible(String),
}

fn calls(verb: Verb, found: &Found, force: bool) -> Turn {
    let id = &found.id;
    let status = found.instance.as_ref().map_or(&Status::Stopped, |instance| &instance.status);
    let stop = || if force { Instances::cut_off(id) } else { Instances::stop(found) };
    match (verb, status) {
        (_, Status::Other(word)) => Turn::Impossible(format!("its state is {word}")),
        (Verb::Start | Verb::Restart, Status::Stopped) => Turn::Calls(vec![Instances::start(id)]),
        (Verb::Start | Verb::Resume, Status::Frozen) => Turn::Calls(vec![Instances::resume(id)]),
        (Verb::Restart, _) => Turn::Calls(vec![stop(), Instances::start(id)]),
        (Verb::Stop, Status::Running | Status::Frozen) => Turn::Calls(vec![stop()]),
        (Verb::Pause, Status::Running) => Turn::Calls(vec![Instances::pause(id)]),
        (Verb::Pause | Verb::Resume, Status::Stopped) => Turn::Impossible("it is stopped".into()),
        (Verb::Stop, Status::Stopped) => Turn::Already("stopped"),
        (Verb::Pause, Status::Frozen) => Turn::Already("paused"),
        _ => Turn::Already("running"),
    }
}

fn action(verb: Verb, found: &Found, calls: Vec<Call>) -> Action {
    Action {
        domain: found.domain().to_owned(),
        heavy: found.instance.as_ref().is_some_and(|instance| instance.vm),
        ..Action::bare(found.id.clone(), verb, calls)
    }
}

fn past(verb: Verb) -> &'static str {
    match verb {
        Verb::Stop => "stopped",
        Verb::Restart => "restarted",
        Verb::Pause => "paused",
        Verb::Resume => "resumed",
        _ => "started",
    }
}

/// The run state that the file asks for; `None` for a machine that left it.
pub(super) fn file_says(ground: &Ground, id: &Id) -> Option<RunState> {
    let domain = ground.desired.domains.iter().find(|domain| domain.project == id.project)?;
    domain.machines.iter().find(|machine| machine.instance == id.name).map(|machine| machine.state)
}

/// The file has the last word.
fn say_what_undoes_it(ground: &Ground, plan: &Plan, verb: Verb, ui: Ui) {
    let runs = |action: &Action| file_says(ground, &action.id).is_some_and(|state| state != RunState::Stopped);
    if verb == Verb::Stop && plan.actions.iter().any(runs) {
        ui.say("The next `anklume apply` starts again what has no `state: stopped` in the file.");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::Kind;
    use crate::resources::FoundInstance;

    fn machine(status: Status) -> Found {
        Found {
            id: Id::within(Kind::Instance, "pro", "pro-dev"),
            marks: None,
            fields: [].into(),
            protected: false,
            needs: Vec::new(),
            instance: Some(FoundInstance::standing(status)),
        }
    }

    fn words(verb: Verb, status: Status) -> Vec<String> {
        match calls(verb, &machine(status), false) {
            Turn::Calls(calls) => calls.iter().map(|call| call.args[0].clone()).collect(),
            Turn::Already(word) => vec![format!("already {word}")],
            Turn::Impossible(_) => vec!["impossible".into()],
        }
    }

    #[test]
    fn every_verb_knows_every_state() {
        let table = [
            (Verb::Start, ["start", "already running", "resume"]),
            (Verb::Stop, ["already stopped", "stop", "stop"]),
            (Verb::Restart, ["start", "stop start", "stop start"]),
            (Verb::Pause, ["impossible", "pause", "already paused"]),
            (Verb::Resume, ["impossible", "already running", "resume"]),
        ];
        for (verb, expected) in table {
            let states = [Status::Stopped, Status::Running, Status::Frozen];
            let got = states.map(|status| words(verb, status).join(" "));
            assert_eq!(got, expected, "{}", verb.word());
        }
        assert_eq!(words(Verb::Start, Status::Other("Error".into())), ["impossible"]);
    }

    #[test]
    fn a_frozen_machine_is_cut_off_since_it_cannot_shut_itself_down() {
        let Turn::Calls(calls) = calls(Verb::Stop, &machine(Status::Frozen), false) else { panic!("it stops") };
        assert!(calls[0].args.contains(&"--force".to_owned()));
    }
}
