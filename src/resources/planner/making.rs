//! The steps that make what is not there yet: things, the images of machines, machines that are made anew.

use super::{Conflict, Planner, action, states};
use crate::incus::call::Call;
use crate::infra::model::RunState;
use crate::plan::{Action, Id, Kind, Verb};
use crate::resources::steps::{Phase, Step};
use crate::resources::{Wanted, birth, gpu, image, resource, running};

impl<'a> Planner<'a> {
    /// The image of a machine that is made anew comes first: where it cannot be had, the one that is there runs on.
    pub(super) fn set_aside(&mut self, steps: Vec<Step>) {
        for step in steps {
            let wanted = self.sides.wanted_of(&step.action.id);
            if let Some((wanted, message)) = wanted.and_then(|one| Some((one, gpu::missing(self.sides, one)?))) {
                let (id, domain) = (wanted.id.clone(), wanted.domain.clone());
                let message = format!("{id} cannot be made anew: {message}");
                self.conflicts.push(Conflict { id, domain, message, help: "leave out `--replace`".into() });
            }
            let new = wanted.and_then(|wanted| wanted.instance.as_ref());
            let needs = new.and_then(|new| self.image(&new.image, new.vm)).into_iter().collect();
            self.steps.push(Step { needs, ..step });
        }
    }

    pub(super) fn create(&mut self, wanted: &Wanted) {
        if self.lacks_gpu(wanted) {
            return;
        }
        let mut needs = wanted.needs.clone();
        let mut heavy = false;
        let mut start = false;
        if let Some(instance) = &wanted.instance {
            heavy = instance.vm;
            start = instance.state != RunState::Stopped;
            needs.extend(self.image(&instance.image, instance.vm));
        }
        let resource = resource(&wanted.id).expect("only Incus objects are wanted");
        let begun = self.begun.iter().filter(|begun| begun.id == wanted.id);
        let mut calls: Vec<Call> = begun.flat_map(|begun| resource.delete(begun)).collect();
        calls.extend(running::birth(wanted, resource, &self.sides.desired.infra, start));
        let action = Action {
            verb: Verb::Create,
            fields: birth::fields(wanted, self.usual(wanted)),
            note: wanted.note.clone(),
            heavy,
            calls,
            ..action(wanted)
        };
        self.steps.push(Step { needs, starts: start, ..Step::new(action, Phase::Make) });
        if wanted.instance.as_ref().is_some_and(|instance| instance.state == RunState::Frozen) {
            self.run(wanted, Verb::Pause);
        }
    }

    /// A machine that could not start, since its GPU is missing, is held back; the others are made.
    pub(super) fn lacks_gpu(&mut self, wanted: &Wanted) -> bool {
        let why = gpu::missing(self.sides, wanted);
        let held = |message| self.held.push(states::refused(wanted, message));
        why.map(held).is_some()
    }

    /// The `default` profile of an instance's project.
    fn usual(&self, wanted: &Wanted) -> Option<&'a Wanted> {
        let id = Id::within(Kind::Profile, &wanted.id.project, "default");
        self.sides.wanted_of(&id).filter(|_| wanted.id.kind == Kind::Instance)
    }

    /// The image of a machine that is to be made; taken from the image repository, or fetched, where it is not here.
    fn image(&mut self, image: &str, vm: bool) -> Option<Id> {
        let stored = self.sides.desired.stored.get(&(image.to_owned(), vm));
        if !image::is_remote(image) && stored.is_none() {
            return None;
        }
        let id = image::id(image, vm);
        let here = self.sides.server.is_some_and(|server| server.has_image(&image::local_name(image, vm)));
        if !here && self.images.insert(id.clone()) {
            let action = image::creation(image, vm, stored.map(Vec::as_slice));
            self.steps.push(Step::new(action, Phase::Make));
        }
        Some(id)
    }
}
