//! Incus bridges: one per domain, in the project `default`, as Incus wants it.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use ipnet::Ipv4Net;
use serde_json::Value;

use super::difference::Change;
use super::fields::{self, Fields, Key, Marks};
use super::planner::Conflict;
use super::{Found, Resource, Wanted, acl, needs_of};
use crate::incus::call::Call;
use crate::incus::edit::Edit;
use crate::incus::live::Live;
use crate::incus::server::Server;
use crate::plan::{Id, Impact, Kind};
use crate::resolve::desired::{Desired, Domain};

/// The kind.
pub(crate) struct Networks;

/// What lists them all.
pub(crate) const LISTING: &str = "/1.0/networks?recursion=1";

impl Resource for Networks {
    fn found(&self, listed: &Value) -> Option<Found> {
        let name = listed["name"].as_str()?;
        if listed["managed"].as_bool() != Some(true) || listed["type"].as_str() != Some("bridge") {
            return None;
        }
        let marks = Marks::read(listed);
        let protected = marks.as_ref().is_some_and(|marks| marks.protected);
        let fields = fields::listed(listed);
        let id = Id::global(Kind::Network, name);
        Some(Found { needs: needs_of(&id, &fields), id, marks, fields, protected, instance: None })
    }

    fn wanted(&self, desired: &Desired) -> Vec<Wanted> {
        desired.domains.iter().map(wanted).collect()
    }

    fn create(&self, wanted: &Wanted, infra: &str, _start: bool) -> Call {
        Call::incus(["network", "create", &wanted.id.name, "--type=bridge", "--project", "default"])
            .body(wanted.body(infra))
    }

    fn edit(&self, id: &Id, edit: Edit) -> Call {
        Call::incus(["network", "edit", &id.name, "--project", "default"])
            .edited(format!("/1.0/networks/{}", id.name), edit)
    }

    fn delete(&self, found: &Found) -> Vec<Call> {
        vec![Call::incus(["network", "delete", &found.id.name, "--project", "default"])]
    }

    // A bridge that moves takes its machines along; they are looked at where it is known which they are.
    fn impact(&self, _key: &Key, _wanted: &Wanted, _found: &Found, _server: Option<&Server>) -> Impact {
        Impact::Live
    }
}

/// The bridges that are made anew: Incus began them for us, and their call was cut off. Incus finishes none, and deletes
/// none that is used.
pub(super) fn begun(live: &Live, wanted: &[Wanted], infra: &str) -> Vec<Found> {
    let names = live.unfinished().map(|name| Id::global(Kind::Network, name));
    let founds = names.filter(|id| wanted.iter().any(|one| one.id == *id)).filter_map(|id| live.found.get(&id));
    let is_ours = |found: &&Found| found.marks.as_ref().is_some_and(|marks| marks.infra == infra);
    let is_free = |found: &&Found| !live.found.values().any(|user| user.needs.contains(&found.id));
    founds.filter(is_ours).filter(is_free).cloned().collect()
}

/// The host without those.
pub(super) fn without<'a>(live: &'a Live, begun: &[Found]) -> Cow<'a, Live> {
    let mut live = Cow::Borrowed(live);
    for bridge in begun {
        live.to_mut().found.remove(&bridge.id);
    }
    live
}

/// The key whose change moves a bridge to another network.
pub(super) fn address() -> Key {
    Key::Config("ipv4.address".into())
}

/// A bridge that is to move under machines that run: half of it cannot wait, since their addresses are in its network.
pub(super) fn moved(wanted: &Wanted, held: &Change, users: &[&Found]) -> Option<Conflict> {
    let names: Vec<&str> = users.iter().map(|user| user.id.name.as_str()).collect();
    let text = |value: &Option<String>| value.clone().unwrap_or_else(|| "no network".into());
    (wanted.id.kind == Kind::Network && held.key == address()).then(|| Conflict {
        id: wanted.id.clone(),
        domain: wanted.domain.clone(),
        message: format!(
            "{} moves from {} to {}, and {} on it must restart for it",
            wanted.id,
            text(&held.before),
            text(&held.after),
            names.join(", ")
        ),
        help: "`anklume apply --restart` moves it and them".into(),
    })
}

/// A NIC on a bridge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Nic<'f> {
    pub(super) device: &'f str,
    pub(super) bridge: &'f str,
    /// `ipv4.address` as it is written; without it the address is from DHCP.
    pub(super) written: Option<&'f str>,
}

impl Nic<'_> {
    /// Its static address.
    pub(super) fn address(&self) -> Option<Ipv4Addr> {
        self.written.and_then(|address| address.parse().ok())
    }

    /// Is it to have none, not even from DHCP?
    pub(super) fn is_without(&self) -> bool {
        self.written == Some("none")
    }
}

