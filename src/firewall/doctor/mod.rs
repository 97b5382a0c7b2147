//! What on this host breaks what the file declares, though the table stands: filters of others, the kernel, routes.
//!
//! An accept of ours cannot overrule a drop of others: all that can be done is to tell, with what mends it.

mod filters;
pub(crate) mod kernel;
mod mend;
mod probes;
pub(crate) mod routes;
mod tables;
#[cfg(test)]
mod tests;
pub(crate) mod told;

use serde::Serialize;
use serde_json::Value;

use crate::resolve::desired::Desired;

/// Something that is not as it has to be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Finding {
    pub(crate) check: Check,
    pub(crate) level: Level,
    pub(crate) message: String,
    /// Commands that mend it, to be run in this order.
    pub(crate) mend: Vec<String>,
    /// What more there is to know, such as how long that lasts.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) note: String,
}

/// What is looked at, in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Check {
    Forwarding,
    Filters,
    LegacyFilters,
    Routes,
}

impl Check {
    /// All of them, each with what is so where it finds nothing.
    pub(crate) const ALL: [(Self, &str); 4] = [
        (Self::Forwarding, "the kernel forwards packets"),
        (Self::Filters, "no filter of others drops what is allowed"),
        (Self::LegacyFilters, "there are no rules that nft does not list"),
        (Self::Routes, "packets for each domain leave by its own bridge"),
    ];
}

/// How sure it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Level {
    /// It breaks what is declared.
    Failure,
    /// It may.
    Warning,
}

/// What was read of the host.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Readings {
    /// `nft -j list ruleset`.
    pub(crate) ruleset: Value,
    pub(crate) kernel: kernel::Kernel,
    /// The interface that everything outside is reached by, where there is one.
    pub(crate) uplink: Option<String>,
    /// Where packets to each domain go.
    pub(crate) routes: Vec<routes::Way>,
}

/// Everything that is found, the sure ones first.
pub(crate) fn findings(desired: &Desired, readings: &Readings) -> Vec<Finding> {
    let mut findings = kernel::findings(desired, &readings.kernel);
    findings.extend(filters::findings(desired, readings));
    findings.extend(routes::findings(&readings.routes));
    findings.sort_by_key(|finding| (finding.level, finding.check));
    findings
}
