//! The image cache as a table or JSON.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use crate::resources::cache::{Cache, Name};
use crate::ui::{Style, Surface};

/// One image: in the cache, in the file, in the repository, or in several of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Row {
    image: String,
    #[serde(rename = "type")]
    kind: &'static str,
    /// `None` where it is not in the cache yet.
    fingerprint: Option<String>,
    size: Option<u64>,
    made: Option<String>,
    auto_update: bool,
    in_file: bool,
    in_repository: bool,
    /// Machines made from it, of all infrastructures on this host.
    machines: usize,
    /// Those of them made from an older one.
    machines_older: usize,
}

/// Every image that is here, wanted or stored, by name.
pub(crate) fn rows(cache: &Cache, wanted: &BTreeSet<Name>, stored: &BTreeMap<Name, Vec<String>>) -> Vec<Row> {
    let names: BTreeSet<&Name> = cache.images.keys().chain(wanted).chain(stored.keys()).collect();
    let row = |name: &Name| {
        let cached = cache.images.get(name);
        let users = cache.users.get(name).map(Vec::as_slice).unwrap_or_default();
        let is_older = |base: &&String| cached.is_some_and(|cached| cached.fingerprint != **base);
        Row {
            image: name.0.clone(),
            kind: if name.1 { "vm" } else { "lxc" },
            fingerprint: cached.map(|cached| cached.fingerprint.clone()),
            size: cached.map(|cached| cached.size),
            made: cached.map(|cached| cached.made.clone()),
            auto_update: cached.is_some_and(|cached| cached.auto_update),
            in_file: wanted.contains(name),
            in_repository: stored.contains_key(name),
            machines: users.len(),
            machines_older: users.iter().filter(is_older).count(),
        }
    };
    names.into_iter().map(row).collect()
}

/// How many machines are made from an older one of the images that are wanted.
pub(crate) fn older(cache: &Cache, wanted: &BTreeSet<Name>) -> usize {
    rows(cache, wanted, &BTreeMap::new()).iter().map(|row| row.machines_older).sum()
}

/// A line for each.
pub(crate) fn text(rows: &[Row], surface: &Surface) -> String {
    if rows.is_empty() {
        return "There are no images yet, and the file has no machines.\n".into();
    }
    let width = rows.iter().map(|row| row.image.len()).max().unwrap_or_default();
    let line = |row: &Row| {
        let place = match &row.fingerprint {
            Some(fingerprint) => {
                let short: String = fingerprint.chars().take(12).collect();
                format!("{short}  {:>8}  {}", size(row.size.unwrap_or_default()), row.made.as_deref().unwrap_or("-"))
            }
            None => surface.paint(Style::Dim, format!("{:34}", "not here yet")),
        };
        format!("{:width$}  {:3}  {place}  {}\n", row.image, row.kind, said(row).join(", "))
    };
    rows.iter().map(line).collect()
}

fn said(row: &Row) -> Vec<String> {
    let mut said = Vec::new();
    if row.fingerprint.is_some() {
        said.push(if row.auto_update { "kept up to date" } else { "from a file" }.to_owned());
    }
    if row.in_repository {
        said.push("in the repository".into());
    }
    if !row.in_file {
        said.push("not in this file".into());
    }
    if row.machines > 0 {
        said.push(format!("{} machines", row.machines));
    }
    if row.machines_older > 0 {
        said.push(format!("{} of them from an older one", row.machines_older));
    }
    said
}

fn size(bytes: u64) -> String {
    let mebibytes = bytes / 1024 / 1024;
    if mebibytes < 1 { format!("{}KiB", bytes / 1024) } else { format!("{mebibytes}MiB") }
}
