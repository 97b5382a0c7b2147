//! After an apply: waits for the agents of the virtual machines that it started, and hands them their files.

use std::time::Duration;

use tokio::time::Instant;

use crate::apply::{Outcome, Report};
use crate::incus::call::Call;
use crate::incus::door::{Host, ThisHost, json};
use crate::plan::{Action, Id, Kind, Plan, Verb};
use crate::resolve::desired::{Desired, Machine};
use crate::resources::instance::put_file;
use crate::ui::{Style, Ui};

/// How often an agent is looked for.
const LOOK: Duration = Duration::from_millis(500);

/// Waits for all of them at once, no longer than `wait`. An agent that does not answer is a warning: the image may have
/// none, and the machine runs all the same.
pub(super) async fn wait_for(plan: &Plan, report: &Report, desired: &Desired, wait: Duration, ui: Ui) {
    let started = started(plan, report, desired);
    if started.is_empty() || wait.is_zero() {
        return;
    }
    let names: Vec<&str> = started.iter().map(|(id, _)| id.name.as_str()).collect();
    ui.say(format!(
        "waiting for the agents of: {} (up to {} s; Ctrl-C goes on without)",
        names.join(", "),
        wait.as_secs()
    ));
    let deadline = Instant::now() + wait;
    let mut tasks = tokio::task::JoinSet::new();
    for (id, files) in started {
        tasks.spawn(async move {
            let began = Instant::now();
            let answers = answers_before(&id, deadline).await;
            let told = if answers { hand_over(&id, &files).await } else { Ok(()) };
            (id, answers, told, began.elapsed())
        });
    }
    loop {
        let ended = tokio::select! {
            ended = tasks.join_next() => ended,
            _ = tokio::signal::ctrl_c() => return ui.say("not waiting any longer"),
        };
        let Some(Ok((id, answers, told, took))) = ended else { return };
        let warning = ui.err.paint(Style::Yellow, "warning:");
        match told {
            Ok(()) if answers => ui.say(format!("the agent of {} answers ({:.0} s)", id.name, took.as_secs_f32())),
            Ok(()) => ui.say(format!(
                "{warning} {} runs, and its agent did not answer within {} s\n  `exec`, `shell` and files in it need \
                 the agent; if its image has none, `--agent-wait 0` saves the wait",
                id.name,
                wait.as_secs()
            )),
            Err(why) => ui.say(format!("{warning} the context files of {} could not be written: {why}", id.name)),
        }
    }
}

/// The virtual machines that this plan started, each with the files that it is to have.
fn started(plan: &Plan, report: &Report, desired: &Desired) -> Vec<(Id, Vec<(String, String)>)> {
    let vms = machines(plan, report, desired).filter(|(_, machine)| machine.vm);
    vms.map(|(id, machine)| (id.clone(), machine.files.clone())).collect()
}

/// The machines that this plan made or started.
pub(super) fn machines<'a>(
    plan: &'a Plan,
    report: &'a Report,
    desired: &'a Desired,
) -> impl Iterator<Item = (&'a Id, &'a Machine)> {
    let starts = |action: &&Action| match action.verb {
        Verb::Start => true,
        Verb::Create | Verb::Update | Verb::Adopt => {
            action.calls.iter().any(|call| call.args.first().is_some_and(|word| word == "launch" || word == "start"))
        }
        _ => false,
    };
    let done = plan.actions.iter().zip(&report.outcomes).filter(|(_, outcome)| matches!(outcome, Outcome::Done));
    let instances = done.map(|(action, _)| action).filter(|action| action.id.kind == Kind::Instance);
    instances.filter(starts).filter_map(|action| Some((&action.id, machine(desired, &action.id)?)))
}

fn machine<'a>(desired: &'a Desired, id: &Id) -> Option<&'a Machine> {
    let domain = desired.domains.iter().find(|domain| domain.project == id.project)?;
    domain.machines.iter().find(|machine| machine.instance == id.name)
}

/// Incus counts a guest's processes only with the help of the agent.
async fn answers_before(id: &Id, deadline: Instant) -> bool {
    let state = Call::query(format!("/1.0/instances/{}/state?project={}", id.name, id.project));
    while Instant::now() < deadline {
        let told = json(&ThisHost, &state).await.ok();
        if told.is_some_and(|state| state["processes"].as_i64().is_some_and(|count| count > 0)) {
            return true;
        }
        tokio::time::sleep(LOOK).await;
    }
    false
}

async fn hand_over(id: &Id, files: &[(String, String)]) -> Result<(), crate::incus::door::CallError> {
    for (path, text) in files {
        ThisHost.call(&put_file(id, path, text)).await?;
    }
    Ok(())
}
