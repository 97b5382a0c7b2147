//! Runs a plan, side by side where it can.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::incus::call::When;
use crate::incus::door::{self, CallError, Host};
use crate::plan::{Action, Kind, Plan, Verb};

/// How many actions run at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Bounds {
    pub(crate) all: usize,
    /// Starting many virtual machines at once can kill some of them.
    pub(crate) heavy: usize,
    /// Incus makes one bridge after the other and mostly waits for its dnsmasq meanwhile: more of them would only keep
    /// the places from machines whose own bridge is there.
    pub(crate) networks: usize,
}

impl Bounds {
    /// What suits a host with so many processors. Making a container is work for the processors, and more than two
    /// calls for each of them gain nothing; a virtual machine boots on all that it can get.
    pub(crate) fn for_cpus(cpus: usize) -> Self {
        Self { all: (2 * cpus).clamp(4, 16), heavy: cpus.div_ceil(4).clamp(1, 4), networks: 2 }
    }
}

/// How an action ended.
#[derive(Debug, Clone)]
pub(crate) enum Outcome {
    Done,
    Failed(CallError),
    /// Not run, because an action that it needs did not end well.
    Skipped {
        because: usize,
    },
    /// Not run, because the user stopped the run before its turn.
    Stopped,
}

/// The outcome of every action of a plan, in the plan's order.
#[derive(Debug, Clone, Default)]
pub(crate) struct Report {
    pub(crate) outcomes: Vec<Outcome>,
}

impl Report {
    /// Did everything end well?
    pub(crate) fn is_clean(&self) -> bool {
        self.outcomes.iter().all(|outcome| matches!(outcome, Outcome::Done))
    }

    /// Was there a failure that another look may cure: things that had been made, or had gone, in the meantime?
    pub(crate) fn wants_another_look(&self) -> bool {
        self.outcomes.iter().any(|outcome| match outcome {
            Outcome::Failed(CallError::Failed { said, .. }) => {
                ["UNIQUE constraint failed", " already ", "not found"].iter().any(|words| said.contains(words))
            }
            _ => false,
        })
    }
}

/// Who is told what is going on.
pub(crate) trait Watch {
    /// An action begins.
    fn begun(&self, at: usize, action: &Action);
    /// An action is over.
    fn ended(&self, at: usize, action: &Action, outcome: &Outcome, took: Duration);
    /// The user asked to stop; so many are still under way.
    fn stopping(&self, under_way: usize);
}

/// Runs the plan. `stop` becomes true when the user asks to stop: nothing new is begun then, and what is under way runs
/// to its end. A failure stops only what needs it.
pub(crate) async fn run<H: Host>(
    plan: &Plan,
    host: Arc<H>,
    bounds: Bounds,
    watch: &impl Watch,
    mut stop: watch::Receiver<bool>,
) -> Report {
    let mut run = Run::new(plan, bounds);
    let mut tasks = JoinSet::new();
    loop {
        while !*stop.borrow()
            && let Some(at) = run.next()
        {
            watch.begun(at, &plan.actions[at]);
            let (host, action) = (Arc::clone(&host), plan.actions[at].clone());
            tasks.spawn(async move {
                let start = Instant::now();
                (at, act(&*host, &action).await, start.elapsed())
            });
        }
        run.skip(|at, outcome| watch.ended(at, &plan.actions[at], outcome, Duration::ZERO));
        if tasks.is_empty() {
            break;
        }
        let already = *stop.borrow();
        tokio::select! {
            Some(joined) = tasks.join_next() => {
                let (at, result, took) = joined.expect("an action does not panic");
                let outcome = result.map_or_else(Outcome::Failed, |()| Outcome::Done);
                watch.ended(at, &plan.actions[at], &outcome, took);
                run.end(at, outcome);
            }
            Ok(()) = stop.changed(), if !already => watch.stopping(tasks.len()),
        }
    }
    Report { outcomes: run.outcomes() }
}

