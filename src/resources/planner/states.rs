//! The steps that start, pause and resume machines, and what keeps one from it.

use super::{Planner, action};
use crate::infra::model::RunState;
use crate::plan::{Action, Held, Verb, Why};
use crate::resources::fields::Key;
use crate::resources::steps::{Phase, Step};
use crate::resources::{Found, Status, Wanted, instance};

impl Planner<'_> {
    pub(super) fn state(&mut self, wanted: &Wanted, found: &Found) {
        let (Some(instance), Some(stands)) = (&wanted.instance, &found.instance) else { return };
        if let Status::Other(status) = &stands.status {
            let (name, project) = (&found.id.name, &found.id.project);
            let message = format!("its state is {status}; `incus info {name} --project {project}` tells more");
            self.held.push(refused(wanted, message));
        } else if let Some(verb) = instance::run_state(instance, &stands.status) {
            if verb == Verb::Start && self.lacks_gpu(wanted) {
                return;
            }
            self.run(wanted, verb);
            if verb == Verb::Start && instance.state == RunState::Frozen {
                self.run(wanted, Verb::Pause);
            }
        }
    }

    pub(super) fn run(&mut self, wanted: &Wanted, verb: Verb) {
        let id = &wanted.id;
        let calls = match verb {
            Verb::Pause => vec![instance::Instances::pause(id)],
            Verb::Resume => vec![instance::Instances::resume(id)],
            // An earlier run that was cut off may have left it without its files.
            _ if self.is_of_its_type(wanted) => {
                wanted.instance.iter().flat_map(|one| instance::Instances::start_with_files(id, one)).collect()
            }
            _ => vec![instance::Instances::start(id)],
        };
        let mut needs = vec![id.clone()];
        needs.extend(wanted.needs.clone());
        let action = Action { verb, calls, ..action(wanted) };
        self.steps.push(Step { needs, starts: matches!(verb, Verb::Start), ..Step::new(action, Phase::Run) });
    }

    /// Is the machine that stands no virtual machine where a container is wanted, or the other way round?
    fn is_of_its_type(&self, wanted: &Wanted) -> bool {
        let found = self.sides.live.found.get(&wanted.id);
        found.is_none_or(|found| found.fields.get(&Key::Type) == wanted.fields.get(&Key::Type))
    }
}

/// A machine that the host does not let be as the file says.
pub(super) fn refused(wanted: &Wanted, message: String) -> Held {
    let (id, domain) = (wanted.id.clone(), wanted.domain.clone());
    Held { id, domain, why: Why::Refused, fields: Vec::new(), message }
}
