//! Incus network ACLs: one for each domain that has an `acl`, on its bridge and of the bridge's name.
//!
//! It filters where packets enter and leave the bridge. What goes from machine to machine of one bridge meets it only
//! where the kernel sends bridged packets through its filters (`net.bridge.bridge-nf-call-iptables`). DHCP, DNS and
//! answers always pass: Incus sees to that.

use serde_json::{Value, json};

use super::fields::{self, Fields, Key, Marks};
use super::{Found, Resource, Wanted};
use crate::incus::call::Call;
use crate::incus::edit::{self, Edit};
use crate::incus::server::Server;
use crate::infra::model::AclRule;
use crate::plan::{Id, Impact, Kind};
use crate::resolve::desired::{Config, Desired, Domain};

/// The kind.
pub(crate) struct Acls;

/// The key of a bridge that names its ACLs.
pub(crate) const KEY: &str = "security.acls";

/// What lists them all.
pub(crate) const LISTING: &str = "/1.0/network-acls?recursion=1&project=default";

impl Resource for Acls {
    fn found(&self, listed: &Value) -> Option<Found> {
        let name = listed["name"].as_str()?;
        let mut fields = fields::listed(listed);
        fields::put_items(&mut fields, listed, told);
        let marks = Marks::read(listed);
        Some(Found {
            id: Id::global(Kind::Acl, name),
            fields,
            protected: marks.as_ref().is_some_and(|marks| marks.protected),
            marks,
            needs: Vec::new(),
            instance: None,
        })
    }

    fn wanted(&self, desired: &Desired) -> Vec<Wanted> {
        desired.domains.iter().filter(|domain| !domain.acl.is_empty()).map(wanted).collect()
    }

    fn create(&self, wanted: &Wanted, infra: &str, _start: bool) -> Call {
        Call::incus(["network", "acl", "create", &wanted.id.name, "--project", "default"]).body(wanted.body(infra))
    }

    fn edit(&self, id: &Id, edit: Edit) -> Call {
        Call::incus(["network", "acl", "edit", &id.name, "--project", "default"])
            .edited(format!("/1.0/network-acls/{}?project=default", id.name), edit)
    }

    fn delete(&self, found: &Found) -> Vec<Call> {
        vec![Call::incus(["network", "acl", "delete", &found.id.name, "--project", "default"])]
    }

    fn impact(&self, _key: &Key, _wanted: &Wanted, _found: &Found, _server: Option<&Server>) -> Impact {
        Impact::Live
    }
}

fn wanted(domain: &Domain) -> Wanted {
    let mut fields = Fields::new();
    for rule in &domain.acl {
        let value = body(rule);
        fields.insert(Key::Item(rule.direction.clone(), edit::item(&value)), told(&value));
    }
    Wanted {
        protected: !domain.ephemeral,
        note: format!("on {}", domain.bridge),
        ..Wanted::bare(Id::global(Kind::Acl, &domain.bridge), &domain.name, fields)
    }
}

/// What a bridge says of the ACL of its domain; nothing where there is none.
pub(super) fn on_bridge(domain: &Domain) -> Config {
    if domain.acl.is_empty() {
        return Config::new();
    }
    let keys = [
        (KEY, domain.bridge.as_str()),
        ("security.acls.default.ingress.action", rest(&domain.acl, "ingress")),
        ("security.acls.default.egress.action", rest(&domain.acl, "egress")),
    ];
    keys.map(|(key, value)| (key.to_owned(), value.to_owned())).into()
}

/// What becomes of a packet that no rule of this direction names. Incus looks at `drop` and `reject` before `allow`,
/// wherever they stand: so a rule that allows means that the rest is refused, and without one only what is named is.
pub(crate) fn rest(rules: &[AclRule], direction: &str) -> &'static str {
    let allows = rules.iter().any(|rule| rule.direction == direction && rule.action == "allow");
    if allows { "reject" } else { "allow" }
}

