//! A made-up host on which files are planned and applied.

use std::cell::RefCell;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::{Builder, Runtime};
use tokio::sync::watch;

use crate::apply::{self, Bounds, Outcome, Report, Watch};
use crate::host::facts::Facts;
use crate::incus::fake::Fake;
use crate::incus::live::Live;
use crate::incus::server::Server;
use crate::infra::model::Infra;
use crate::infra::problem::{Level, Problem};
use crate::lifecycle::import::{Asked, Images, Imported, Scene, import};
use crate::plan::{Action, Kind, Plan};
use crate::resolve::desired::Desired;
use crate::resolve::{Holds, resolve};
use crate::resources::planner::{self, Conflict, Options};

thread_local! {
    static RUNTIME: RefCell<Runtime> = RefCell::new(Builder::new_current_thread().build().unwrap());
}

fn wait<T>(future: impl Future<Output = T>) -> T {
    RUNTIME.with_borrow(|runtime| runtime.block_on(future))
}

/// Why there is no plan.
#[derive(Debug)]
pub(super) enum Refusal {
    Problems(#[expect(dead_code, reason = "shown when a case fails")] Vec<Problem>),
    Conflicts(#[expect(dead_code, reason = "shown when a case fails")] Vec<Conflict>),
}

pub(super) struct World {
    pub(super) fake: Arc<Fake>,
}

impl World {
    pub(super) fn new() -> Self {
        let fake = Fake::new();
        fake.state().put_image("golden", false);
        Self { fake: Arc::new(fake) }
    }

    pub(super) fn read(&self) -> Live {
        let live = wait(Live::read(&*self.fake)).unwrap();
        Live { directories: self.fake.state().directories.clone(), ..live }
    }

    /// What is wanted on this host, and what is there.
    pub(super) fn resolved(&self, infra: &Infra) -> Result<(Desired, Live), Refusal> {
        let live = self.read();
        let (desired, problems) = resolve(infra, &Facts::default(), &Holds::of(&live, &infra.project_name));
        let errors: Vec<Problem> = problems.into_iter().filter(|problem| problem.level == Level::Error).collect();
        if errors.is_empty() { Ok((desired, live)) } else { Err(Refusal::Problems(errors)) }
    }

    /// What `anklume import` says of this host.
    pub(super) fn imported(&self, asked: &Asked) -> Imported {
        let (live, images) = (self.read(), wait(Images::read(&*self.fake)).unwrap());
        let is_dir = |path: &str| live.directories.contains(path);
        let scene = Scene { live: &live, facts: &Facts::default(), images: &images, is_dir: &is_dir };
        import(&scene, asked).map_err(|error| error.to_string()).unwrap()
    }

    pub(super) fn plan(&self, infra: &Infra, options: &Options) -> Result<Plan, Refusal> {
        let (desired, live) = self.resolved(infra)?;
        let server = wait(Server::read(&*self.fake)).unwrap();
        planner::plan(&desired, &live, Some(&server), options).map_err(Refusal::Conflicts)
    }

    pub(super) fn apply(&self, plan: &Plan) -> Report {
        let (_keep, stop) = watch::channel(false);
        let bounds = Bounds { all: 4, heavy: 1, networks: 2 };
        wait(apply::run(plan, Arc::clone(&self.fake), bounds, &Quiet, stop))
    }
}

/// The actions of a plan, a line each.
pub(super) fn told(plan: &Plan) -> String {
    let line = |(at, action): (usize, &Action)| {
        let calls: Vec<String> = action.calls.iter().map(|call| call.shell(|_, _| None)).collect();
        let (word, id, after) = (action.verb.word(), &action.id, &action.after);
        let calls = if id.kind == Kind::Firewall { String::new() } else { calls.join("\n      ") };
        format!("{at}. {word} {id} after {after:?}\n      {calls}\n")
    };
    let held = plan.held.iter().map(|held| format!("! {}: {}\n", held.id, held.message));
    plan.actions.iter().enumerate().map(line).chain(held).collect()
}

/// What went wrong in a run, with the action it went wrong in.
pub(super) fn failures(plan: &Plan, report: &Report) -> Vec<String> {
    let told = |(action, outcome): (&Action, &Outcome)| match outcome {
        Outcome::Failed(error) => Some(format!("{} {}: {error}", action.verb.word(), action.id)),
        _ => None,
    };
    plan.actions.iter().zip(&report.outcomes).filter_map(told).collect()
}

struct Quiet;

impl Watch for Quiet {
    fn begun(&self, _: usize, _: &Action) {}
    fn ended(&self, _: usize, _: &Action, _: &Outcome, _: Duration) {}
    fn stopping(&self, _: usize) {}
}