/// Runs the calls of one action. After a failure only those are run that were meant for it; the first failure is told.
async fn act(host: &impl Host, action: &Action) -> Result<(), CallError> {
    let mut result = Ok(());
    for call in &action.calls {
        let is_due = match call.when {
            When::Next => result.is_ok(),
            When::Always => true,
            When::Rescue => result.is_err(),
        };
        if is_due {
            let this = door::perform(host, call).await.map(drop);
            result = result.and(this);
        }
    }
    result
}

fn makes_bridge(action: &Action) -> bool {
    action.id.kind == Kind::Network && action.verb == Verb::Create
}

#[derive(Debug, Clone)]
enum Progress {
    Waiting,
    UnderWay,
    Over(Outcome),
}

/// Who waits, who is under way, who is over.
struct Run<'a> {
    plan: &'a Plan,
    bounds: Bounds,
    progress: Vec<Progress>,
    under_way: usize,
    heavy_under_way: usize,
    networks_under_way: usize,
}

impl<'a> Run<'a> {
    fn new(plan: &'a Plan, bounds: Bounds) -> Self {
        Self {
            plan,
            bounds,
            progress: vec![Progress::Waiting; plan.actions.len()],
            under_way: 0,
            heavy_under_way: 0,
            networks_under_way: 0,
        }
    }

    /// The next action that can begin, which is then under way.
    fn next(&mut self) -> Option<usize> {
        if self.under_way >= self.bounds.all {
            return None;
        }
        let is_ready = |at: &usize| {
            let action = &self.plan.actions[*at];
            matches!(self.progress[*at], Progress::Waiting)
                && (!action.heavy || self.heavy_under_way < self.bounds.heavy)
                && (!makes_bridge(action) || self.networks_under_way < self.bounds.networks)
                && action.after.iter().all(|before| matches!(self.progress[*before], Progress::Over(Outcome::Done)))
        };
        let at = (0..self.progress.len()).find(is_ready)?;
        self.progress[at] = Progress::UnderWay;
        self.under_way += 1;
        self.heavy_under_way += usize::from(self.plan.actions[at].heavy);
        self.networks_under_way += usize::from(makes_bridge(&self.plan.actions[at]));
        Some(at)
    }

    fn end(&mut self, at: usize, outcome: Outcome) {
        self.progress[at] = Progress::Over(outcome);
        self.under_way -= 1;
        self.heavy_under_way -= usize::from(self.plan.actions[at].heavy);
        self.networks_under_way -= usize::from(makes_bridge(&self.plan.actions[at]));
    }

    /// Gives up what needs something that did not end well. Plans are in order, so that one pass is enough.
    fn skip(&mut self, told: impl Fn(usize, &Outcome)) {
        for at in 0..self.progress.len() {
            let failed = |before: &&usize| matches!(&self.progress[**before], Progress::Over(outcome) if !matches!(outcome, Outcome::Done));
            if !matches!(self.progress[at], Progress::Waiting) {
                continue;
            }
            if let Some(because) = self.plan.actions[at].after.iter().find(failed).copied() {
                let outcome = Outcome::Skipped { because };
                told(at, &outcome);
                self.progress[at] = Progress::Over(outcome);
            }
        }
    }

