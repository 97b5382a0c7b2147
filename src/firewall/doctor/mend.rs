//! Whose a filter is, and the commands that make it let machines' packets through.

use std::collections::BTreeSet;

use super::tables::Filter;

/// Who made it, as far as its names tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Owner {
    Docker,
    Ufw,
    Firewalld,
    Others,
}

/// What Docker never touches, and asks first.
const DOCKER_USER: &str = "DOCKER-USER";

impl Owner {
    pub(super) fn of(filter: &Filter<'_>) -> Self {
        let has = |start: &str| filter.foreign.table.chains.keys().any(|name| name.starts_with(start));
        if filter.foreign.name == "firewalld" {
            Self::Firewalld
        } else if filter.hook == "forward" && has(DOCKER_USER) {
            Self::Docker
        } else if has("ufw-") {
            Self::Ufw
        } else {
            Self::Others
        }
    }

    /// ` (Docker)`
    pub(super) fn told(self) -> &'static str {
        match self {
            Self::Docker => " (Docker)",
            Self::Ufw => " (ufw)",
            Self::Firewalld => " (firewalld)",
            Self::Others => "",
        }
    }

    pub(super) fn note(self) -> &'static str {
        match self {
            Self::Docker => {
                "lasts until the next boot; for good, a service that runs these after docker.service, or with Docker 28 and \
                 newer `\"ip-forward-no-drop\": true` in /etc/docker/daemon.json"
            }
            Self::Ufw | Self::Firewalld => "lasts; what is not allowed stays closed by anklume's own table",
            Self::Others => "lasts until that table is loaded anew: put the same into what loads it",
        }
    }
}

/// The commands, for all of these bridges.
pub(super) fn commands(filter: &Filter<'_>, owner: Owner, bridges: &BTreeSet<&String>) -> Vec<String> {
    let forward = filter.hook == "forward";
    match owner {
        Owner::Ufw => bridges.iter().flat_map(|bridge| ufw(bridge, forward)).collect(),
        Owner::Firewalld => {
            let trusted = |bridge| format!("firewall-cmd --permanent --zone=trusted --add-interface={bridge}");
            bridges.iter().map(trusted).chain(["firewall-cmd --reload".to_owned()]).collect()
        }
        // Rules as iptables itself would write them: it goes on reading a table that has these.
        Owner::Docker | Owner::Others => {
            let chain = if owner == Owner::Docker { DOCKER_USER } else { filter.chain };
            let (family, table) = (&filter.foreign.family, &filter.foreign.name);
            let ways: &[&str] = if forward { &["iifname", "oifname"] } else { &["iifname"] };
            let each = bridges.iter().flat_map(|bridge| ways.iter().map(move |way| (bridge, way)));
            each.map(|(bridge, way)| format!("nft 'insert rule {family} {table} {chain} {way} \"{bridge}\" accept'"))
                .collect()
        }
    }
}

fn ufw(bridge: &str, forward: bool) -> Vec<String> {
    if forward {
        return vec![format!("ufw route allow in on {bridge}"), format!("ufw route allow out on {bridge}")];
    }
    // All ports: which ones a machine reaches on the host is for anklume's own table to say.
    vec![format!("ufw allow in on {bridge}")]
}
