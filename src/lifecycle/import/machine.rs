//! One instance, as the file says it.

use std::collections::{BTreeMap, BTreeSet};

use super::images::Known;
use super::scene::Scene;
use super::stores::{self, Shared};
use super::thing::{self, Keys, Thing, field, is_note};
use super::{cards, thing::devices};
use crate::infra::model::{CloudInit, Machine, RunState};
use crate::resources::fields::{Key, split};
use crate::resources::{Found, Status};

/// Where the machine is.
pub(super) struct Home<'a> {
    pub(super) domain: &'a str,
    pub(super) bridge: &'a str,
    /// Bridges of all domains of the file.
    pub(super) bridges: &'a BTreeSet<String>,
    /// With zones a machine has a fixed address unless it says `dhcp`.
    pub(super) zones: bool,
    pub(super) protects: bool,
    /// The pool that root disks of the project are on.
    pub(super) pool: &'a str,
    /// What the file adds to the card of the project's `default` profile; `None` where that profile has none on the
    /// domain's bridge.
    pub(super) default_card: Option<&'a Keys>,
    /// The other profiles of the project, as they stand.
    pub(super) profiles: &'a BTreeMap<String, Thing>,
    pub(super) data_base: &'a str,
}

/// A machine as it is written, and what is to be said about it.
pub(super) struct Drafted {
    pub(super) machine: Machine,
    pub(super) notes: Vec<String>,
    pub(super) shared: Vec<(String, Shared)>,
}

pub(super) fn draft(scene: &Scene<'_>, home: &Home<'_>, name: &str, found: &Found) -> Drafted {
    let thing = Thing::of(found);
    let vm = found.instance.as_ref().is_some_and(|instance| instance.vm);
    let mut drafted = Drafted { machine: Machine { vm, ..Machine::default() }, notes: Vec::new(), shared: Vec::new() };
    let profiles = split(field(&found.fields, &Key::Profiles));
    drafted.machine.description.clone_from(&thing.description);
    drafted.machine.instance_ephemeral = field(&found.fields, &Key::Ephemeral) == "true";
    drafted.image(scene, found);
    drafted.config(home, &thing);
    drafted.state(found);
    let mut own = thing.devices.clone();
    drafted.card(home, &mut own, &profiles);
    Drafted::root(home, &mut own, &profiles);
    drafted.stores(scene, home, name, found, &mut own);
    drafted.named(&mut own);
    drafted.machine.devices = devices(&cards::all(&own, home.bridges));
    // The card was looked at already.
    if let Some(eth0) = drafted.machine.devices.get_mut("eth0").filter(|_| cards_home(&own, home)) {
        *eth0 = thing::device(&cards::home(&own["eth0"], home.bridge));
    }
    drafted.machine.profiles = profiles;
    drafted
}

fn cards_home(own: &BTreeMap<String, Keys>, home: &Home<'_>) -> bool {
    own.get("eth0").is_some_and(|keys| cards::is_home(keys, home.bridge))
}

impl Drafted {
    fn image(&mut self, scene: &Scene<'_>, found: &Found) {
        match scene.images.of(&found.id) {
            Known::Named(image) => self.machine.os_image = Some(image),
            Known::Guessed(image) => {
                self.notes.push(format!("its image is no longer here: {image} is a guess, for when it is made anew"));
                self.machine.os_image = Some(image);
            }
            Known::Unknown => self.notes.push("what image it was made from is not known".into()),
        }
    }

    fn config(&mut self, home: &Home<'_>, thing: &Thing) {
        let mut config = thing.config.clone();
        let machine = &mut self.machine;
        match config.get("security.protection.delete").map(String::as_str) {
            Some("true") if home.protects => drop(config.remove("security.protection.delete")),
            // What is gone when it stops cannot be told to be kept: the key says it.
            Some("true") if !machine.instance_ephemeral => {
                config.remove("security.protection.delete");
                machine.ephemeral = Some(false);
            }
            None if home.protects => machine.ephemeral = Some(true),
            _ => {}
        }
        let truth = |value: &String| value.parse::<bool>().ok();
        machine.boot_autostart = taken(&mut config, "boot.autostart", truth);
        let number = |value: &String| value.parse::<u8>().ok().filter(|at| *at <= 100 && at.to_string() == *value);
        machine.boot_priority = taken(&mut config, "boot.autostart.priority", number);
        let schedule = |value: &String| crate::infra::is_schedule(value).then(|| value.clone());
        machine.snapshots_schedule = taken(&mut config, "snapshots.schedule", schedule);
        machine.snapshots_expiry = taken(&mut config, "snapshots.expiry", |value| expiry(value));
        let mut document = |name: &str| {
            let is_said_twice = config.contains_key(&format!("user.{name}"));
            let filled = |value: &String| Some(value.clone()).filter(|text| !text.trim().is_empty() && !is_said_twice);
            taken(&mut config, &format!("cloud-init.{name}"), filled)
        };
        machine.cloud_init = CloudInit {
            user_data: document("user-data"),
            vendor_data: document("vendor-data"),
            network_config: document("network-config"),
        };
        machine.config = stores::without_notes(&config);
    }

    fn state(&mut self, found: &Found) {
        let state = match found.instance.as_ref().map(|instance| &instance.status) {
            Some(Status::Stopped) => RunState::Stopped,
            Some(Status::Frozen) => RunState::Frozen,
            Some(Status::Other(word)) => {
                self.notes.push(format!("its state is {word}"));
                RunState::Running
            }
            _ => RunState::Running,
        };
        (self.machine.state, self.machine.state_written) = (state, state != RunState::Running);
    }

