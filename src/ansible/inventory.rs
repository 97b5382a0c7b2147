//! The inventory of what there is now, in the form that Ansible asks scripts for.

use indexmap::IndexMap;
use serde_json::{Map, Value, json};

use super::groups::{alias, clean};
use super::variables::{self, Variables, guests, homes};
use crate::infra::from_json::looks_like_a_template;
use crate::infra::model::Infra;
use crate::render::text::trust_word;
use crate::resolve::desired::{Desired, Domain, Machine};

/// Groups with their machines, and what is known of both.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Inventory {
    groups: IndexMap<String, Group>,
    hosts: IndexMap<String, Variables>,
}

#[derive(Debug, Clone, Default, PartialEq)]
struct Group {
    hosts: Vec<String>,
    children: Vec<String>,
    variables: Variables,
}

/// The machines of the file that there are: `state` says how one stands (`running`), or that it is not there.
pub(crate) fn inventory(
    infra: &Infra,
    desired: &Desired,
    remote: &str,
    state: impl Fn(&Domain, &Machine) -> Option<String>,
) -> Inventory {
    let mut all = Inventory::default();
    all.group("all").variables = variables::of_all(infra, desired);
    for home in homes(infra, desired) {
        let domain = home.1;
        all.group(&domain.name).variables = variables::of_domain(home);
        if let Some(alias) = alias(&domain.name) {
            all.group(&alias).children.push(domain.name.clone());
        }
        all.group(&format!("trust_{}", clean(trust_word(domain.trust)))).children.push(domain.name.clone());
        for guest in guests(home) {
            let (written, machine) = guest;
            let Some(state) = state(domain, machine) else { continue };
            let mut groups = vec![domain.name.clone(), format!("type_{}", variables::kind(machine))];
            groups.push(format!("state_{}", clean(&state)));
            groups.extend(written.roles.iter().map(|role| format!("role_{}", clean(role))));
            for group in groups {
                let hosts = &mut all.group(&group).hosts;
                if hosts.last() != Some(&machine.name) {
                    hosts.push(machine.name.clone());
                }
            }
            let mut host = connection(infra, domain, machine, remote);
            host.extend(variables::of_machine(home, guest));
            all.hosts.insert(machine.name.clone(), host);
        }
    }
    all
}

/// The whole way to a machine. The user is said only where the file names another one than root: a play may know better.
fn connection(infra: &Infra, domain: &Domain, machine: &Machine, remote: &str) -> Variables {
    let mut all = Variables::from_iter([("ansible_connection".into(), json!(infra.global.default_connection))]);
    all.extend(variables::of_connection(domain, machine));
    all.insert("ansible_incus_remote".into(), json!(remote));
    if infra.global.default_user != "root" {
        all.insert("ansible_user".into(), json!(infra.global.default_user));
    }
    all
}

impl Inventory {
    fn group(&mut self, name: &str) -> &mut Group {
        self.groups.entry(name.to_owned()).or_default()
    }

    /// What `--list` prints.
    pub(crate) fn list(&self) -> Value {
        let hosts = self.hosts.iter().map(|(name, variables)| (name.clone(), Value::Object(variables.clone())));
        let mut all = Map::from_iter([("_meta".to_owned(), json!({ "hostvars": hosts.collect::<Map<_, _>>() }))]);
        for (name, group) in &self.groups {
            let mut told = Map::new();
            if !group.hosts.is_empty() {
                told.insert("hosts".into(), json!(group.hosts));
            }
            if !group.children.is_empty() {
                told.insert("children".into(), json!(group.children));
            }
            if !group.variables.is_empty() {
                told.insert("vars".into(), Value::Object(group.variables.clone()));
            }
            all.insert(name.clone(), Value::Object(told));
        }
        literal(Value::Object(all))
    }

    /// What `--host` prints.
    pub(crate) fn host(&self, name: &str) -> Option<Value> {
        self.hosts.get(name).map(|variables| literal(Value::Object(variables.clone())))
    }

    /// The names of the machines.
    pub(crate) fn hosts(&self) -> impl Iterator<Item = &str> {
        self.hosts.keys().map(String::as_str)
    }

    /// What `--graph` prints: as `ansible-inventory` does.
    pub(crate) fn graph(&self) -> String {
        let inner: Vec<&String> = self.groups.values().flat_map(|group| &group.children).collect();
        let mut text = "@all:\n".to_owned();
        for name in self.groups.keys().filter(|name| *name != "all" && !inner.contains(name)) {
            self.draw(name, 1, &mut text);
        }
        text
    }

