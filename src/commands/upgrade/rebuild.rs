//! `anklume upgrade --rebuild`: machines made anew from the images that are here.

use std::collections::{BTreeMap, BTreeSet};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::Value;

use super::check::{self, Subject};
use super::{images, quiet};
use crate::carry::{action, in_a_row};
use crate::cli::{Global, RebuildArgs};
use crate::commands::power::{isolation_stands, isolation_still_stands};
use crate::commands::{DONE, Ground, apply, lock};
use crate::failure::{Hinted, Unfinished};
use crate::host::clock;
use crate::incus::call::Call;
use crate::incus::door::{ThisHost, json};
use crate::incus::live::Live;
use crate::infra::model::RunState;
use crate::infra::near;
use crate::lifecycle::upgrade::images::Made;
use crate::lifecycle::upgrade::look::Before;
use crate::lifecycle::upgrade::rebuild::{Rebuild, Record};
use crate::plan::{Id, Kind, Verb};
use crate::resolve::desired::{Desired, Domain, Machine};
use crate::resources::journey::old;
use crate::resources::{Found, WantedInstance, image};
use crate::ui::{Style, Ui};

/// List, question, one machine after the other.
pub(super) async fn run(global: &Global, args: &RebuildArgs, ui: Ui) -> Result<ExitCode> {
    let _lock = lock::take("upgrade")?;
    let ground = Ground::read(global, false, ui).await?;
    isolation_stands(&ground)?;
    let named = named(&ground.desired, &args.names)?;
    let ids = named.iter().flat_map(|one| [one.id(), old(&one.id())]).collect();
    quiet(&ids, ui).await?;
    let made: BTreeMap<Id, Made> =
        images::made(&ground.desired).await?.into_iter().map(|one| (one.id.clone(), one)).collect();
    let stands = Stands::read().await?;
    let due = due(&named, &made, &stands, ui)?;
    if due.is_empty() {
        ui.say("Nothing to make anew; `anklume upgrade images` looks for newer images.");
        return Ok(DONE);
    }
    for one in &due {
        let day = made.get(&one.id()).map(|made| made.day.as_str()).unwrap_or_default();
        let begun = if stands.rebuild(one).is_begun() { "; goes on where a run was cut off" } else { "" };
        ui.print(format!("~ rebuild instance {}  (from {} {day}{begun})\n", one.machine.instance, one.machine.image));
    }
    ui.say("What is on their root disks goes; volumes and directories of the host stay.");
    if !args.how.yes && !apply::agreed(ui, "Make these anew?")? {
        return Err(Unfinished("nothing was changed".into()).into());
    }
    fetch(&due, &made, ui).await?;
    let mut failed = Vec::new();
    for one in due {
        if !failed.is_empty() && !args.how.keep_going {
            ui.say(format!("not begun: {} (`--keep-going` goes on after a failure)", one.machine.name));
            continue;
        }
        if let Some(why) = anew(&ground, one, Duration::from_secs(args.how.wait), ui).await? {
            ui.say(format!("{} {}: {why}", ui.err.paint(Style::Red, "failed:"), one.machine.name));
            failed.push(one.machine.name.as_str());
        }
    }
    if failed.is_empty() {
        return Ok(DONE);
    }
    let hint = "once what failed is mended, run it again: it does what is left";
    Err(Hinted::new(format!("not made anew: {}", failed.join(", ")), hint).into())
}

/// A machine of the file that was named.
#[derive(Debug, Clone, Copy)]
struct Meant<'a> {
    domain: &'a Domain,
    machine: &'a Machine,
}

impl Meant<'_> {
    fn id(&self) -> Id {
        Id::within(Kind::Instance, &self.domain.project, &self.machine.instance)
    }
}

