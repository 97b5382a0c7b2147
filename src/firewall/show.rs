//! The table, readably.

use super::live::LiveTable;

pub(crate) fn show(table: &LiveTable) -> String {
    format!("{table:#?}\n")
}
