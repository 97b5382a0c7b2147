//! Is a machine healthy? What `health` says in the file is run in it: exit 0 means that it is.

use std::fmt;
use std::time::Duration;

use serde::Serialize;

use crate::incus::call::Call;
use crate::incus::door::{self, CallError, Ended};
use crate::plan::Id;

/// How long the command may take.
pub(crate) const LIMIT: Duration = Duration::from_secs(10);

/// What a machine's own command said.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case", tag = "state", content = "why")]
pub(crate) enum Health {
    Healthy,
    Unhealthy(String),
}

impl fmt::Display for Health {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Healthy => f.write_str("healthy"),
            Self::Unhealthy(why) => write!(f, "UNHEALTHY: {why}"),
        }
    }
}

/// The call that asks a machine.
pub(crate) fn call(id: &Id, command: &str) -> Call {
    Call::incus(["exec", &id.name, "--project", &id.project, "--", "sh", "-c", command])
}

/// Asks a running machine, no longer than `limit`.
pub(crate) async fn ask(id: &Id, command: &str, limit: Duration) -> Health {
    verdict(door::ended(&call(id, command), limit).await, limit)
}

fn verdict(ended: Result<Option<Ended>, CallError>, limit: Duration) -> Health {
    match ended {
        Ok(Some(Ended { code: 0, .. })) => Health::Healthy,
        Ok(Some(Ended { code, said, .. })) => {
            // One line is told, the last: programs say the worst at the end.
            let last = said.lines().rfind(|line| !line.trim().is_empty()).unwrap_or_default();
            let said = if last.is_empty() { String::new() } else { format!(" ({})", last.trim()) };
            Health::Unhealthy(format!("its `health` command ended with {code}{said}"))
        }
        Ok(None) => Health::Unhealthy(format!("its `health` command did not end within {} s", limit.as_secs())),
        Err(error) => Health::Unhealthy(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ended(code: i32, said: &str) -> Ended {
        Ended { code, out: String::new(), said: said.to_owned() }
    }

    #[test]
    fn only_a_command_that_ends_with_0_in_time_is_healthy() {
        let limit = Duration::from_secs(10);
        let told = |ended| verdict(ended, limit).to_string();
        assert_eq!(told(Ok(Some(ended(0, "a warning")))), "healthy");
        assert_eq!(told(Ok(Some(ended(22, "")))), "UNHEALTHY: its `health` command ended with 22");
        let curl = "one\ncurl: (7) Failed to connect\n\n";
        assert_eq!(
            told(Ok(Some(ended(7, curl)))),
            "UNHEALTHY: its `health` command ended with 7 (curl: (7) Failed to connect)"
        );
        assert_eq!(told(Ok(None)), "UNHEALTHY: its `health` command did not end within 10 s");
        assert_eq!(told(Err(CallError::Missing("incus"))), "UNHEALTHY: `incus` is not installed, or not in the PATH");
    }

    #[test]
    fn the_command_is_run_by_a_shell_in_the_machine() {
        let id = Id::within(crate::plan::Kind::Instance, "pro", "dev");
        assert_eq!(call(&id, "pgrep tor").words(), "incus exec dev --project pro -- sh -c 'pgrep tor'");
    }
}
