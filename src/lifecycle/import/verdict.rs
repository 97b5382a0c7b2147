//! What `apply` would do with a drafted file: nothing but set marks, or whose fault it is.

use super::scene::Scene;
use crate::infra::model::Infra;
use crate::infra::problem::{Level, Problem};
use crate::infra::{self, Failure};
use crate::plan::{Action, Field, Held, Id, Kind, Plan, Verb, Why};
use crate::resolve::context::PREFIX;
use crate::resolve::desired::Desired;
use crate::resolve::{self, Holds};
use crate::resources::planner::{self, Options};
use crate::resources::{directory, volume};

/// Who something is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Whose {
    Domain(String),
    Machine(String, String),
    Share(String),
    Nobody,
}

/// Something that would change, or a rule that it breaks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Blame {
    pub(super) whose: Whose,
    pub(super) why: String,
}

/// What is found of a drafted file.
#[derive(Debug, Default)]
pub(super) struct Verdict {
    pub(super) blames: Vec<Blame>,
    /// Things that `apply` would only set its marks on.
    pub(super) adopted: usize,
    /// It would load the table.
    pub(super) loads: bool,
}

/// Reads the text as anybody would, and plans it.
pub(super) fn verdict(scene: &Scene<'_>, text: &str, meant: &Infra) -> Verdict {
    let loaded = match infra::load_text("infra.yml", text.to_owned()) {
        Ok(loaded) => loaded,
        Err(Failure::Unreadable { message, .. }) => {
            return Verdict { blames: vec![Blame { whose: Whose::Nobody, why: message }], ..Verdict::default() };
        }
        Err(Failure::Invalid { problems, .. }) => {
            return Verdict { blames: of_problems(&problems), ..Verdict::default() };
        }
    };
    let unlike = unlike(&loaded.infra, meant);
    if !unlike.is_empty() {
        return Verdict { blames: unlike, ..Verdict::default() };
    }
    let mut problems = infra::host_rules(&loaded.infra, scene.facts);
    let (desired, more) =
        resolve::resolve(&loaded.infra, scene.facts, &Holds::of(scene.live, &loaded.infra.project_name));
    problems.extend(more);
    let blames = of_problems(&problems);
    if !blames.is_empty() {
        return Verdict { blames, ..Verdict::default() };
    }
    let mut live = scene.live.clone();
    let directories = directory::wanted(&desired).into_keys().filter(|path| (scene.is_dir)(path));
    live.directories.extend(directories.map(str::to_owned));
    match planner::plan(&desired, &live, None, &Options::default()) {
        Ok(plan) => of_plan(&desired, &plan),
        Err(conflicts) => {
            let blame = |conflict: planner::Conflict| Blame {
                whose: whose(&desired, &conflict.id, &conflict.domain),
                why: conflict.message,
            };
            Verdict { blames: conflicts.into_iter().map(blame).collect(), ..Verdict::default() }
        }
    }
}

/// What is read otherwise than it was meant: better left out than wrong.
fn unlike(read: &Infra, meant: &Infra) -> Vec<Blame> {
    let mut blames = Vec::new();
    for (name, domain) in &meant.domains {
        let found = read.domains.get(name);
        let same =
            |machine: &str| found.is_some_and(|found| found.machines.get(machine) == domain.machines.get(machine));
        let unlike = domain.machines.keys().filter(|machine| !same(machine));
        let machines: Vec<Whose> = unlike.map(|machine| Whose::Machine(name.clone(), machine.clone())).collect();
        if machines.is_empty() && found != Some(domain) {
            blames.push(Whose::Domain(name.clone()));
        }
        blames.extend(machines);
    }
    if blames.is_empty() && read != meant {
        blames.push(Whose::Nobody);
    }
    let blame =
        |whose| Blame { whose, why: "it has values that cannot be written so that they are read the same".into() };
    blames.into_iter().map(blame).collect()
}

