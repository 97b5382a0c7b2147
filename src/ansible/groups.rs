//! The groups of the inventory, and the names that they have.

use crate::resolve::desired::Domain;

/// A group that Ansible has itself; so is `all`, which no domain can be called.
const RESERVED: &str = "ungrouped";
/// How the groups begin that are about something else than a domain.
pub(crate) const PREFIXES: [&str; 4] = ["trust_", "type_", "state_", "role_"];

/// The name of a group as Ansible likes it, for one that it warns about: letters, digits and underscores, and no digit
/// first. None where the name is one already, or would be taken.
pub(crate) fn alias(name: &str) -> Option<String> {
    let clean = clean(name);
    let taken = PREFIXES.iter().any(|prefix| clean.starts_with(prefix));
    (clean != name && !taken).then_some(clean)
}

/// Every other character becomes an underscore.
pub(crate) fn clean(name: &str) -> String {
    let digit_first = name.starts_with(|c: char| c.is_ascii_digit());
    let clean = name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' });
    digit_first.then_some('_').into_iter().chain(clean).collect()
}

/// A domain that no group of Ansible's can be called after.
pub(crate) fn reserved(domains: &[Domain]) -> Option<&str> {
    domains.iter().map(|domain| domain.name.as_str()).find(|name| *name == RESERVED)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_ansible_warns_about_has_a_clean_one_beside_it() {
        for (name, expected) in [
            ("pro", None),
            ("ai-tools", Some("ai_tools")),
            ("1st", Some("_1st")),
            ("a-b-c", Some("a_b_c")),
            ("trust-admin", None),
        ] {
            assert_eq!(alias(name).as_deref(), expected);
        }
    }
}