fn named<'a>(desired: &'a Desired, names: &[String]) -> Result<Vec<Meant<'a>>> {
    let all = || {
        desired.domains.iter().flat_map(|domain| domain.machines.iter().map(move |machine| Meant { domain, machine }))
    };
    let is = |one: &Meant<'_>, name: &String| {
        one.domain.name == *name || one.machine.name == *name || one.machine.instance == *name
    };
    for name in names {
        let is_domain = desired.domains.iter().any(|domain| domain.name == *name);
        if !is_domain && !all().any(|one| is(&one, name)) {
            let known = all().flat_map(|one| [one.domain.name.as_str(), one.machine.name.as_str()]);
            let hint = match near::nearest(name, known) {
                Some(near) => format!("did you mean `{near}`?"),
                None => "`anklume status` lists them".to_owned(),
            };
            return Err(Hinted::new(format!("the file has no domain or machine called `{name}`"), hint).into());
        }
    }
    Ok(all().filter(|one| names.iter().any(|name| is(one, name))).collect())
}

/// What stands now.
struct Stands {
    live: Live,
    listed: BTreeMap<Id, Value>,
}

impl Stands {
    async fn read() -> Result<Self> {
        let call = Call::query("/1.0/instances?recursion=1&all-projects=true");
        let live = Live::settled(&ThisHost).await.context("Incus cannot be read")?;
        let listed = json(&ThisHost, &call).await.context("Incus cannot be read")?;
        let id = |one: &Value| Some(Id::within(Kind::Instance, one["project"].as_str()?, one["name"].as_str()?));
        let each = listed.as_array().into_iter().flatten().filter_map(|one| Some((id(one)?, one.clone())));
        Ok(Self { live, listed: each.collect() })
    }

    fn rebuild<'a>(&'a self, one: &Meant<'a>) -> Rebuild<'a> {
        let id = one.id();
        let stands = |id: &Id| Some((self.live.found.get(id)?, self.listed.get(id)?));
        let Meant { domain, machine } = *one;
        let instance = WantedInstance {
            vm: machine.vm,
            image: machine.image.clone(),
            files: machine.files.clone(),
            state: machine.state,
            state_written: machine.state_written,
        };
        // Of two long names that begin alike, the old ones would be called alike.
        let is_its = |found: &Found| {
            let journey = found.marks.as_ref().and_then(|marks| marks.journey.as_ref());
            journey.is_some_and(|journey| journey.name == machine.name)
        };
        let (there, old) = (stands(&id), stands(&old(&id)).filter(|(found, _)| is_its(found)));
        Rebuild { id, domain: &domain.name, name: &machine.name, instance, there, old }
    }
}

/// Those that are to be made anew; what keeps one from it.
fn due<'a>(named: &[Meant<'a>], made: &BTreeMap<Id, Made>, stands: &Stands, ui: Ui) -> Result<Vec<Meant<'a>>> {
    let mut due = Vec::new();
    for one in named {
        let (name, rebuild) = (&one.machine.name, stands.rebuild(one));
        let refused = |why: &str, hint: String| Err(Hinted::new(format!("{name} {why}"), hint).into());
        if rebuild.is_begun() {
            due.push(*one);
            continue;
        }
        let Some((found, _)) = rebuild.there else {
            return refused("is in the file and not made yet", "`anklume apply` makes it".into());
        };
        if found.is_ephemeral() || one.machine.instance_ephemeral {
            let hint = format!("`anklume stop {name}` and `anklume apply` make it anew");
            return refused("is gone when it stops, and is made from the newest image then", hint);
        }
        if one.machine.state != RunState::Running {
            let hint = format!("write `state: running`, or make it anew unseen: `anklume apply --replace {name}`");
            return refused("is not to run, so nobody could tell whether it is healthy", hint);
        }
        match made.get(&rebuild.id) {
            Some(made) if made.now.is_some() && !made.is_older() => {
                ui.say(format!("{name} is made from the image that is here, {}, already", made.image));
            }
            _ => due.push(*one),
        }
    }
    Ok(due)
}

