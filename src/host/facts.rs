//! What this host is: its addresses and routes, and where it stands in a chain of nested hosts.

use ipnet::IpNet;

/// Facts read once, before anything is decided.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Facts {
    /// `/etc/anklume/absolute_level`: how many hosts this one is nested in; `None` without the file.
    pub(crate) absolute_level: Option<u32>,
    /// `/etc/anklume/vm_nested` says `true`.
    pub(crate) vm_nested: bool,
    /// `/etc/anklume/yolo` says `true`, or `--yolo` was given.
    pub(crate) yolo: bool,
    /// Addresses and routes of the host, the default routes left out.
    pub(crate) networks: Vec<HostNetwork>,
    /// Bridges of the host (`docker0`, `virbr0`, `incusbr0`, …), anklume's own among them.
    pub(crate) bridges: Vec<String>,
}

/// A network that the host is in or has a route to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct HostNetwork {
    pub(crate) interface: String,
    pub(crate) network: IpNet,
}

pub(crate) fn read_context(_root: &std::path::Path, yolo: bool) -> Facts {
    Facts { yolo, ..Facts::default() }
}
