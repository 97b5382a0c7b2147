//! One call of a program as a value: it can be shown, compared, logged and run.

use std::fmt::Write as _;

use serde::Serialize;
use serde_json::Value;

use super::edit::Edit;

/// A program of the host, its arguments and what it reads on standard input.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Call {
    pub(crate) program: &'static str,
    pub(crate) args: Vec<String>,
    pub(crate) input: Input,
    pub(crate) when: When,
}

/// When a call is run, by what became of the earlier calls of the same action.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum When {
    /// When they ended well.
    Next,
    /// Whatever became of them: a machine stopped for a change starts again.
    Always,
    /// When one of them failed: a machine starts again that would otherwise stay down for the action that comes next.
    Rescue,
}

/// What a call reads on standard input. Nothing is ever left open: `incus create` would wait for it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Input {
    Nothing,
    /// A body, sent as JSON: which is YAML, and cannot be misread (`no`, `0755`, many lines).
    Body(Value),
    /// A text, as it is.
    Text(String),
    /// What the API says of `path` at that moment, with the change made to it: an `edit` replaces everything, so what
    /// Incus or the user put there since the plan was made has to be in it.
    Edited {
        path: String,
        edit: Edit,
    },
}

impl Call {
    /// An `incus` call with nothing on standard input.
    pub(crate) fn incus<S: Into<String>>(args: impl IntoIterator<Item = S>) -> Self {
        Self {
            program: "incus",
            args: args.into_iter().map(Into::into).collect(),
            input: Input::Nothing,
            when: When::Next,
        }
    }

    /// `incus query PATH`: a read.
    pub(crate) fn query(path: impl Into<String>) -> Self {
        Self::incus(["query".to_owned(), path.into()])
    }

    /// An `nft` call.
    pub(crate) fn nft<S: Into<String>>(args: impl IntoIterator<Item = S>) -> Self {
        Self { program: "nft", ..Self::incus(args) }
    }

    /// Any other program that is only read from.
    pub(crate) fn read<S: Into<String>>(program: &'static str, args: impl IntoIterator<Item = S>) -> Self {
        Self { program, ..Self::incus(args) }
    }

    /// Any other program that changes something.
    pub(crate) fn run<S: Into<String>>(program: &'static str, args: impl IntoIterator<Item = S>) -> Self {
        Self::read(program, args)
    }

    /// The same call with a body on standard input.
    pub(crate) fn body(self, body: Value) -> Self {
        Self { input: Input::Body(body), ..self }
    }

    /// The same call with a text on standard input.
    pub(crate) fn text(self, text: impl Into<String>) -> Self {
        Self { input: Input::Text(text.into()), ..self }
    }

    /// The same call, sending what `path` says with a change made to it.
    pub(crate) fn edited(self, path: impl Into<String>, edit: Edit) -> Self {
        Self { input: Input::Edited { path: path.into(), edit }, ..self }
    }

    /// The same call, run even after a failure.
    pub(crate) fn always(self) -> Self {
        Self { when: When::Always, ..self }
    }

    /// The same call, run only after a failure.
    pub(crate) fn rescue(self) -> Self {
        Self { when: When::Rescue, ..self }
    }

    /// The words typed in a shell, without what goes to standard input.
    pub(crate) fn words(&self) -> String {
        let mut text = self.program.to_owned();
        for arg in &self.args {
            text.push(' ');
            text.push_str(&quoted(arg));
        }
        text
    }

    /// The whole call as it would be typed in a shell. An edit is shown as a pipe through `jq`.
    ///
    /// `hide` is asked for each value of a body that may be a secret and returns what to show instead.
    pub(crate) fn shell(&self, hide: impl Fn(&str, &str) -> Option<String>) -> String {
        match &self.input {
            Input::Nothing if self.when == When::Rescue => format!("# if that fails: {}", self.words()),
            Input::Nothing => self.words(),
            Input::Body(body) => {
                let shown = super::secrets::hidden(body, &hide);
                let text = serde_json::to_string_pretty(&shown).unwrap_or_default();
                format!("{} <<'EOF'\n{text}\nEOF", self.words())
            }
            Input::Text(text) => format!("{} <<'EOF'\n{}\nEOF", self.words(), text.trim_end_matches('\n')),
            Input::Edited { path, edit } => {
                let mut text = String::new();
                let filter = edit.jq(&hide);
                let _ = write!(text, "incus query {} |\n  jq {} |\n  {}", quoted(path), quoted(&filter), self.words());
                text
            }
        }
    }
}

impl Serialize for Call {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.shell(super::secrets::digest_of_secret).serialize(serializer)
    }
}

/// A word as a shell reads it back.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=,@%+".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_word_with_a_quote_survives_the_shell() {
        assert_eq!(quoted("it's"), r"'it'\''s'");
        assert_eq!(quoted("net-pro"), "net-pro");
        assert_eq!(quoted(""), "''");
    }

    #[test]
    fn a_body_is_shown_as_a_here_document_without_its_secrets() {
        let call = Call::incus(["create", "debian/13", "x"])
            .body(json!({"config": {"environment.TOKEN": "hunter2", "limits.cpu": "2"}}));
        let shown = call.shell(crate::incus::secrets::digest_of_secret);
        assert!(shown.starts_with("incus create debian/13 x <<'EOF'\n"), "{shown}");
        assert!(!shown.contains("hunter2"), "{shown}");
        assert!(shown.contains("\"limits.cpu\": \"2\""), "{shown}");
    }
}