    /// Its `eth0`: taken out of its devices where the file gives it the same without a word.
    fn card(&mut self, home: &Home<'_>, own: &mut BTreeMap<String, Keys>, profiles: &[String]) {
        let given = given(home, profiles);
        let Some(keys) = own.get("eth0") else {
            match given {
                Given::Default(_) => self.machine.dhcp = home.zones,
                Given::Profile(keys) if cards::is_home(keys, home.bridge) => self.machine.dhcp = true,
                _ => {}
            }
            return;
        };
        if !cards::is_home(keys, home.bridge) {
            return;
        }
        let address = keys.get("ipv4.address").and_then(|address| address.parse().ok());
        (self.machine.ip, self.machine.dhcp) = (address, address.is_none() && home.zones);
        let without_a_word = match given {
            Given::Default(said) => address.is_some() && cards::is_given(keys, said, home.bridge, address),
            Given::Nothing if !has_other(home, own, profiles) => {
                cards::is_given(keys, &Keys::new(), home.bridge, address)
            }
            Given::Profile(_) | Given::None | Given::Nothing => false,
        };
        if without_a_word {
            own.remove("eth0");
        }
    }

    fn root(home: &Home<'_>, own: &mut BTreeMap<String, Keys>, profiles: &[String]) {
        let Some(root) = own.get_mut("root").filter(|root| cards::says(root, "path", "/")) else { return };
        if cards::says(root, "pool", home.pool) {
            root.remove("pool");
        }
        let is_root = |thing: &Thing| thing.devices.values().any(|keys| cards::says(keys, "path", "/"));
        let is_given = profiles.iter().any(|name| name == "default" || home.profiles.get(name).is_some_and(is_root));
        if !is_given && *root == thing::keys([("type", "disk"), ("path", "/")]) {
            own.remove("root");
        }
    }

    fn stores(
        &mut self,
        scene: &Scene<'_>,
        home: &Home<'_>,
        name: &str,
        found: &Found,
        own: &mut BTreeMap<String, Keys>,
    ) {
        let vm = self.machine.vm;
        let at = format!("{}/{}/{name}", home.data_base, home.domain);
        own.retain(|device, disk| {
            if let Some(volume) = stores::volume(scene, &found.id, device, disk, home.pool) {
                self.machine.storage_volumes.insert(device.clone(), volume);
            } else if let Some((data, written)) = stores::data(scene, &at, device, disk, vm) {
                self.machine.persistent_data.insert(data, written);
            } else if let Some(share) = device.strip_prefix("sv-").filter(|_| cards::says(disk, "type", "disk")) {
                let (domain, machine, disk) = (home.domain.to_owned(), name.to_owned(), disk.clone());
                self.shared.push((share.to_owned(), Shared { domain, machine, vm, disk }));
            } else {
                return true;
            }
            false
        });
    }

    /// Devices that a file cannot name.
    fn named(&mut self, own: &mut BTreeMap<String, Keys>) {
        let notes = own.keys().filter(|name| is_note(name)).cloned().collect::<Vec<_>>();
        for name in notes {
            self.notes.push(format!("its device {name} stays as it is: what begins with `x-` is not read"));
            own.remove(&name);
        }
    }
}

/// The card that a machine has from its profiles.
enum Given<'a> {
    /// From the project's own, with what the file adds to it.
    Default(&'a Keys),
    Profile(&'a Keys),
    /// It has the project's own profile, and that has no card, or one elsewhere.
    None,
    /// None of its profiles says anything of a card.
    Nothing,
}

fn given<'a>(home: &Home<'a>, profiles: &[String]) -> Given<'a> {
    for name in profiles.iter().rev() {
        if name == "default" {
            match home.default_card {
                Some(said) => return Given::Default(said),
                None => continue,
            }
        }
        if let Some(keys) = home.profiles.get(name).and_then(|thing| thing.devices.get("eth0")) {
            return Given::Profile(keys);
        }
    }
    if profiles.iter().any(|name| name == "default") { Given::None } else { Given::Nothing }
}

/// Has the machine a card beside its `eth0`? Then it gets none that it does not name.
fn has_other(home: &Home<'_>, own: &BTreeMap<String, Keys>, profiles: &[String]) -> bool {
    let of_profiles = profiles.iter().filter_map(|name| home.profiles.get(name)).flat_map(|thing| &thing.devices);
    own.iter().chain(of_profiles).any(|(name, keys)| name != "eth0" && cards::says(keys, "type", "nic"))
}

/// Takes a key out that the file has a word of its own for.
fn taken<T>(config: &mut Keys, key: &str, read: impl Fn(&String) -> Option<T>) -> Option<T> {
    let value = read(config.get(key)?)?;
    config.remove(key);
    Some(value)
}

/// Incus spells hours `H` and minutes `M`, and knows more units than the file.
fn expiry(value: &str) -> Option<String> {
    let (count, unit) = value.split_at(value.len().checked_sub(1).filter(|at| value.is_char_boundary(*at))?);
    let unit = match unit {
        "d" => 'd',
        "H" => 'h',
        "M" => 'm',
        _ => return None,
    };
    let number = count.parse::<u32>().ok().filter(|number| *number > 0 && number.to_string() == count)?;
    Some(format!("{number}{unit}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_expiry_is_said_where_the_file_has_its_unit() {
        let said = ["30d", "24H", "60M", "3m", "1w", "1d 2H", "", "d", "030d"].map(expiry);
        let expected = [Some("30d"), Some("24h"), Some("60m"), None, None, None, None, None, None];
        assert_eq!(said, expected.map(|text| text.map(str::to_owned)));
    }
}
