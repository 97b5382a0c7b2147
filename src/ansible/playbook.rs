//! A playbook that gives machines their roles.

use indexmap::IndexMap;
use serde_json::{Value, json};

use crate::infra::from_json::yaml;

/// One play for all machines that have the same roles in the same order, side by side; the plays in the order in which
/// their first machines come.
pub(crate) fn playbook<'a>(machines: impl IntoIterator<Item = (&'a str, &'a [String])>) -> String {
    let mut plays: IndexMap<&[String], Vec<&str>> = IndexMap::new();
    for (machine, roles) in machines {
        plays.entry(roles).or_default().push(machine);
    }
    let plays = plays.iter().map(|(roles, hosts)| json!({"name": roles.join(", "), "hosts": hosts, "roles": roles}));
    format!("# Made by `anklume provision`, and gone when it ends.\n{}", yaml(&plays.collect::<Value>()))
}

/// The role that Ansible says it did not find.
pub(crate) fn missing_role(said: &str) -> Option<&str> {
    let (_, rest) = said.split_once("the role '")?;
    let (role, rest) = rest.split_once('\'')?;
    rest.trim_start().starts_with("was not found").then_some(role)
}

/// What Ansible says is wrong, without the warnings before it.
pub(crate) fn refusal(said: &str) -> &str {
    let at = ["[ERROR]", "ERROR!"].iter().find_map(|mark| said.find(mark));
    said[at.unwrap_or_default()..].trim_end()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_is_told_without_the_warnings_before_it() {
        assert_eq!(refusal("[WARNING]: x\n[ERROR]: y\nOrigin: z\n"), "[ERROR]: y\nOrigin: z");
        assert_eq!(refusal("y\n"), "y");
    }

    #[test]
    fn machines_with_the_same_roles_share_a_play() {
        let (both, web) = (["base".to_owned(), "web".to_owned()], ["web".to_owned()]);
        let text = playbook([("a", &both[..]), ("b", &web[..]), ("c", &both[..])]);
        let expected = "- name: base, web\n  hosts:\n    - a\n    - c\n  roles:\n    - base\n    - web\n\
            - name: web\n  hosts:\n    - b\n  roles:\n    - web\n";
        assert_eq!(text.split_once('\n').unwrap().1, expected);
    }

    #[test]
    fn a_role_that_is_not_there_is_read_out_of_what_ansible_says() {
        let said = "[ERROR]: the role 'web' was not found in /x/roles:/etc/ansible/roles\nOrigin: …";
        assert_eq!(missing_role(said), Some("web"));
        assert_eq!(missing_role("ERROR! the role 'a.b.c' was not found in x"), Some("a.b.c"));
        assert_eq!(missing_role("the role 'web' is odd"), None);
    }
}
