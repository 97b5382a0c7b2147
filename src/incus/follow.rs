//! A program that goes on talking: read line by line, ended when nobody listens any more.

use std::process::Stdio;

use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout};

use super::call::Call;
use super::door::{CallError, command, started};

/// A program under way.
pub(crate) struct Follow {
    lines: Lines<BufReader<ChildStdout>>,
    /// Ends the program when it is dropped.
    _child: Child,
}

impl Follow {
    /// Starts it.
    pub(crate) fn start(call: &Call) -> Result<Self, CallError> {
        let mut command = command(call, false);
        command.kill_on_drop(true).stderr(Stdio::null());
        let mut child = started(call, command)?;
        let stdout = child.stdout.take().expect("standard output was asked for");
        Ok(Self { lines: BufReader::new(stdout).lines(), _child: child })
    }

    /// The next line; `None` when it has ended.
    pub(crate) async fn line(&mut self) -> Option<String> {
        self.lines.next_line().await.ok().flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(flavor = "current_thread")]
    async fn lines_come_as_they_are_said_and_the_program_ends_with_its_listener() {
        let mut talk = Follow::start(&Call::read("sh", ["-c", "echo $$; echo two; exec sleep 600"])).unwrap();
        let pid = talk.line().await.unwrap();
        assert_eq!(talk.line().await.as_deref(), Some("two"));
        let is_there =
            || std::fs::read_to_string(format!("/proc/{pid}/cmdline")).is_ok_and(|line| line.contains("sleep"));
        // It says its last word before it becomes what it then is.
        let begin = std::time::Instant::now();
        while !is_there() {
            assert!(begin.elapsed().as_secs() < 10, "the program is gone while somebody listens");
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
        drop(talk);
        while is_there() {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
        let mut short = Follow::start(&Call::read("true", [""; 0])).unwrap();
        assert_eq!(short.line().await, None);
    }
}