fn of_problems(problems: &[Problem]) -> Vec<Blame> {
    let errors = problems.iter().filter(|problem| problem.level == Level::Error);
    let blame = |problem: &Problem| {
        let steps: Vec<&str> = problem.path.0.iter().map(String::as_str).collect();
        let whose = match steps.as_slice() {
            ["domains", domain, "machines", machine, ..] => Whose::Machine((*domain).to_owned(), (*machine).to_owned()),
            ["domains", domain, ..] => Whose::Domain((*domain).to_owned()),
            ["shared_volumes", share, ..] => Whose::Share((*share).to_owned()),
            _ => Whose::Nobody,
        };
        let help = problem.help.as_ref().map(|help| format!(" ({help})")).unwrap_or_default();
        Blame { whose, why: format!("{}{help}", problem.message) }
    };
    errors.map(blame).collect()
}

fn of_plan(desired: &Desired, plan: &Plan) -> Verdict {
    let mut verdict = Verdict::default();
    for action in &plan.actions {
        if action.id.kind.is_isolation() {
            verdict.loads |= action.id.kind == Kind::Firewall;
        } else if sets_marks_only(action) {
            verdict.adopted += 1;
        } else {
            let whose = whose(desired, &action.id, &action.domain);
            verdict.blames.push(Blame { whose, why: told(action) });
        }
    }
    let wrong = |held: &&Held| matches!(held.why, Why::Restart | Why::Rebuild | Why::Refused);
    for held in plan.held.iter().filter(wrong).filter(|held| !held.fields.is_empty()) {
        let whose = whose(desired, &held.id, &held.domain);
        verdict.blames.push(Blame { whose, why: format!("change {}: {}", held.id, fields(&held.fields)) });
    }
    verdict
}

/// Marks, and where the machine stands among nested ones: all of it begins with `user.anklume.`.
fn sets_marks_only(action: &Action) -> bool {
    matches!(action.verb, Verb::Adopt | Verb::Update) && action.fields.iter().all(|field| field.key.starts_with(PREFIX))
}

fn told(action: &Action) -> String {
    let fields = fields(&action.fields);
    let colon = if fields.is_empty() { "" } else { ": " };
    match action.verb {
        Verb::Adopt | Verb::Update => format!("change {}{colon}{fields}", action.id),
        verb => format!("{} {}", verb.word(), action.id),
    }
}

fn fields(fields: &[Field]) -> String {
    let word = |text: &Option<String>| text.clone().unwrap_or_else(|| "nothing".into());
    let one = |field: &Field| format!("{} from {} to {}", field.key, word(&field.before), word(&field.after));
    fields.iter().filter(|field| !field.key.starts_with(PREFIX)).map(one).collect::<Vec<_>>().join("; ")
}

/// The machine, or the domain, that a thing belongs to.
fn whose(desired: &Desired, id: &Id, domain: &str) -> Whose {
    let is_it = |home: &resolve::desired::Domain, machine: &resolve::desired::Machine| match id.kind {
        Kind::Instance => home.project == id.project && machine.instance == id.name,
        Kind::Volume => {
            let mut volumes = machine.volumes.iter();
            volumes.any(|one| volume::id(&home.project, &one.pool, &one.name) == *id)
        }
        Kind::Directory => machine.directories.iter().any(|one| one.path == id.name && !one.shared),
        Kind::Record => home.name == domain && id.name.rsplit('/').next() == Some(machine.instance.as_str()),
        _ => false,
    };
    let machines = desired.domains.iter().flat_map(|home| home.machines.iter().map(move |machine| (home, machine)));
    let mut machines = machines.filter(|(home, machine)| is_it(home, machine));
    match machines.next() {
        Some((home, machine)) => Whose::Machine(home.name.clone(), machine.name.clone()),
        None if desired.domains.iter().any(|home| home.name == domain) => Whose::Domain(domain.to_owned()),
        None => Whose::Nobody,
    }
}
