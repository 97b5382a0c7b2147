//! The one door to the outside: runs programs, and says what they said.

use std::borrow::Cow;
use std::ffi::OsString;
use std::future::Future;
use std::process::Stdio;
use std::task::Poll;
use std::time::Duration;

use serde_json::Value;
use tokio::io::AsyncWriteExt;
use tokio::process::{Child, Command};
use tokio::signal::unix::{SignalKind, signal};

use super::call::{Call, Input};

/// Something that answers calls: this host, or a made-up one in tests.
pub(crate) trait Host: Send + Sync + 'static {
    /// Runs a call to its end and returns its standard output.
    fn call(&self, call: &Call) -> impl Future<Output = Result<Vec<u8>, CallError>> + Send;
}

/// Why a call gave no answer.
#[derive(Debug, Clone, thiserror::Error)]
pub(crate) enum CallError {
    #[error("`{0}` is not installed, or not in the PATH")]
    Missing(&'static str),
    /// The program ran and failed; its own words, without the leading `Error: `.
    #[error("{said}")]
    Failed { program: &'static str, said: String },
    #[error("`{call}` could not be run: {why}")]
    Broken { call: String, why: String },
    #[error("`{call}` said something that is not JSON: {why}")]
    Garbled { call: String, why: String },
}

/// This host, by the programs in its PATH.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct ThisHost;

impl Host for ThisHost {
    async fn call(&self, call: &Call) -> Result<Vec<u8>, CallError> {
        Box::pin(with_environment(call, &[])).await
    }
}

/// Runs a call on this host to its end, with more environment variables.
pub(crate) async fn with_environment(call: &Call, more: &[(&str, OsString)]) -> Result<Vec<u8>, CallError> {
    let input = given(&call.input);
    let mut command = command(call, input.is_some());
    command.envs(more.iter().map(|(name, value)| (name, value)));
    let mut child = started(call, command)?;
    if let Some(text) = input {
        let mut stdin = child.stdin.take().expect("standard input was asked for");
        // A program that fails early closes its end: what it says then matters more than the broken pipe.
        let _ = stdin.write_all(text.as_bytes()).await;
    }
    let output = child.wait_with_output().await.map_err(|error| broken(call, &error))?;
    if output.status.success() {
        return Ok(output.stdout);
    }
    let said = said(&output.stderr);
    let said = if said.is_empty() { format!("`{}` ended with {}", call.words(), output.status) } else { said };
    tracing::debug!(call = %call.words(), %said, "failed");
    Err(CallError::Failed { program: call.program, said })
}

/// Runs a program that has the terminal to itself until it ends; its exit code. Ctrl-C is for the program: the terminal
/// sends it to both.
pub(crate) async fn attended(call: &Call, more: &[(&str, OsString)]) -> Result<i32, CallError> {
    let signals = [SignalKind::interrupt(), SignalKind::terminate()].map(signal);
    let [Ok(mut interrupt), Ok(mut terminate)] = signals else {
        return Err(CallError::Broken { call: call.words(), why: "signals cannot be caught".into() });
    };
    let mut command = Command::new(call.program);
    command.args(&call.args).env_remove("INCUS_PROJECT").env_remove("INCUS_REMOTE");
    command.envs(more.iter().map(|(name, value)| (name, value)));
    let mut child = started(call, command)?;
    loop {
        tokio::select! {
            ended = child.wait() => {
                let ended = ended.map_err(|error| broken(call, &error))?;
                return Ok(ended.code().unwrap_or(1));
            }
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {
                let pid = child.id().and_then(|pid| rustix::process::Pid::from_raw(pid.try_into().ok()?));
                let _ = pid.map(|pid| rustix::process::kill_process(pid, rustix::process::Signal::TERM));
            }
        }
    }
}

/// How a program ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Ended {
    pub(crate) code: i32,
    /// What it printed.
    pub(crate) out: String,
    /// What it said on standard error.
    pub(crate) said: String,
}

/// Runs a call whose exit code matters, no longer than `limit`: nothing where it took longer, and was killed.
pub(crate) async fn ended(call: &Call, limit: Duration) -> Result<Option<Ended>, CallError> {
    let mut command = command(call, false);
    let child = started(call, {
        command.kill_on_drop(true);
        command
    })?;
    let Ok(output) = tokio::time::timeout(limit, child.wait_with_output()).await else { return Ok(None) };
    let output = output.map_err(|error| broken(call, &error))?;
    let out = String::from_utf8_lossy(&output.stdout).into_owned();
    Ok(Some(Ended { code: output.status.code().unwrap_or(-1), out, said: said(&output.stderr) }))
}

/// Becomes the program of a call, with the terminal and the exit code its own. Comes back only when that fails.
pub(crate) fn become_program(call: &Call) -> CallError {
    use std::os::unix::process::CommandExt;
    tracing::debug!(call = %call.words(), "become");
    let mut command = std::process::Command::new(call.program);
    let error = command.args(&call.args).env_remove("INCUS_PROJECT").env_remove("INCUS_REMOTE").exec();
    broken(call, &error)
}

/// Starts a program.
pub(super) fn started(call: &Call, mut command: Command) -> Result<Child, CallError> {
    tracing::debug!(call = %call.words(), "run");
    command.spawn().map_err(|error| broken(call, &error))
}

fn broken(call: &Call, error: &std::io::Error) -> CallError {
    match error.kind() {
        std::io::ErrorKind::NotFound => CallError::Missing(call.program),
        _ => CallError::Broken { call: call.words(), why: error.to_string() },
    }
}

/// What goes to standard input, as it is sent.
fn given(input: &Input) -> Option<Cow<'_, str>> {
    match input {
        Input::Nothing | Input::Edited { .. } => None,
        Input::Body(body) => Some(body.to_string().into()),
        Input::Text(text) => Some(text.into()),
    }
}

