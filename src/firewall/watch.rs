//! What is to be done when the table may have changed. Pure; `anklume firewall watch` looks and acts.

use super::live::LiveTable;

/// What a look at the table tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Finding {
    /// It is as it is kept, or nothing is.
    AsKept,
    Gone,
    Changed,
    /// It is another one, and an anklume is at work that may have loaded it: look again when it is done.
    BeingChanged,
}

/// Compares. A table that is gone is restored whoever is at work: every other one is better than none.
pub(crate) fn finding(kept: Option<&LiveTable>, live: Option<&LiveTable>, anklume_at_work: bool) -> Finding {
    match (kept, live) {
        (None, _) => Finding::AsKept,
        (Some(_), None) => Finding::Gone,
        (Some(kept), Some(live)) if kept == live => Finding::AsKept,
        (Some(_), Some(_)) if anklume_at_work => Finding::BeingChanged,
        (Some(_), Some(_)) => Finding::Changed,
    }
}

/// Can this line of `nft monitor` be about our table?
pub(crate) fn concerns_us(line: &str) -> bool {
    // The other one says that the kernel could not keep up with telling what happens.
    line.contains(" inet anklume") || line.contains("ERROR")
}

/// Who changed something, from the line of `nft monitor` that ends each change.
pub(crate) fn culprit(line: &str) -> Option<String> {
    let (_, by) = line.strip_prefix("# new generation ")?.split_once(" by ")?;
    Some(by.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::firewall::sample;
    use crate::firewall::wall::Wall;

    #[test]
    fn a_table_that_is_gone_is_always_restored_and_another_one_unless_anklume_is_at_work() {
        let (kept, other) = (LiveTable::wanted(&sample::wall()), LiveTable::wanted(&Wall::default()));
        for at_work in [false, true] {
            assert_eq!(finding(None, Some(&other), at_work), Finding::AsKept);
            assert_eq!(finding(None, None, at_work), Finding::AsKept);
            assert_eq!(finding(Some(&kept), Some(&kept), at_work), Finding::AsKept);
            assert_eq!(finding(Some(&kept), None, at_work), Finding::Gone);
        }
        assert_eq!(finding(Some(&kept), Some(&other), false), Finding::Changed);
        assert_eq!(finding(Some(&kept), Some(&other), true), Finding::BeingChanged);
    }

    /// The lines are those of nft 1.0.6.
    #[test]
    fn only_what_is_about_our_table_is_looked_at() {
        assert!(concerns_us("delete table inet anklume"));
        assert!(concerns_us("add rule inet anklume input accept"));
        assert!(concerns_us("# ERROR: We lost some netlink events!"));
        assert!(!concerns_us("add rule inet incus fwd.net-pro accept"));
        let last = "# new generation 5 by process 26270 (nft)";
        assert!(!concerns_us(last));
        assert_eq!(culprit(last).as_deref(), Some("process 26270 (nft)"));
        assert_eq!(culprit("delete table inet anklume"), None);
    }
}