    fn draw(&self, name: &str, depth: usize, text: &mut String) {
        let Some(group) = self.groups.get(name) else { return };
        let indent = "  |".repeat(depth);
        text.push_str(&format!("{indent}--@{name}:\n"));
        for child in &group.children {
            self.draw(child, depth + 1, text);
        }
        for host in &group.hosts {
            text.push_str(&format!("{indent}  |--{host}\n"));
        }
    }
}

/// No text of the file is a template, though it may look like one.
fn literal(value: Value) -> Value {
    match value {
        Value::String(text) if looks_like_a_template(&text) => json!({ "__ansible_unsafe": text }),
        Value::Array(items) => items.into_iter().map(literal).collect(),
        Value::Object(entries) => {
            Value::Object(entries.into_iter().map(|(name, value)| (name, literal(value))).collect())
        }
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::infra::model::{self, TrustLevel};
    use crate::resolve::sample::{domain, infra, machine, sound};

    fn sample() -> Inventory {
        let web = model::Machine { roles: vec!["base_system".into(), "acme.web-site".into()], ..machine() };
        let vm = model::Machine { vm: true, description: "{{ not one }}".into(), ..machine() };
        let tools = model::Domain { trust_level: TrustLevel::Trusted, ..domain([("web", web), ("big", vm)]) };
        let infra = infra([("ai-tools", tools), ("pro", domain([("gone", machine())]))]);
        let state = |_: &Domain, machine: &Machine| match machine.name.as_str() {
            "web" => Some("running".to_owned()),
            "big" => Some("stopped".to_owned()),
            _ => None,
        };
        inventory(&infra, &sound(&infra), "local", state)
    }

    #[test]
    fn groups_are_of_domains_trust_levels_types_states_and_roles() {
        let list = sample().list();
        let groups: Vec<(&str, &Value, &Value)> = list
            .as_object()
            .unwrap()
            .iter()
            .filter(|(name, _)| !["all", "_meta"].contains(&name.as_str()))
            .map(|(name, group)| (name.as_str(), &group["hosts"], &group["children"]))
            .collect();
        let (none, tools) = (Value::Null, json!(["ai-tools"]));
        let (web, big, both) = (json!(["web"]), json!(["big"]), json!(["web", "big"]));
        let expected = [
            ("ai-tools", &both, &none),
            ("ai_tools", &none, &tools),
            ("trust_trusted", &none, &tools),
            ("type_lxc", &web, &none),
            ("state_running", &web, &none),
            ("role_base_system", &web, &none),
            ("role_acme_web_site", &web, &none),
            ("type_vm", &big, &none),
            ("state_stopped", &big, &none),
            ("pro", &none, &none),
            ("trust_semi_trusted", &none, &json!(["pro"])),
        ];
        assert_eq!(groups, expected);
        assert_eq!(list["ai-tools"]["vars"]["domain_trust_level"], "trusted");
        assert_eq!(list["all"]["vars"]["project_name"], "lab");
    }

    #[test]
    fn a_machine_has_the_whole_way_to_it_and_one_that_is_not_there_is_in_no_group() {
        let all = sample();
        let web = all.host("web").unwrap();
        for (name, value) in [
            ("ansible_connection", "community.general.incus"),
            ("ansible_incus_remote", "local"),
            ("ansible_incus_project", "ai-tools"),
            ("ansible_incus_host", "web"),
            ("instance_domain", "ai-tools"),
        ] {
            assert_eq!(web[name], value, "{name}");
        }
        assert!(web.get("ansible_user").is_none());
        assert_eq!(all.host("gone"), None);
        assert_eq!(all.list()["_meta"]["hostvars"]["web"], web);
        assert_eq!(all.host("big").unwrap()["instance_description"], json!({"__ansible_unsafe": "{{ not one }}"}));
    }

    #[test]
    fn the_graph_is_drawn_as_ansible_draws_it() {
        let graph = sample().graph();
        let start =
            "@all:\n  |--@ai_tools:\n  |  |--@ai-tools:\n  |  |  |--web\n  |  |  |--big\n  |--@trust_trusted:\n";
        assert!(graph.starts_with(start), "{graph}");
        assert!(graph.contains("  |--@state_stopped:\n  |  |--big\n"), "{graph}");
    }
}
