//! Files of the host as calls, so that a plan can show how each is written and taken away.

use crate::incus::call::Call;

/// Puts a file in place: whole and on the disk, or not at all. Directories above it are made.
pub(crate) fn write(path: &str, mode: &str, text: &str) -> Vec<Call> {
    let new = format!("{path}.new");
    vec![
        Call::run("install", ["-D", "-m", mode, "/dev/stdin", &new]).text(text),
        Call::run("sync", [&new]),
        Call::run("mv", ["-f", &new, path]),
    ]
}

/// Takes files away, there or not.
pub(crate) fn remove<'a>(paths: impl IntoIterator<Item = &'a str>) -> Call {
    Call::run("rm", ["-f"].into_iter().chain(paths))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::incus::door::{Host, ThisHost};

    async fn run(calls: &[Call]) {
        for call in calls {
            ThisHost.call(call).await.unwrap();
        }
    }

    #[tokio::test(flavor = "current_thread")]
    async fn a_file_is_written_with_its_directories_and_its_mode_and_replaced_as_a_whole() {
        use std::os::unix::fs::{MetadataExt, PermissionsExt};
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("deep/down/file");
        let name = path.to_str().unwrap();
        run(&write(name, "0600", "one\n")).await;
        let first = std::fs::metadata(&path).unwrap();
        assert_eq!(first.permissions().mode() & 0o777, 0o600);
        // Somebody who reads the old one meanwhile reads it to its end: another file takes its place.
        run(&write(name, "0644", "two, with no newline")).await;
        let second = std::fs::metadata(&path).unwrap();
        assert_ne!(first.ino(), second.ino());
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "two, with no newline");
        assert_eq!(std::fs::read_dir(path.parent().unwrap()).unwrap().count(), 1, "nothing is left beside it");
        run(&[remove([name, "/nowhere/at/all"])]).await;
        assert!(!path.exists());
    }

    #[test]
    fn a_file_is_shown_as_a_here_document() {
        let shown: Vec<String> =
            write("/etc/x", "0644", "one\ntwo\n").iter().map(|call| call.shell(|_, _| None)).collect();
        assert_eq!(shown[0], "install -D -m 0644 /dev/stdin /etc/x.new <<'EOF'\none\ntwo\nEOF");
        assert_eq!(shown[1..], ["sync /etc/x.new", "mv -f /etc/x.new /etc/x"]);
    }
}