/// The program of a call, ready to be started.
pub(super) fn command(call: &Call, input: bool) -> Command {
    let mut command = Command::new(call.program);
    command
        .args(&call.args)
        .stdin(if input { Stdio::piped() } else { Stdio::null() })
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        // The texts that are told apart below are English ones.
        .env("LC_ALL", "C.UTF-8")
        // Every call names its project; these would say otherwise for those on `default`.
        .env_remove("INCUS_PROJECT")
        .env_remove("INCUS_REMOTE")
        // The client is a Go program that lives for some milliseconds: no time to collect garbage in.
        .env("GOGC", "400")
        // A group of its own: Ctrl-C on the terminal ends anklume's launching, not the calls that are under way.
        .process_group(0);
    command
}

/// What a program said on standard error, as one line or more without its `Error: `.
fn said(stderr: &[u8]) -> String {
    let text = String::from_utf8_lossy(stderr);
    // Incus writes progress with carriage returns on the same stream.
    let text = text.rsplit('\r').next().unwrap_or_default().trim();
    text.trim_start_matches("Error: ").to_owned()
}

/// How often a call is tried that fails for a reason that passes by itself.
const TRIES: u32 = 6;
/// How long to wait before the second try; longer before each one after.
const PAUSE: Duration = Duration::from_millis(50);

/// Runs a call, reading first what an edit is made on, and tries again what fails for a reason that passes.
pub(crate) async fn perform(host: &impl Host, call: &Call) -> Result<Vec<u8>, CallError> {
    let mut tries = 1;
    loop {
        match once(host, call).await {
            Err(CallError::Failed { said, .. }) if is_passing(&said) && tries < TRIES => {
                tracing::debug!(call = %call.words(), %said, tries, "again");
                tokio::time::sleep(PAUSE * tries).await;
                tries += 1;
            }
            result => return result,
        }
    }
}