/// Images that are not here: before anything stops.
async fn fetch(due: &[Meant<'_>], made: &BTreeMap<Id, Made>, ui: Ui) -> Result<()> {
    let missing = due.iter().filter(|one| made.get(&one.id()).is_none_or(|made| made.now.is_none()));
    let names: BTreeSet<(&str, bool)> = missing
        .filter(|one| image::is_remote(&one.machine.image))
        .map(|one| (one.machine.image.as_str(), one.machine.vm))
        .collect();
    let fetching = names
        .into_iter()
        .map(|(name, vm)| action(Verb::Create, image::id(name, vm), "", String::new(), vec![image::fetch(name, vm)]));
    let report = apply::carry_out(&in_a_row(fetching.collect()), apply::bounds(None), ui).await?;
    if report.is_clean() {
        return Ok(());
    }
    Err(Hinted::new("nothing was changed: an image is missing", "`anklume image list` shows those that are here")
        .into())
}

/// Makes one anew, and puts the old one back where that fails; why it was put back.
async fn anew(ground: &Ground, one: Meant<'_>, wait: Duration, ui: Ui) -> Result<Option<String>> {
    isolation_still_stands(ground).await?;
    let stands = Stands::read().await?;
    let rebuild = stands.rebuild(&one);
    let record = if rebuild.is_begun() { rebuild.record() } else { observed(&rebuild).await };
    let making = in_a_row(rebuild.making(&record));
    let report = apply::carry_out(&making, apply::bounds(Some(1)), ui).await?;
    let troubles = if report.is_clean() {
        check::troubles(&subject(&one, &record), wait).await
    } else {
        vec!["it could not be made".to_owned()]
    };
    isolation_still_stands(ground).await?;
    let stands = Stands::read().await?;
    let rebuild = stands.rebuild(&one);
    let (ending, why) = if troubles.is_empty() {
        let has_snapshots = has_snapshots(&old(&one.id())).await?;
        (rebuild.ending(has_snapshots, &clock::now()).into_iter().collect(), None)
    } else {
        (rebuild.putting_back(), Some(troubles.join("; ")))
    };
    let ending = in_a_row(ending);
    let report = apply::carry_out(&ending, apply::bounds(Some(1)), ui).await?;
    for kept in ending.actions.iter().filter(|action| action.verb == Verb::Keep) {
        ui.say(format!("the old {} is kept, stopped, {}", one.machine.name, kept.note));
    }
    let again = format!("`anklume upgrade --rebuild {}` goes on from there", one.machine.name);
    Ok(match (why, report.is_clean()) {
        (None, true) => None,
        (None, false) => Some(format!("the new one is healthy, and the old one is not gone; {again}")),
        (Some(why), true) => Some(format!("{why}; the old one is back")),
        (Some(why), false) => Some(format!("{why}; the old one could not be put back yet; {again}")),
    })
}

/// How the old one is, before it stops.
async fn observed(rebuild: &Rebuild<'_>) -> Record {
    let record = rebuild.record();
    if !rebuild.there.is_some_and(|(found, _)| found.is_up() && !found.is_frozen()) {
        return record.seen(!rebuild.instance.vm, BTreeSet::new());
    }
    let look = check::look(&rebuild.id, None).await;
    record.seen(look.is_ok(), look.map(|look| look.failed).unwrap_or_default())
}

fn subject(one: &Meant<'_>, record: &Record) -> Subject {
    let had_address = one.machine.address.is_some();
    Subject {
        id: one.id(),
        before: Before { address: one.machine.address, had_address, failed: record.failed.clone() },
        asks: record.asks,
        health: one.machine.health.clone(),
    }
}

async fn has_snapshots(id: &Id) -> Result<bool> {
    let call = Call::query(format!("/1.0/instances/{}/snapshots?project={}", id.name, id.project));
    let listed = json(&ThisHost, &call).await.context("the snapshots cannot be read")?;
    Ok(listed.as_array().is_some_and(|all| !all.is_empty()))
}
