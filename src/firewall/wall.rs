//! What the kernel is to keep apart and let through, before it becomes nftables rules.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

use crate::infra::model::{PortRange, Protocol};

/// The whole isolation: anklume's own bridges and the openings between them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Wall {
    /// anklume's bridges, each with the domain it belongs to (its name, for people). Bridges of disabled domains and
    /// of orphans that still exist are among them: what stands is kept apart.
    pub(crate) bridges: BTreeMap<String, String>,
    /// Those of `internet: false`.
    pub(crate) offline: BTreeSet<String>,
    /// The IPv4 gateways of the bridges, where known: a policy `to: host` opens no other domain's.
    pub(crate) gateways: BTreeMap<String, Ipv4Addr>,
    /// Other bridges of this host that no domain may reach: the Incus networks that are not anklume's. Bridges of
    /// well-known names (`docker0`, `virbr0`, …) are closed without being listed.
    pub(crate) others: BTreeSet<String>,
    /// In the file's order.
    pub(crate) openings: Vec<Opening>,
}

/// One way through, in one direction; `bidirectional` policies make two.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Opening {
    pub(crate) from: End,
    pub(crate) to: End,
    /// `None` with no ports: every protocol; `None` with ports: TCP and UDP.
    pub(crate) protocol: Option<Protocol>,
    /// Empty: all ports.
    pub(crate) ports: Vec<PortRange>,
    /// The policy it comes from: `pro -> perso-web` and its description; the rule's comment.
    pub(crate) policy: String,
}

/// Where a packet comes from or goes to.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum End {
    /// The host itself.
    Host,
    /// Any machine of a domain: its bridge.
    Domain { bridge: String },
    /// One machine: its bridge and its one address.
    Machine { bridge: String, address: Ipv4Addr },
}

impl End {
    /// The bridge that it is on; `None` for the host.
    pub(crate) fn bridge(&self) -> Option<&str> {
        match self {
            Self::Host => None,
            Self::Domain { bridge } | Self::Machine { bridge, .. } => Some(bridge),
        }
    }
}