/// The NICs of an instance or a profile; some of the names may be other interfaces of the host.
pub(super) fn nics(fields: &Fields) -> impl Iterator<Item = Nic<'_>> {
    fields.iter().filter_map(|(key, value)| match key {
        Key::Device(device, key) if key == "network" || key == "parent" => {
            let written = fields.get(&Key::Device(device.clone(), "ipv4.address".into()));
            Some(Nic { device, bridge: value, written: written.map(String::as_str) })
        }
        _ => None,
    })
}

/// The address of a bridge with the network around it; `None` where it has none.
pub(super) fn subnet(fields: &Fields) -> Option<Ipv4Net> {
    fields.get(&address())?.parse().ok()
}

/// The key of the zone that has the names of a bridge.
const ZONE: &str = "dns.zone.forward";

/// The ACLs and the zones that a bridge names.
pub(super) fn needs(fields: &Fields) -> Vec<Id> {
    let named = |key: &str, kind: Kind| {
        let names = fields.get(&Key::Config(key.into())).map(String::as_str).unwrap_or_default().split(',');
        let names = names.map(str::trim).filter(|name| !name.is_empty());
        names.map(move |name| Id::global(kind, name)).collect::<Vec<_>>()
    };
    [named(acl::KEY, Kind::Acl), named(ZONE, Kind::Zone)].concat()
}

fn wanted(domain: &Domain) -> Wanted {
    let address = format!("{}/{}", domain.gateway, domain.subnet.prefix_len());
    let config = [
        ("ipv4.address", address.clone()),
        // Without it the machines' packets would leave with addresses that nobody outside can answer.
        ("ipv4.nat", domain.internet.to_string()),
        ("ipv4.dhcp.ranges", format!("{}-{}", domain.dhcp.0, domain.dhcp.1)),
        // Left out, Incus may pick a network with NAT.
        ("ipv6.address", "none".to_owned()),
    ];
    // One that somebody made otherwise keeps what it has. Nothing leaves it, though, where the file says so.
    let kept = |key: &str| domain.as_it_stands && (key != "ipv4.nat" || domain.internet) && key != "ipv4.address";
    let config = config.into_iter().filter(|(key, _)| !kept(key));
    // Any name can be asked of the bridge's own DNS server, and what stands in a name leaves with the question that
    // the server asks the outside in its turn: without the internet it only knows the domain's own names.
    let own_names_only = (!domain.internet).then(|| ("raw.dnsmasq", "no-resolv".to_owned()));
    let mut fields = super::described(&domain.description);
    let config = config.chain(own_names_only);
    fields.extend(config.map(|(key, value)| (Key::Config(key.into()), value)));
    super::put_config(&mut fields, &acl::on_bridge(domain));
    fields.extend(domain.dns_zone.clone().map(|zone| (Key::Config(ZONE.into()), zone)));
    let id = Id::global(Kind::Network, &domain.bridge);
    Wanted {
        needs: needs_of(&id, &fields),
        id,
        domain: domain.name.clone(),
        fields,
        at_birth: BTreeMap::new(),
        protected: !domain.ephemeral,
        comes_with_project: false,
        note: if domain.internet { format!("{address}, NAT") } else { format!("{address}, no internet") },
        instance: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resolve::sample::{domain, infra, sound};
    use crate::resources::profile::Profiles;
    use serde_json::json;

    #[test]
    fn a_bridge_of_ours_that_incus_never_finished_is_made_anew_unless_something_uses_it() {
        let wanted = Networks.wanted(&sound(&infra([("pro", domain([]))])));
        let listed = |status: &str, owner: &str| {
            json!([{"name": "net-pro", "managed": true, "type": "bridge", "status": status,
                "config": {"user.anklume.infra": owner, "user.anklume.domain": "pro", "user.anklume.applied": "[]"}}])
        };
        let begun_of = |status: &str, owner: &str, used: bool| {
            let interfaces = listed(status, owner);
            let found = Networks.found(&interfaces[0]).unwrap();
            let profile = json!({"name": "default", "project": "pro", "config": {},
                "devices": {"eth0": {"type": "nic", "network": "net-pro"}}});
            let user = Profiles.found(&profile).filter(|_| used);
            let all = [Some(found), user].into_iter().flatten().map(|found| (found.id.clone(), found)).collect();
            let live = Live { found: all, interfaces, ..Live::default() };
            let begun = begun(&live, &wanted, "test");
            assert_eq!(without(&live, &begun).found.len() + begun.len(), live.found.len());
            begun.len()
        };
        assert_eq!(begun_of("Pending", "test", false), 1);
        assert_eq!(begun_of("Created", "test", false), 0);
        assert_eq!(begun_of("Pending", "another", false), 0);
        assert_eq!(begun_of("Pending", "test", true), 0);
    }
}
