//! What a user sees: data on stdout, talk on stderr, colour, questions.

use std::fmt;
use std::io::{self, BufRead, IsTerminal, Write};

/// Where to write, and how.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ui {
    pub(crate) out: Surface,
    pub(crate) err: Surface,
    /// A question can be asked and answered.
    pub(crate) can_ask: bool,
    /// Warnings were said before, and are not said again.
    pub(crate) warned: bool,
}

/// One of the two streams.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Surface {
    pub(crate) terminal: bool,
    pub(crate) color: bool,
    /// Columns; 100 where it is no terminal.
    pub(crate) width: usize,
}

/// When to use colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Color {
    Auto,
    Always,
    Never,
}

/// A way to set words apart; it never says something that the words do not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Style {
    Bold,
    Dim,
    Red,
    Green,
    Yellow,
    Blue,
    Magenta,
    Cyan,
}

impl Style {
    fn code(self) -> &'static str {
        match self {
            Self::Bold => "1",
            Self::Dim => "2",
            Self::Red => "31",
            Self::Green => "32",
            Self::Yellow => "33",
            Self::Blue => "34",
            Self::Magenta => "35",
            Self::Cyan => "36",
        }
    }
}

impl Ui {
    /// Looks at the streams and the environment.
    pub(crate) fn new(color: Color) -> Self {
        let (stdout, stderr) = (io::stdout().is_terminal(), io::stderr().is_terminal());
        Self {
            out: Surface::new(stdout, color),
            err: Surface::new(stderr, color),
            can_ask: stderr && io::stdin().is_terminal(),
            warned: false,
        }
    }

    /// For another look at the same file.
    pub(crate) fn after_warnings(self) -> Self {
        Self { warned: true, ..self }
    }

    /// Writes data. A reader that has seen enough (`| head`) is no error.
    #[expect(clippy::unused_self, reason = "all writing goes through the one who knows the streams")]
    pub(crate) fn print(&self, text: impl fmt::Display) {
        let _ = write!(io::stdout().lock(), "{text}");
    }

    /// Writes talk, and ends the line.
    #[expect(clippy::unused_self, reason = "all writing goes through the one who knows the streams")]
    pub(crate) fn say(&self, text: impl fmt::Display) {
        let _ = writeln!(io::stderr().lock(), "{text}");
    }

    /// Asks; anything but `y` or `yes` means no, and so does nobody being there.
    pub(crate) fn ask(&self, question: &str) -> bool {
        let answer = self.answer(&format!("{question} [y/N]"));
        answer.is_some_and(|answer| matches!(answer.to_lowercase().as_str(), "y" | "yes"))
    }

    /// Asks for a word to be typed whole, for what cannot be taken back: anything else means no, and so does nobody
    /// being there.
    pub(crate) fn ask_for(&self, question: &str, word: &str) -> bool {
        self.answer(&format!("{question} Type `{word}` to go on:")).is_some_and(|answer| answer == word)
    }

    fn answer(&self, question: &str) -> Option<String> {
        if !self.can_ask {
            return None;
        }
        let _ = write!(io::stderr().lock(), "{question} ");
        let mut answer = String::new();
        let read = io::stdin().lock().read_line(&mut answer);
        read.is_ok().then(|| answer.trim().to_owned())
    }
}

impl Surface {
    fn new(terminal: bool, color: Color) -> Self {
        let set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        let auto = terminal && !set("NO_COLOR") && std::env::var_os("TERM").is_none_or(|term| term != "dumb");
        let color = match color {
            Color::Auto => auto,
            Color::Always => true,
            Color::Never => false,
        };
        let columns = std::env::var("COLUMNS").ok().and_then(|text| text.parse().ok());
        let width = if terminal { columns.or_else(terminal_width).unwrap_or(80) } else { 100 };
        Self { terminal, color, width }
    }

    /// Words set apart, where colour is wanted.
    pub(crate) fn paint(&self, style: Style, text: impl fmt::Display) -> String {
        if self.color { format!("\x1b[{}m{text}\x1b[0m", style.code()) } else { text.to_string() }
    }
}

fn terminal_width() -> Option<usize> {
    terminal_size::terminal_size().map(|(terminal_size::Width(columns), _)| columns.into())
}