    fn outcomes(self) -> Vec<Outcome> {
        let outcome = |progress| match progress {
            Progress::Over(outcome) => outcome,
            Progress::Waiting | Progress::UnderWay => Outcome::Stopped,
        };
        self.progress.into_iter().map(outcome).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;
    use crate::incus::call::Call;
    use crate::plan::Id;

    /// Fails every call whose first word is in `bad`; remembers the others.
    #[derive(Default)]
    struct Script {
        bad: Vec<&'static str>,
        ran: Mutex<Vec<String>>,
        at_once: Mutex<(usize, usize)>,
    }

    impl Host for Script {
        async fn call(&self, call: &Call) -> Result<Vec<u8>, CallError> {
            {
                let mut at_once = self.at_once.lock().unwrap();
                at_once.0 += 1;
                at_once.1 = at_once.1.max(at_once.0);
            }
            tokio::task::yield_now().await;
            self.at_once.lock().unwrap().0 -= 1;
            let word = call.args.join(" ");
            if self.bad.contains(&word.as_str()) {
                return Err(CallError::Failed { program: "incus", said: word });
            }
            self.ran.lock().unwrap().push(word);
            Ok(Vec::new())
        }
    }

    struct Quiet;
    impl Watch for Quiet {
        fn begun(&self, _: usize, _: &Action) {}
        fn ended(&self, _: usize, _: &Action, _: &Outcome, _: Duration) {}
        fn stopping(&self, _: usize) {}
    }

    fn action(name: &str, after: &[usize]) -> Action {
        Action {
            after: after.to_vec(),
            ..Action::bare(Id::global(Kind::Project, name), Verb::Create, vec![Call::incus([name])])
        }
    }

    async fn ran(actions: Vec<Action>, host: Script, bounds: Bounds) -> (Report, Arc<Script>) {
        let host = Arc::new(host);
        let plan = Plan { actions, held: Vec::new() };
        let (_keep, stop) = watch::channel(false);
        (run(&plan, Arc::clone(&host), bounds, &Quiet, stop).await, host)
    }

    const WIDE: Bounds = Bounds { all: 8, heavy: 1, networks: 2 };

    #[tokio::test(flavor = "current_thread")]
    async fn a_failure_stops_only_what_needs_it() {
        let actions = vec![action("a", &[]), action("b", &[0]), action("c", &[1]), action("d", &[])];
        let (report, host) = ran(actions, Script { bad: vec!["a"], ..Script::default() }, WIDE).await;
        assert_eq!(*host.ran.lock().unwrap(), ["d"]);
        assert!(matches!(report.outcomes[0], Outcome::Failed(_)));
        assert!(matches!(report.outcomes[1], Outcome::Skipped { because: 0 }));
        assert!(matches!(report.outcomes[2], Outcome::Skipped { because: 1 }));
        assert!(matches!(report.outcomes[3], Outcome::Done));
    }

    #[tokio::test(flavor = "current_thread")]
    async fn no_more_run_at_once_than_the_bounds_allow() {
        let heavy = |name| Action { heavy: true, ..action(name, &[]) };
        let (_, host) = ran(vec![heavy("a"), heavy("b"), heavy("c")], Script::default(), WIDE).await;
        assert_eq!(host.at_once.lock().unwrap().1, 1);
        let many = (0..20).map(|n| action(&n.to_string(), &[])).collect();
        let (_, host) = ran(many, Script::default(), Bounds { all: 3, heavy: 1, networks: 2 }).await;
        assert_eq!(host.at_once.lock().unwrap().1, 3);
    }

    #[tokio::test(flavor = "current_thread")]
    async fn a_machine_stopped_for_a_change_that_fails_starts_again() {
        for start in [Call::incus(["start"]).always(), Call::incus(["start"]).rescue()] {
            let calls = vec![Call::incus(["stop"]), Call::incus(["edit"]), start];
            let actions = vec![Action { calls, ..action("x", &[]) }];
            let (report, host) = ran(actions, Script { bad: vec!["edit"], ..Script::default() }, WIDE).await;
            assert_eq!(*host.ran.lock().unwrap(), ["stop", "start"]);
            assert!(matches!(&report.outcomes[0], Outcome::Failed(error) if error.to_string() == "edit"));
        }
    }

    #[tokio::test(flavor = "current_thread")]
    async fn a_machine_that_the_next_change_starts_stays_down_until_then() {
        let calls = vec![Call::incus(["stop"]), Call::incus(["edit"]), Call::incus(["start"]).rescue()];
        let (_, host) = ran(vec![Action { calls, ..action("x", &[]) }], Script::default(), WIDE).await;
        assert_eq!(*host.ran.lock().unwrap(), ["stop", "edit"]);
    }

    #[tokio::test(flavor = "current_thread")]
    async fn nothing_begins_after_the_user_asked_to_stop() {
        let host = Arc::new(Script::default());
        let plan = Plan { actions: vec![action("a", &[])], held: Vec::new() };
        let (_keep, stop) = watch::channel(true);
        let report = run(&plan, Arc::clone(&host), WIDE, &Quiet, stop).await;
        assert!(host.ran.lock().unwrap().is_empty());
        assert!(matches!(report.outcomes[0], Outcome::Stopped));
    }
}
