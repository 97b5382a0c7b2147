//! Where this host sends packets to, asked of the kernel through the door.

use std::net::IpAddr;

use serde_json::Value;

use crate::incus::call::Call;
use crate::incus::door::{CallError, Host, json};

/// Where an address is, seen from this host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Route {
    /// The interface that packets leave by; of the host's own address, the one that has it.
    pub(crate) interface: String,
    /// It is an address of the host itself.
    pub(crate) local: bool,
}

/// The route to an address; `None` where there is none.
pub(crate) async fn to(host: &impl Host, address: IpAddr) -> Result<Option<Route>, CallError> {
    let text = address.to_string();
    let route = match json(host, &Call::read("ip", ["-j", "route", "get", &text])).await {
        Ok(answer) => route(&answer),
        // `ip` fails where nothing leads there.
        Err(CallError::Failed { .. }) => None,
        Err(error) => return Err(error),
    };
    match route {
        Some(route) if route.local => {
            let links = json(host, &Call::read("ip", ["-j", "addr", "show", "to", &text])).await?;
            Ok(Some(Route { interface: owner(&links, address).unwrap_or(route.interface), ..route }))
        }
        route => Ok(route),
    }
}

/// The interface of the default route, by which everything outside is reached; `None` without one.
pub(crate) async fn uplink(host: &impl Host) -> Result<Option<String>, CallError> {
    let routes = json(host, &Call::read("ip", ["-j", "route", "show", "default"])).await?;
    Ok(first_device(&routes))
}

fn route(answer: &Value) -> Option<Route> {
    let interface = first_device(answer)?;
    Some(Route { interface, local: answer[0]["type"] == "local" })
}

fn first_device(routes: &Value) -> Option<String> {
    let first = &routes[0];
    let device = first["dev"].as_str().or_else(|| first["nexthops"][0]["dev"].as_str());
    device.map(str::to_owned)
}

/// `ip addr show to` lists every link, those without the address as empty objects.
fn owner(links: &Value, address: IpAddr) -> Option<String> {
    let links = links.as_array().into_iter().flatten();
    let mut with_it = links.filter(|link| {
        let mut has = link["addr_info"].as_array().into_iter().flatten();
        has.any(|info| info["local"].as_str().and_then(|local| local.parse().ok()) == Some(address))
    });
    with_it.next().and_then(|link| link["ifname"].as_str()).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_route_leads_to_the_host_itself_or_away_by_an_interface() {
        let away = json!([{"dst": "203.0.113.9", "gateway": "198.51.100.2", "dev": "up0", "prefsrc": "198.51.100.1"}]);
        assert_eq!(route(&away), Some(Route { interface: "up0".into(), local: false }));
        let local = json!([{"type": "local", "dst": "10.0.0.1", "dev": "lo", "table": "local"}]);
        assert_eq!(route(&local), Some(Route { interface: "lo".into(), local: true }));
        assert_eq!(route(&json!([])), None);
        let links = json!([{}, {"ifname": "v0", "addr_info": [{"local": "10.0.0.1"}]}]);
        assert_eq!(owner(&links, "10.0.0.1".parse().unwrap()), Some("v0".into()));
    }

    #[test]
    fn the_uplink_is_the_first_way_of_the_default_route() {
        assert_eq!(
            first_device(&json!([{"dst": "default", "dev": "up0"}, {"dst": "default", "dev": "up1"}])),
            Some("up0".into())
        );
        assert_eq!(
            first_device(&json!([{"dst": "default", "nexthops": [{"dev": "a"}, {"dev": "b"}]}])),
            Some("a".into())
        );
        assert_eq!(first_device(&json!([])), None);
    }
}
