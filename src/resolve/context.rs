//! The nesting context that every machine carries: how deep it is, and what contains it.

use super::Ground;
use super::desired::Config;
use super::devices::profiles_of;
use crate::host::facts::Facts;
use crate::infra::model::{Domain, Machine};

/// Before each of these names in a machine's config; they can be read inside, through `/dev/incus`.
pub(crate) const PREFIX: &str = "user.anklume.";
/// Where a machine that can nest finds them as files of the same names.
const DIRECTORY: &str = "/etc/anklume";

/// Name and value of everything that the context says.
pub(super) fn of(facts: &Facts, machine: &Machine) -> [(&'static str, String); 4] {
    let deeper = |level: Option<u32>| level.unwrap_or_default() + 1;
    let relative = if machine.vm { 0 } else { deeper(facts.relative_level) };
    [
        ("absolute_level", deeper(facts.absolute_level).to_string()),
        ("relative_level", relative.to_string()),
        ("vm_nested", (machine.vm || facts.vm_nested).to_string()),
        ("yolo", facts.yolo_kept.to_string()),
    ]
}

/// The config keys that carry it.
pub(super) fn keys(ground: Ground<'_>, machine: &Machine) -> Config {
    of(ground.facts, machine).into_iter().map(|(name, value)| (format!("{PREFIX}{name}"), value)).collect()
}

/// The files that carry it, in a machine that can be a host itself.
pub(super) fn files(ground: Ground<'_>, domain: &Domain, machine: &Machine) -> Vec<(String, String)> {
    let says = |config: &crate::infra::model::Config| config.get("security.nesting").map(|value| value == "true");
    let of_profiles = || profiles_of(domain, machine).filter_map(|profile| says(&profile.config)).last();
    let nests = machine.vm || says(&machine.config).or_else(of_profiles).unwrap_or_default();
    let all = of(ground.facts, machine).into_iter().filter(|_| nests);
    all.map(|(name, value)| (format!("{DIRECTORY}/{name}"), format!("{value}\n"))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::infra::model;
    use crate::resolve::sample::{domain, find, infra, keys, machine, named, profile};
    use crate::resolve::{Holds, resolve};

    fn context(facts: &Facts, machine: model::Machine) -> (String, usize) {
        let mut home = domain([("m", machine)]);
        home.profiles = named([("nest", profile([]))]);
        home.profiles["nest"].config = keys([("security.nesting", "true")]);
        let (desired, _) = resolve(&infra([("pro", home)]), facts, &Holds::default());
        let wanted = find(&desired, "m");
        let told = wanted.config.iter().filter_map(|(key, value)| Some((key.strip_prefix(PREFIX)?, value)));
        (told.map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>().join(" "), wanted.files.len())
    }

    #[test]
    fn a_machine_is_one_level_deeper_than_its_host_and_a_vm_begins_anew() {
        let outermost = Facts::default();
        let expected = "absolute_level=1 relative_level=1 vm_nested=false yolo=false";
        assert_eq!(context(&outermost, machine()), (expected.into(), 0));
        let deep = Facts { absolute_level: Some(2), relative_level: Some(1), yolo_kept: true, ..Facts::default() };
        let expected = "absolute_level=3 relative_level=2 vm_nested=false yolo=true";
        assert_eq!(context(&deep, machine()), (expected.into(), 0));
        let vm = model::Machine { vm: true, ..machine() };
        let expected = "absolute_level=3 relative_level=0 vm_nested=true yolo=true";
        assert_eq!(context(&deep, vm), (expected.into(), 4));
        let below_a_vm =
            Facts { absolute_level: Some(1), relative_level: Some(0), vm_nested: true, ..Facts::default() };
        let expected = "absolute_level=2 relative_level=1 vm_nested=true yolo=false";
        assert_eq!(context(&below_a_vm, machine()), (expected.into(), 0));
    }

    #[test]
    fn what_can_nest_gets_files_by_its_own_key_or_a_profiles() {
        let of_profile = model::Machine { profiles: vec!["default".into(), "nest".into()], ..machine() };
        assert_eq!(context(&Facts::default(), of_profile.clone()).1, 4);
        let off = model::Machine { config: keys([("security.nesting", "false")]), ..of_profile };
        assert_eq!(context(&Facts::default(), off).1, 0);
        let on = model::Machine { config: keys([("security.nesting", "true")]), ..machine() };
        assert_eq!(context(&Facts::default(), on).1, 4);
    }
}