async fn once(host: &impl Host, call: &Call) -> Result<Vec<u8>, CallError> {
    let Input::Edited { path, edit } = &call.input else { return host.call(call).await };
    let read = json(host, &Call::query(path.clone())).await?;
    let call = Call { input: Input::Body(edit.apply(&read)), ..call.clone() };
    host.call(&call).await
}

/// Failures that come of two things going on at once, as seen on Incus 6.0.4. It undoes what it had begun by then.
fn is_passing(said: &str) -> bool {
    [
        // Somebody edited the same thing between our read and our write.
        "ETag doesn't match",
        "database is locked",
        // A bridge that starts looks at every interface of the host, and a machine's came or went meanwhile.
        "Failed to delete bridge children interfaces",
        // The change of a profile is still on its way through its machines.
        "Instance is busy running",
        // Two profiles of one machine change at once: Incus waited for the other change, and then gave up.
        "A matching non-reusable operation has now succeeded",
    ]
    .iter()
    .any(|words| said.contains(words))
        // Two images fetched at once from a server that was never asked before: both make the directory of its cache.
        || (said.contains("simple streams server") && said.contains("file exists"))
}

/// Runs a read and parses its answer.
pub(crate) async fn json(host: &impl Host, call: &Call) -> Result<Value, CallError> {
    let bytes = host.call(call).await?;
    // For "none at all" `incus query` prints nothing: so it says that there is no storage pool.
    if bytes.is_empty() {
        return Ok(Value::Null);
    }
    serde_json::from_slice(&bytes).map_err(|error| CallError::Garbled { call: call.words(), why: error.to_string() })
}

/// Waits for all of them at once.
pub(crate) async fn all<F: Future>(futures: impl IntoIterator<Item = F>) -> Vec<F::Output> {
    let mut waiting: Vec<_> = futures.into_iter().map(|future| (Box::pin(future), None)).collect();
    std::future::poll_fn(|context| {
        for (future, output) in &mut waiting {
            if output.is_none()
                && let Poll::Ready(ready) = future.as_mut().poll(context)
            {
                *output = Some(ready);
            }
        }
        if waiting.iter().all(|(_, output)| output.is_some()) { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
    waiting.into_iter().map(|(_, output)| output.expect("all of them are done")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_and_the_word_error_are_not_what_was_said() {
        assert_eq!(said(b"Retrieving image: 12%\rError: Image \"x\" not found\n"), "Image \"x\" not found");
        assert_eq!(said(b"Error: one\ntwo\n"), "one\ntwo");
    }

    #[test]
    fn failures_that_pass_by_themselves_are_told_from_those_that_stay() {
        let cache = "Failed remote image download: Failed to connect to simple streams server \"https://images.test\": \
             mkdir /var/cache/incus/64bf: file exists";
        assert!(is_passing(cache) && is_passing("ETag doesn't match: 1 vs 2"));
        assert!(!is_passing("Failed to connect to simple streams server: connection refused"));
    }

    #[tokio::test(flavor = "current_thread")]
    async fn a_program_that_takes_too_long_is_not_waited_for() {
        let ended = async |script| ended(&Call::read("sh", ["-c", script]), Duration::from_millis(300)).await.unwrap();
        let expected = Ended { code: 3, out: "yes\n".into(), said: "no".into() };
        assert_eq!(ended("echo yes; echo no >&2; exit 3").await, Some(expected));
        assert_eq!(ended("exec sleep 60").await, None);
    }

    #[tokio::test(flavor = "current_thread")]
    async fn a_program_that_is_not_there_is_told_from_one_that_fails() {
        let missing = ThisHost.call(&Call::read("no-such-program-here", ["x"])).await;
        assert!(matches!(missing, Err(CallError::Missing("no-such-program-here"))), "{missing:?}");
        let failed = ThisHost.call(&Call::read("sh", ["-c", "echo Error: no >&2; exit 3"])).await;
        assert!(matches!(&failed, Err(CallError::Failed { said, .. }) if said == "no"), "{failed:?}");
    }
}