/// A rule as Incus takes and lists it: without spaces between the parts of a list.
fn body(rule: &AclRule) -> Value {
    let list = |value: &Option<String>| value.clone().unwrap_or_default().replace(' ', "");
    json!({
        "action": rule.action,
        "state": "enabled",
        "protocol": rule.protocol.clone().unwrap_or_default(),
        "source": list(&rule.source),
        "destination": list(&rule.destination),
        "destination_port": list(&rule.destination_port),
        "description": rule.description,
    })
}

/// `drop tcp from 10.0.0.1 to port 80: the old web`
fn told(rule: &Value) -> String {
    let text = |key: &str| rule[key].as_str().filter(|text| !text.is_empty());
    let mut words: Vec<String> = text("action").map(str::to_owned).into_iter().collect();
    words.extend(text("protocol").map(str::to_owned));
    words.extend(text("source").map(|source| format!("from {source}")));
    words.extend(text("source_port").map(|port| format!("from port {port}")));
    words.extend(text("destination").map(|target| format!("to {target}")));
    words.extend(text("destination_port").map(|port| format!("to port {port}")));
    words.extend(text("state").filter(|state| *state != "enabled").map(|state| format!("({state})")));
    let words = words.join(" ");
    text("description").map_or(words.clone(), |about| format!("{words}: {about}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::incus::call::Input;
    use crate::incus::live::Live;
    use crate::infra::model;
    use crate::resolve::sample::{domain, infra, sound};
    use crate::resources::planner::{Options, plan};

    fn rule(direction: &str, action: &str, port: Option<&str>) -> AclRule {
        AclRule {
            direction: direction.into(),
            action: action.into(),
            protocol: port.map(|_| "tcp".into()),
            source: None,
            destination: None,
            destination_port: port.map(str::to_owned),
            description: String::new(),
        }
    }

    #[test]
    fn a_rule_that_allows_refuses_the_rest_of_its_direction() {
        let rules = [rule("ingress", "allow", Some("80")), rule("egress", "drop", Some("25"))];
        assert_eq!((rest(&rules, "ingress"), rest(&rules, "egress")), ("reject", "allow"));
        assert_eq!(rest(&rules[..1], "egress"), "allow", "nothing is said of that direction");
    }

    #[test]
    fn a_rule_is_the_same_as_it_was_sent_however_incus_lists_it() {
        let sent = rule("ingress", "drop", Some("80, 90-99"));
        let listed = json!({"name": "net-pro", "config": {}, "description": "", "egress": [], "ingress": [
            {"state": "enabled", "destination_port": "80,90-99", "protocol": "tcp", "action": "drop"}]});
        let found = Acls.found(&listed).unwrap();
        let key = Key::Item("ingress".into(), edit::item(&body(&sent)));
        assert_eq!(found.fields, Fields::from([(key, "drop tcp to port 80,90-99".into())]));
    }

    #[test]
    fn an_acl_is_made_with_what_incus_knows_of_one_and_nothing_else() {
        let pro = model::Domain { acl: vec![rule("ingress", "drop", Some("80"))], ..domain([]) };
        let made = plan(&sound(&infra([("pro", pro)])), &Live::empty(), None, &Options::default()).unwrap();
        let words: Vec<_> = made.actions.iter().map(|action| action.calls[0].words()).collect();
        let at = |start: &str| words.iter().position(|words| words.starts_with(start)).unwrap();
        let (acl, network) = (at("incus network acl create net-pro"), at("incus network create net-pro"));
        assert!(made.actions[network].after.contains(&acl), "{words:#?}");
        let Input::Body(body) = &made.actions[acl].calls[0].input else { panic!("no body") };
        assert_eq!(body.as_object().unwrap().keys().collect::<Vec<_>>(), ["config", "ingress", "description"]);
        assert_eq!(made.actions[acl].fields[0].after.as_deref(), Some("drop tcp to port 80"));
    }
}
