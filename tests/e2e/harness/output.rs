//! What a program said, with short ways to expect things of it.

use std::fmt;
use std::process::Command;
use std::time::Instant;

use serde_json::Value;

/// What a program said, and how it ended. Shows itself whole where an expectation fails.
#[derive(Debug, Clone)]
pub(crate) struct Output {
    pub(super) command: String,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
    pub(crate) code: i32,
}

impl fmt::Display for Output {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { command, stdout, stderr, code } = self;
        write!(f, "$ {command}\n{stdout}------- stderr -------\n{stderr}------- exit code {code}\n")
    }
}

impl Output {
    pub(super) fn of(command: &mut Command, shown: String) -> Self {
        let begin = Instant::now();
        let output = command.output().unwrap_or_else(|error| panic!("{shown}: {error}"));
        let output = Self::from(output, shown);
        output.trace(begin);
        output
    }

    /// With `ANKLUME_TESTS_TRACE=1` everything that is run is told, with its time.
    #[expect(clippy::print_stderr, reason = "it is asked for")]
    fn trace(&self, begin: Instant) {
        if std::env::var_os("ANKLUME_TESTS_TRACE").is_some() {
            let command = self.command.split_whitespace().collect::<Vec<_>>().join(" ");
            eprintln!("{:5} ms  {} [{}]", begin.elapsed().as_millis(), command, self.code);
        }
    }

    pub(super) fn from(output: std::process::Output, command: String) -> Self {
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("programs say UTF-8");
        let code = output.status.code().unwrap_or(-1);
        Self { command, stdout: text(output.stdout), stderr: text(output.stderr), code }
    }

    /// Ended so.
    #[track_caller]
    pub(crate) fn code(self, code: i32) -> Self {
        assert!(self.code == code, "expected exit code {code}\n{self}");
        self
    }

    /// Ended well.
    #[track_caller]
    pub(crate) fn ok(self) -> Self {
        self.code(0)
    }

    /// Both streams have all of these in them, somewhere.
    #[track_caller]
    pub(crate) fn says(self, texts: &[&str]) -> Self {
        for text in texts {
            let there = self.stdout.contains(text) || self.stderr.contains(text);
            assert!(there, "expected to read: {text}\n{self}");
        }
        self
    }

    /// None of these is in either stream.
    #[track_caller]
    pub(crate) fn says_not(self, texts: &[&str]) -> Self {
        for text in texts {
            let there = self.stdout.contains(text) || self.stderr.contains(text);
            assert!(!there, "expected not to read: {text}\n{self}");
        }
        self
    }

    /// What it printed, as JSON.
    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("not JSON: {error}\n{self}"))
    }
}
