//! What the kernel is told to do with packets, and rules that only the older iptables knows.

use std::path::Path;

use super::{Check, Finding, Level};
use crate::resolve::desired::Desired;

/// Read from `/proc`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Kernel {
    /// `net.ipv4.ip_forward` is 0, though a bridge stands: Incus sets it to 1 whenever it starts one.
    pub(crate) forwards_nothing: bool,
    /// `net.bridge.bridge-nf-call-iptables` is 1: packets within one bridge meet the filters too.
    pub(crate) filters_bridged: bool,
    /// Tables of iptables-legacy, which nft does not list.
    pub(crate) legacy_tables: Vec<String>,
}

impl Kernel {
    /// `root` is `/`, but in tests; `bridged`: a bridge of the file stands.
    pub(crate) fn read(root: &Path, bridged: bool) -> Self {
        let text = |path: &str| std::fs::read_to_string(root.join("proc").join(path)).unwrap_or_default();
        Self {
            forwards_nothing: bridged && text("sys/net/ipv4/ip_forward").trim() == "0",
            filters_bridged: text("sys/net/bridge/bridge-nf-call-iptables").trim() == "1",
            legacy_tables: text("net/ip_tables_names").lines().map(str::to_owned).collect(),
        }
    }
}

pub(super) fn findings(desired: &Desired, kernel: &Kernel) -> Vec<Finding> {
    let mut findings = Vec::new();
    let crosses = desired.domains.iter().any(|domain| domain.internet) || !desired.wall.openings.is_empty();
    if kernel.forwards_nothing && crosses {
        findings.push(Finding {
            check: Check::Forwarding,
            level: Level::Failure,
            message: "net.ipv4.ip_forward is 0: no machine reaches the outside, or another domain".into(),
            mend: vec!["sysctl -w net.ipv4.ip_forward=1".into()],
            note:
                "`net.ipv4.ip_forward = 1` in a file of /etc/sysctl.d makes it last; something there says otherwise now"
                    .into(),
        });
    }
    if kernel.legacy_tables.iter().any(|table| table == "filter") {
        findings.push(Finding {
            check: Check::LegacyFilters,
            level: Level::Warning,
            message: "there are rules of iptables-legacy, which nft does not list; they may drop what is allowed".into(),
            mend: vec!["iptables-legacy -S FORWARD".into()],
            note: "a policy DROP there needs an accept for each bridge: `iptables-legacy -I FORWARD -i BRIDGE -j ACCEPT`, \
                   and the same with `-o`"
                .into(),
        });
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resolve::sample::{domain, infra, machine, sound};

    #[test]
    fn a_kernel_that_forwards_nothing_is_no_matter_where_nothing_is_to_cross() {
        let kernel = Kernel { forwards_nothing: true, ..Kernel::default() };
        let mut infra = infra([("pro", domain([("pro-dev", machine())]))]);
        let found = findings(&sound(&infra), &kernel);
        assert_eq!(
            found.iter().map(|one| one.mend[0].as_str()).collect::<Vec<_>>(),
            ["sysctl -w net.ipv4.ip_forward=1"]
        );
        infra.domains["pro"].internet = false;
        assert_eq!(findings(&sound(&infra), &kernel), []);
    }

    #[test]
    fn the_kernel_is_read_from_proc() {
        let root = tempfile::tempdir().unwrap();
        assert_eq!(Kernel::read(root.path(), true), Kernel::default());
        for (path, text) in [
            ("sys/net/ipv4/ip_forward", "0\n"),
            ("sys/net/bridge/bridge-nf-call-iptables", "1\n"),
            ("net/ip_tables_names", "nat\nfilter\n"),
        ] {
            let path = root.path().join("proc").join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        assert!(!Kernel::read(root.path(), false).forwards_nothing, "Incus will see to it");
        let kernel = Kernel::read(root.path(), true);
        assert!(kernel.forwards_nothing && kernel.filters_bridged);
        let found = findings(&sound(&infra([("pro", domain([]))])), &kernel);
        assert_eq!(found.len(), 2);
        assert_eq!((found[1].check, found[1].level), (Check::LegacyFilters, Level::Warning));
    }
}
