//! What holds on one host and not on another.

use super::super::model::Infra;
use super::super::problem::Problem;
use super::{Spot, is_true, machines};
use crate::host::facts::Facts;

/// Problems of an infrastructure on this host: privileged containers are as good as root on it, so they are let in only
/// where a virtual machine is around them or the user insists.
pub(crate) fn host_rules(infra: &Infra, facts: &Facts) -> Vec<Problem> {
    machines(infra).filter_map(|spot| privileged(spot, facts)).collect()
}

fn privileged(spot: Spot<'_>, facts: &Facts) -> Option<Problem> {
    let (_, path) = spot.config("security.privileged").filter(|(value, _)| is_true(value) && !spot.machine.vm)?;
    let message = format!("`{}` is a privileged container: root in it is root on this host", spot.name);
    Some(if facts.vm_nested || facts.yolo {
        let why = if facts.yolo { "--yolo lets it pass" } else { "the virtual machine around this host contains it" };
        Problem::warning(path, message).help(why)
    } else {
        Problem::error(path, message).help("use `type: vm`, or remove the key; `--yolo` lets it pass all the same")
    })
}
