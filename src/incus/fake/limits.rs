//! Project limits.

use super::Change;
use super::state::{Config, State};

/// Do these limits hold for the instances of the project? One more of a kind may be on its way.
pub(super) fn check(state: &State, project: &str, limits: &Config, more: Option<(bool, Config)>) -> Change {
    let all = state.instances.iter().filter(|((own, _), _)| own == project);
    let mut each: Vec<(&str, bool, Config)> =
        all.map(|((_, name), one)| (name.as_str(), one.vm, state.expanded(project, one).0)).collect();
    let making = more.is_some();
    each.extend(more.map(|(vm, config)| ("the new one", vm, config)));
    let counts = [
        ("limits.instances", each.len(), "total "),
        ("limits.containers", each.iter().filter(|(_, vm, _)| !vm).count(), "container "),
        ("limits.virtual-machines", each.iter().filter(|(_, vm, _)| *vm).count(), "virtual-machine "),
    ];
    for (key, count, kind) in counts {
        let Some(limit) = limits.get(key).map(|limit| limit.parse::<usize>().expect("a count")) else { continue };
        if count > limit {
            return Err(if making {
                format!("Reached maximum number of {kind}instances in project \"{project}\"")
            } else {
                format!("\"{key}\" is too low: there currently are {count} {kind}instances in project \"{project}\"")
            });
        }
    }
    for key in ["limits.memory", "limits.cpu", "limits.processes"] {
        let Some(limit) = limits.get(key) else { continue };
        let mut sum = 0;
        for (name, _, config) in &each {
            let Some(own) = config.get(key) else {
                return Err(format!(
                    "Instance \"{name}\" in project \"{project}\" has no \"{key}\" config, either directly or via a profile"
                ));
            };
            sum += amount(own);
        }
        if sum > amount(limit) {
            return Err(format!("Reached maximum aggregate value \"{limit}\" for \"{key}\" in project \"{project}\""));
        }
    }
    Ok(())
}

fn amount(text: &str) -> u64 {
    let (number, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()));
    let factor = match unit {
        "" => 1,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        other => panic!("no test has written `{other}` yet"),
    };
    number.parse::<u64>().expect("a number") * factor
}
