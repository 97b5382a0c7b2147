//! What a run is about to do to several machines, written down in Incus while it does it: the next run cures one that was
//! cut off.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::reading::Snapshots;
use super::snapshot;
use crate::incus::call::Call;
use crate::incus::live::Live;
use crate::plan::{Action, Id, Kind, Plan, Verb};
use crate::resources::instance::Instances;
use crate::resources::{Found, Status};

/// A key of the server's own config, one for each infrastructure: there is one run at a time.
const KEY: &str = "user.anklume.under-way";

/// What is under way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct UnderWay {
    pub(crate) doing: Doing,
    /// The snapshot.
    pub(crate) name: String,
    pub(crate) machines: Vec<Standing>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Doing {
    Create,
    Restore,
}

/// How a machine stood before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Standing {
    project: String,
    name: String,
    status: Stood,
    /// How many volumes are taken along.
    volumes: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Stood {
    Running,
    Frozen,
    Stopped,
}

impl Standing {
    /// As it stands now.
    pub(crate) fn of(found: &Found, volumes: usize) -> Self {
        let status = match found.instance.as_ref().map(|instance| &instance.status) {
            Some(Status::Stopped) | None => Stood::Stopped,
            Some(Status::Frozen) => Stood::Frozen,
            Some(_) => Stood::Running,
        };
        let Id { project, name, .. } = &found.id;
        Self { project: project.clone(), name: name.clone(), status, volumes }
    }

    fn id(&self) -> Id {
        Id::within(Kind::Instance, &self.project, &self.name)
    }
}

/// Where it is written, as a key of the server.
fn key(infra: &str) -> String {
    format!("{KEY}.{infra}")
}

/// What the server says of itself (`/1.0`).
pub(crate) fn read(server: &Value, infra: &str) -> Option<UnderWay> {
    serde_json::from_str(server["config"][key(infra)].as_str()?).ok()
}

/// The call that wipes it out.
pub(crate) fn over(infra: &str) -> Call {
    Call::incus(["config", "unset", &key(infra)])
}

impl UnderWay {
    /// The call that writes it down.
    pub(crate) fn begin(&self, infra: &str) -> Call {
        let text = serde_json::to_string(self).unwrap_or_default();
        Call::incus(["config", "set", &format!("{}={text}", key(infra))])
    }

    /// What is written of a machine.
    pub(crate) fn standing(&self, id: &Id) -> Option<&Standing> {
        self.machines.iter().find(|standing| standing.id() == *id)
    }

    /// How the machine stood when the same was begun before.
    pub(crate) fn stood(&self, id: &Id) -> Option<Status> {
        Some(match self.standing(id)?.status {
            Stood::Running => Status::Running,
            Stood::Frozen => Status::Frozen,
            Stood::Stopped => Status::Stopped,
        })
    }

    /// What cures snapshots that were cut off: frozen machines run on; what was taken of some machines only goes again.
    pub(crate) fn cure(&self, live: &Live, snapshots: &Snapshots) -> Plan {
        let mut plan = Plan::default();
        if self.doing != Doing::Create {
            return plan;
        }
        let there: Vec<&Standing> = self.machines.iter().filter(|one| live.found.contains_key(&one.id())).collect();
        for standing in &there {
            let found = &live.found[&standing.id()];
            if standing.status == Stood::Running && found.is_frozen() {
                plan.actions.push(state(found, Verb::Resume));
            }
        }
        let taken = |one: &&Standing| snapshots.get(&one.id(), &self.name);
        let is_whole = |one: &&Standing| {
            taken(one).is_some_and(|snapshot| snapshot.own.is_some() && snapshot.volumes.len() >= one.volumes)
        };
        if !there.iter().all(is_whole) {
            let left = there.iter().filter_map(taken);
            plan.actions.extend(left.map(|left| snapshot::removal(left, live.found[&left.machine].domain())));
        }
        plan
    }
}

/// The action that freezes one, or lets it run on.
pub(crate) fn state(found: &Found, verb: Verb) -> Action {
    let call = if verb == Verb::Pause { Instances::pause(&found.id) } else { Instances::resume(&found.id) };
    Action { domain: found.domain().to_owned(), ..Action::bare(found.id.clone(), verb, vec![call]) }
}

/// The action that lets run on what another one has frozen.
pub(crate) fn thawed(freezing: &Action) -> Action {
    Action { verb: Verb::Resume, calls: vec![Instances::resume(&freezing.id)], ..freezing.clone() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resources::Resource;
    use serde_json::json;

    fn machine(name: &str, status: &str, snapshots: &[&str]) -> Value {
        let snapshots: Vec<Value> = snapshots.iter().map(|name| json!({"name": name})).collect();
        json!({"name": name, "project": "pro", "type": "container", "status": status, "profiles": [], "config": {},
            "devices": {}, "snapshots": snapshots})
    }

    fn live(listed: &[Value]) -> Live {
        let found = listed.iter().filter_map(|one| Instances.found(one));
        Live { found: found.map(|found| (found.id.clone(), found)).collect(), ..Live::empty() }
    }

    /// What was begun on three machines, of which one was paused by its user.
    fn begun() -> UnderWay {
        let before = [machine("a", "Running", &[]), machine("b", "Running", &[]), machine("c", "Frozen", &[])];
        let machines = live(&before).found.values().map(|found| Standing::of(found, 0)).collect();
        UnderWay { doing: Doing::Create, name: "s".into(), machines }
    }

    fn cured(now: &[Value]) -> Vec<String> {
        let snapshots = Snapshots::parse(&json!(now), &json!([]), [].into_iter());
        let plan = begun().cure(&live(now), &snapshots);
        plan.actions.iter().map(|action| format!("{} {}", action.verb.word(), action.id.name)).collect()
    }

    #[test]
    fn what_was_frozen_runs_on_and_what_was_taken_in_part_goes_again() {
        let now = [machine("a", "Frozen", &["s", "old"]), machine("b", "Frozen", &[]), machine("c", "Frozen", &["s"])];
        assert_eq!(cured(&now), ["resume a", "resume b", "delete a/s", "delete c/s"]);
        // One that was deleted since is nobody's business.
        let now = [machine("a", "Running", &["s"]), machine("b", "Running", &[])];
        assert_eq!(cured(&now), ["delete a/s"]);
    }

    #[test]
    fn what_was_taken_whole_stays() {
        let now = [machine("a", "Running", &["s"]), machine("b", "Frozen", &["s"]), machine("c", "Frozen", &["s"])];
        assert_eq!(cured(&now), ["resume b"]);
    }

    #[test]
    fn what_is_written_down_is_read_back() {
        let call = begun().begin("lab");
        let (key, text) = call.args[2].split_once('=').unwrap();
        let server = json!({"config": {key: text}});
        assert_eq!(read(&server, "lab"), Some(begun()));
        assert_eq!(read(&server, "other"), None);
        let c = Id::within(Kind::Instance, "pro", "c");
        assert_eq!(begun().stood(&c), Some(Status::Frozen));
        assert_eq!(over("lab").args, ["config", "unset", key]);
    }
}
