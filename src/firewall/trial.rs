//! A table on trial: in force until it is confirmed, and if it is not, the former one comes back.
//!
//! A process of its own stands for it, which outlives the command and the connection that began the trial. It is told
//! through a socket what to do; who may write to that is root.

use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::time::Duration;

use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

/// The table that is tried, as it is kept afterwards.
pub(crate) const TABLE: &str = "/run/anklume/trial/table.json";
/// What brings back the table that was there before.
pub(crate) const FORMER: &str = "/run/anklume/trial/former.nft";
/// Where it is told.
pub(crate) const SOCKET: &str = "/run/anklume/trial/socket";

/// What a trial can be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Word {
    Confirm,
    Revert,
}

impl Word {
    fn text(self) -> &'static str {
        match self {
            Self::Confirm => "confirm",
            Self::Revert => "revert",
        }
    }

    fn parse(text: &str) -> Option<Self> {
        [Self::Confirm, Self::Revert].into_iter().find(|word| word.text() == text.trim())
    }
}

/// What nft reads to bring back the table whose listing this is; none: that there is none.
pub(crate) fn former(listing: Option<&str>) -> String {
    format!("table inet anklume\ndelete table inet anklume\n{}", listing.unwrap_or_default())
}

/// Is there a trial that somebody stands for? `root` is `/`, but in tests.
pub(crate) fn is_on(root: &Path) -> bool {
    UnixStream::connect(root.join(SOCKET.trim_start_matches('/'))).is_ok()
}

/// Tells the trial; what came of it.
pub(crate) fn tell(word: Word) -> io::Result<String> {
    let mut stream = UnixStream::connect(SOCKET)?;
    writeln!(stream, "{}", word.text())?;
    let mut answer = String::new();
    BufReader::new(stream).read_line(&mut answer)?;
    Ok(answer.trim().to_owned())
}

/// Somebody who told the trial something, and waits for the answer.
pub(crate) struct Asked {
    pub(crate) word: Word,
    stream: UnixStream,
}

impl Asked {
    /// Answers; nobody may be there any more.
    pub(crate) fn answer(mut self, text: &str) {
        let _ = writeln!(self.stream, "{text}");
    }
}

/// Listens from now on.
pub(crate) fn listen() -> io::Result<UnboundedReceiver<Asked>> {
    listen_at(Path::new(SOCKET))
}

fn listen_at(socket: &Path) -> io::Result<UnboundedReceiver<Asked>> {
    // One that was left behind by a process that was killed.
    let _ = std::fs::remove_file(socket);
    let listener = UnixListener::bind(socket)?;
    let (tell, told) = unbounded_channel();
    // A thread of its own, which ends with the process.
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            if let Some(asked) = hear(stream)
                && tell.send(asked).is_err()
            {
                return;
            }
        }
    });
    Ok(told)
}

/// Who only looks whether somebody is here says nothing.
fn hear(stream: UnixStream) -> Option<Asked> {
    stream.set_read_timeout(Some(Duration::from_secs(2))).ok()?;
    let mut line = String::new();
    BufReader::new(&stream).read_line(&mut line).ok()?;
    Some(Asked { word: Word::parse(&line)?, stream })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(flavor = "current_thread")]
    async fn whoever_only_looks_says_nothing_and_whoever_tells_gets_an_answer() {
        let root = tempfile::tempdir().unwrap();
        let socket = root.path().join("run/anklume/trial/socket");
        std::fs::create_dir_all(socket.parent().unwrap()).unwrap();
        assert!(!is_on(root.path()));
        let mut told = listen_at(&socket).unwrap();
        assert!(is_on(root.path()));
        let asking = std::thread::spawn(move || {
            let mut stream = UnixStream::connect(&socket).unwrap();
            writeln!(stream, "confirm").unwrap();
            let mut answer = String::new();
            BufReader::new(stream).read_line(&mut answer).unwrap();
            answer
        });
        let asked = told.recv().await.unwrap();
        assert_eq!(asked.word, Word::Confirm);
        asked.answer("kept");
        assert_eq!(asking.join().unwrap(), "kept\n");
    }

    #[test]
    fn what_was_there_comes_back_and_so_does_nothing() {
        let listing = "table inet anklume {\n}\n";
        assert_eq!(former(Some(listing)), format!("table inet anklume\ndelete table inet anklume\n{listing}"));
        assert_eq!(former(None), "table inet anklume\ndelete table inet anklume\n");
    }
}
