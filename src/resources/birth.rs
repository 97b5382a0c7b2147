//! What a plan shows of a thing that is to be made.

use std::collections::BTreeMap;

use super::fields::Key;
use super::{Wanted, difference};
use crate::plan::{Field, Impact};
use crate::resolve::context;

/// What is shown of a new thing: all that the file says of it, a device on a line. What every machine of the
/// domain gets in the same way (`usual`, the project's `default` profile) is left out.
pub(super) fn fields(wanted: &Wanted, usual: Option<&Wanted>) -> Vec<Field> {
    let told = |key: &Key, value: &String| match key {
        Key::Type | Key::Pool | Key::Image | Key::Ephemeral => false,
        Key::Profiles => value != "default",
        Key::Config(key) if key.starts_with(context::PREFIX) => false,
        Key::Device(..) => usual.is_none_or(|usual| usual.fields.get(key) != Some(value)),
        _ => !value.is_empty(),
    };
    let mut lines: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (key, value) in wanted.fields.iter().filter(|(key, value)| told(key, value)) {
        match key {
            // Each on a line of its own.
            Key::Item(..) => {}
            // Its type first, then its keys.
            Key::Device(device, key) if key == "type" => {
                lines.entry(device.clone()).or_default().insert(0, value.clone());
            }
            Key::Device(device, key) => lines.entry(device.clone()).or_default().push(format!("{key}={value}")),
            key => lines.entry(key.to_string()).or_default().push(difference::shown(key, value)),
        }
    }
    let field = |(key, values): (String, Vec<String>)| Field {
        key,
        before: None,
        after: Some(values.join(" ")),
        impact: Impact::Live,
    };
    let items = wanted.fields.iter().filter(|(key, _)| matches!(key, Key::Item(..)));
    let items = items.map(|(key, value)| (key.to_string(), vec![value.clone()]));
    lines.into_iter().chain(items).map(field).collect()
}
