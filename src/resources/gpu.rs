//! GPUs: what a machine asks for, and whether this host has it. A machine whose GPU is missing is left out, alone.

use std::collections::BTreeMap;

use super::fields::{Fields, Key};
use super::sides::Sides;
use super::{Wanted, devices};
use crate::incus::server::Gpu;
use crate::infra::model::RunState;

/// The device's keys.
type Device<'a> = BTreeMap<&'a str, &'a str>;

/// Why a machine of the file cannot start here, for want of a GPU. Nothing is said where the server was not asked.
pub(super) fn missing(sides: &Sides<'_>, wanted: &Wanted) -> Option<String> {
    let gpus = sides.server?.gpus.as_ref()?;
    wanted.instance.as_ref().filter(|instance| instance.state != RunState::Stopped)?;
    let declared = devices::declared(sides, wanted);
    let mut asked = all(&declared).into_iter().filter(|(_, keys)| keys.get("type") == Some(&"gpu"));
    let (name, keys) = asked.find(|(_, keys)| !gpus.iter().any(|gpu| is_it(keys, gpu)))?;
    let which = match keys.get("pci") {
        _ if gpus.is_empty() => "GPU that Incus can see".to_owned(),
        Some(pci) => format!("GPU at {pci}"),
        None => "such GPU".to_owned(),
    };
    let hint = "`incus info --resources` lists the GPUs; with `state: stopped` it is made all the same";
    Some(format!("this host has no {which}, for the device `{name}`; {hint}"))
}

/// The devices among these fields.
fn all(fields: &Fields) -> BTreeMap<&str, Device<'_>> {
    let mut devices: BTreeMap<&str, Device<'_>> = BTreeMap::new();
    for (key, value) in fields {
        if let Key::Device(device, key) = key {
            devices.entry(device).or_default().insert(key, value);
        }
    }
    devices
}

/// Would a device with these keys take this GPU? Incus reads addresses with and without their domain, `0000:`.
fn is_it(keys: &Device<'_>, gpu: &Gpu) -> bool {
    let says = |key: &str, found: &str| keys.get(key).is_none_or(|wanted| wanted.to_lowercase() == found);
    let at = |pci: &str| pci.to_lowercase() == gpu.pci || format!("0000:{}", pci.to_lowercase()) == gpu.pci;
    keys.get("pci").is_none_or(|pci| at(pci))
        && says("vendorid", &gpu.vendor)
        && says("productid", &gpu.product)
        && says("id", &gpu.card)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_picks_a_gpu_by_address_maker_product_or_number() {
        let gpu = Gpu { pci: "0000:01:00.0".into(), vendor: "10de".into(), product: "1c03".into(), card: "0".into() };
        let picks: [(&[(&str, &str)], bool); 9] = [
            (&[], true),
            (&[("pci", "0000:01:00.0")], true),
            (&[("pci", "01:00.0")], true),
            (&[("pci", "0000:02:00.0")], false),
            (&[("vendorid", "10DE")], true),
            (&[("vendorid", "8086")], false),
            (&[("vendorid", "10de"), ("productid", "ffff")], false),
            (&[("id", "0")], true),
            (&[("id", "1")], false),
        ];
        for (keys, expected) in picks {
            assert_eq!(is_it(&keys.iter().copied().collect(), &gpu), expected, "{keys:?}");
        }
    }
}
