//! A table that was written for another machine to load, because Incus runs there and not here.

use std::path::Path;
use std::time::{Duration, SystemTime};

use serde_json::{Value, json};

use super::keep;
use crate::host::files;
use crate::incus::call::Call;

/// What was exported last, and where to.
const RECORD: &str = "/etc/anklume/exported.json";

/// An export, as it was written down.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Exported {
    pub(crate) file: String,
    /// The whole text of the file.
    pub(crate) table: String,
    pub(crate) age: Duration,
}

impl Exported {
    /// The last one; none where there was none. `root` is `/`, but in tests.
    pub(crate) fn read(root: &Path) -> Option<Self> {
        let path = root.join(RECORD.trim_start_matches('/'));
        let record: Value = serde_json::from_str(&std::fs::read_to_string(&path).ok()?).ok()?;
        let written = std::fs::metadata(&path).and_then(|about| about.modified()).ok()?;
        Some(Self {
            file: record["file"].as_str()?.to_owned(),
            table: record["table"].as_str()?.to_owned(),
            age: SystemTime::now().duration_since(written).unwrap_or_default(),
        })
    }

    /// `FILE, 3 hours ago`.
    pub(crate) fn told(&self) -> String {
        format!("{}, {}", self.file, ago(self.age))
    }
}

/// Writes a table to a file, and down that it was.
pub(crate) fn write(file: &str, table: &str) -> Vec<Call> {
    let record = format!("{}\n", json!({"file": file, "table": table}));
    let mut calls = files::write(file, keep::MODE, table);
    calls.extend(files::write(RECORD, keep::MODE, &record));
    calls
}

fn ago(age: Duration) -> String {
    let minutes = age.as_secs() / 60;
    let (count, unit) = match minutes {
        0 => return "less than a minute ago".into(),
        1..60 => (minutes, "minute"),
        60..1440 => (minutes / 60, "hour"),
        _ => (minutes / 1440, "day"),
    };
    format!("{count} {unit}{} ago", if count == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_told_in_one_unit() {
        let told = |minutes: u64| ago(Duration::from_secs(60 * minutes));
        assert_eq!(told(0), "less than a minute ago");
        assert_eq!((told(1), told(59)), ("1 minute ago".into(), "59 minutes ago".into()));
        assert_eq!((told(60), told(1439)), ("1 hour ago".into(), "23 hours ago".into()));
        assert_eq!((told(1440), told(4320)), ("1 day ago".into(), "3 days ago".into()));
    }

    #[test]
    fn an_export_is_read_back_as_it_was_written_down() {
        let root = tempfile::tempdir().unwrap();
        assert_eq!(Exported::read(root.path()), None);
        let calls = write("/srv/table.json", "{}\n");
        let crate::incus::call::Input::Text(record) = &calls[3].input else { panic!("{calls:?}") };
        let path = root.path().join("etc/anklume/exported.json");
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, record).unwrap();
        let exported = Exported::read(root.path()).unwrap();
        assert_eq!((exported.file.as_str(), exported.table.as_str()), ("/srv/table.json", "{}\n"));
        assert_eq!(exported.told(), "/srv/table.json, less than a minute ago");
    }
}
