//! Errors as a user meets them: a sentence, its causes, something to type.

use std::fmt::Write as _;
use std::process::ExitCode;

use crate::incus::door::CallError;
use crate::incus::trouble;
use crate::ui::{Style, Surface};

/// An error with a hint of its own.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub(crate) struct Hinted {
    message: String,
    hint: String,
}

impl Hinted {
    /// What failed, and what to type next.
    pub(crate) fn new(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { message: message.into(), hint: hint.into() }
    }
}

/// Problems of the file, drawn at their places.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct WrongInput(String);

impl WrongInput {
    /// From problems as they are drawn.
    pub(crate) fn drawn(drawn: &str) -> Self {
        Self(drawn.trim_end().to_owned())
    }

    /// From a file that is not there, or cannot be read.
    pub(crate) fn plain(message: &str, help: Option<&str>, surface: &Surface) -> Self {
        let mut text = format!("{} {message}", surface.paint(Style::Red, "error:"));
        if let Some(help) = help {
            let _ = write!(text, "\n{} {help}", surface.paint(Style::Cyan, "hint:"));
        }
        Self(text)
    }
}

/// Something was not done and has been told already.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Unfinished(pub(crate) String);

/// The text for a user: `error:`, its causes, a hint.
pub(crate) fn told(error: &anyhow::Error, surface: &Surface) -> String {
    if let Some(WrongInput(drawn)) = error.downcast_ref() {
        return drawn.clone();
    }
    let mut text = format!("{} {error}", surface.paint(Style::Red, "error:"));
    for cause in error.chain().skip(1) {
        let _ = write!(text, "\n  caused by: {cause}");
    }
    for hint in error.chain().filter_map(hint) {
        let _ = write!(text, "\n{} {hint}", surface.paint(Style::Cyan, "hint:"));
    }
    text
}

fn hint(error: &(dyn std::error::Error + 'static)) -> Option<String> {
    let hinted = error.downcast_ref::<Hinted>().map(|hinted| hinted.hint.clone());
    hinted.or_else(|| error.downcast_ref::<CallError>().and_then(trouble::hint))
}

/// 2 for a file that is wrong, else 1.
pub(crate) fn exit_code(error: &anyhow::Error) -> ExitCode {
    if error.is::<WrongInput>() { ExitCode::from(2) } else { ExitCode::FAILURE }
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::Context;

    #[test]
    fn an_error_is_a_sentence_a_cause_and_a_hint() {
        let plain = Surface { terminal: false, color: false, width: 80 };
        let down = CallError::Failed { program: "incus", said: "The incus daemon doesn't appear to be started".into() };
        let error = Err::<(), _>(down).context("Incus cannot be read").unwrap_err();
        let told = told(&error, &plain);
        assert!(told.starts_with("error: Incus cannot be read\n  caused by: The incus daemon"), "{told}");
        assert!(told.contains("\nhint: start it: `systemctl start incus`"), "{told}");
    }
}
