//! Where the kernel sends packets for each domain: to its bridge, unless a VPN or a policy route has them first.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use serde_json::Value;

use super::{Check, Finding, Level};
use crate::incus::call::Call;
use crate::resolve::desired::Desired;

/// Where packets to a domain go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Way {
    pub(crate) domain: String,
    pub(crate) bridge: String,
    pub(crate) subnet: String,
    /// The interface; nothing where there is no way.
    pub(crate) by: Option<String>,
}

/// Asks for a machine of each domain, all at once. A host without a way to one says nothing of it.
pub(crate) fn question(desired: &Desired) -> Call {
    let line = |address: Ipv4Addr| format!("route get {address}\n");
    let lines: Vec<String> = desired.domains.iter().map(|domain| line(asked(domain.subnet.network()))).collect();
    Call::read("sh", ["-c", "ip -j -force -batch - 2>/dev/null || true"]).text(lines.concat())
}

/// The ways, from the answer, of the domains whose bridges stand.
pub(crate) fn ways(desired: &Desired, answer: &[u8], standing: &BTreeSet<&str>) -> Vec<Way> {
    let answers: Vec<Value> = serde_json::Deserializer::from_slice(answer).into_iter().map_while(Result::ok).collect();
    let by = |address: Ipv4Addr| {
        let mut routes = answers.iter().flat_map(|answer| answer.as_array().into_iter().flatten());
        let of_it = routes.find(|route| route["dst"].as_str() == Some(&address.to_string()));
        of_it.and_then(|route| route["dev"].as_str()).map(str::to_owned)
    };
    let standing = desired.domains.iter().filter(|domain| standing.contains(domain.bridge.as_str()));
    standing
        .map(|domain| Way {
            domain: domain.name.clone(),
            bridge: domain.bridge.clone(),
            subnet: domain.subnet.to_string(),
            by: by(asked(domain.subnet.network())),
        })
        .collect()
}

fn asked(network: Ipv4Addr) -> Ipv4Addr {
    let [a, b, c, _] = network.octets();
    Ipv4Addr::new(a, b, c, 1)
}

pub(super) fn findings(ways: &[Way]) -> Vec<Finding> {
    ways.iter().filter(|way| way.by.as_ref() != Some(&way.bridge)).map(finding).collect()
}

fn finding(way: &Way) -> Finding {
    let Way { domain, bridge, subnet, by } = way;
    let message = match by {
        Some(by) => {
            format!("packets for {domain} ({subnet}) leave by `{by}`, not by `{bridge}`: a VPN, or a routing rule")
        }
        None => format!("no packets for {domain} ({subnet}) leave: a routing rule forbids them, or `{bridge}` is down"),
    };
    Finding {
        check: Check::Routes,
        level: Level::Failure,
        message,
        mend: vec![format!("ip rule add to {subnet} lookup main priority 10")],
        note: "lasts until the next boot; `ip rule` and `ip route show table all` show what is before it".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::incus::call::Input;
    use crate::resolve::sample::{domain, infra, sound};

    #[test]
    fn a_domain_whose_packets_leave_elsewhere_is_found() {
        let desired = sound(&infra([("a", domain([])), ("b", domain([])), ("c", domain([])), ("d", domain([]))]));
        let Input::Text(asked) = question(&desired).input else { panic!("no question") };
        assert_eq!(asked, "route get 10.120.0.1\nroute get 10.120.1.1\nroute get 10.120.2.1\nroute get 10.120.3.1\n");
        let answer = br#"[{"dst":"10.120.0.1","dev":"net-a","prefsrc":"10.120.0.254"}]
            [{"dst":"10.120.1.1","dev":"wg0"}]"#;
        let ways = ways(&desired, answer, &["net-a", "net-b", "net-c"].into());
        let by: Vec<_> = ways.iter().map(|way| way.by.as_deref()).collect();
        assert_eq!(by, [Some("net-a"), Some("wg0"), None]);
        let found = findings(&ways);
        assert_eq!(found.len(), 2);
        assert!(found[0].message.starts_with("packets for b (10.120.1.0/24) leave by `wg0`, not by `net-b`"));
        assert_eq!(found[0].mend, ["ip rule add to 10.120.1.0/24 lookup main priority 10"]);
        assert!(found[1].message.starts_with("no packets for c"), "{}", found[1].message);
    }
}
