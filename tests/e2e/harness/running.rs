//! A program under way in a bed.

use std::process::Child;

use super::bed::Bed;
use super::output::Output;
use super::wait_for;

/// A program under way in a bed, that can be sent a signal.
pub(crate) struct Running<'a> {
    bed: &'a Bed,
    child: Child,
    command: String,
    pid_file: String,
}

impl<'a> Running<'a> {
    pub(super) fn new(bed: &'a Bed, child: Child, command: String, pid_file: String) -> Self {
        Self { bed, child, command, pid_file }
    }

    /// Its process id, as the bed counts.
    pub(crate) fn pid(&self) -> String {
        let path = self.bed.dir().join(&self.pid_file);
        wait_for("its process id", || std::fs::read_to_string(&path).is_ok_and(|pid| pid.ends_with('\n')));
        std::fs::read_to_string(path).unwrap().trim().to_owned()
    }

    pub(crate) fn signal(&self, signal: &str) {
        self.bed.sh(&format!("kill -{signal} {}", self.pid())).ok();
    }

    /// Sends a signal, unless it has ended by then; was it sent?
    pub(crate) fn signal_if_under_way(&self, signal: &str) -> bool {
        self.bed.sh(&format!("kill -{signal} {}", self.pid())).code == 0
    }

    pub(crate) fn is_under_way(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    pub(crate) fn wait(self) -> Output {
        Output::from(self.child.wait_with_output().unwrap(), self.command)
    }
}
