//! The table as a step of a plan: read, compared, loaded.

use std::collections::BTreeSet;

use serde_json::Value;

use super::exported::{self, Exported};
use super::file::TableFile;
use super::live::{LiveTable, parse_live};
use super::readback::readback;
use super::ruleset::{batch, removal};
use super::wall::{End, Wall};
use super::{differences, keep, words};
use crate::failure::Hinted;
use crate::incus::call::Call;
use crate::incus::door::{CallError, Host};
use crate::incus::trouble;
use crate::plan::{Action, Field, Id, Impact, Kind, Verb};

/// What the kernel says of our table.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Table {
    Known(Option<LiveTable>),
    /// It cannot be read; why, and what to type.
    Unknown {
        why: String,
        hint: String,
    },
    /// Incus is on another kernel than this process: the table there can be neither read nor loaded from here.
    Elsewhere(Elsewhere),
}

/// What can be known of a table that is out of reach.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Elsewhere {
    /// The table that was last written for that host to load.
    pub(crate) exported: Option<Exported>,
    /// Where this run is to write it.
    pub(crate) to: Option<String>,
}

impl Default for Table {
    fn default() -> Self {
        Self::Known(None)
    }
}

impl Table {
    /// Asks the kernel. Not being allowed to is not an error yet: a plan can be made without.
    pub(crate) async fn read(host: &impl Host) -> Self {
        // Listing a table that is not there fails; listing all of the family does not.
        match host.call(&Call::nft(["-j", "list", "ruleset", "inet"])).await {
            Ok(bytes) => match parse_live(&bytes) {
                Ok(table) => Self::Known(table),
                Err(error) => Self::unknown(error.to_string(), None),
            },
            Err(error) => {
                let hint = trouble::hint(&error);
                match error {
                    CallError::Failed { said, .. } => Self::unknown(format!("nft says: {}", first_line(&said)), hint),
                    other => Self::unknown(other.to_string(), hint),
                }
            }
        }
    }

    /// The table; an error where it cannot be read.
    pub(crate) fn known(&self) -> Result<Option<&LiveTable>, Hinted> {
        match self {
            Self::Known(live) => Ok(live.as_ref()),
            Self::Unknown { why, hint } => Err(Hinted::new(format!("the table cannot be read: {why}"), hint.clone())),
            Self::Elsewhere(_) => {
                Err(Hinted::new(format!("the table cannot be read: {ELSEWHERE}"), "run it on the host"))
            }
        }
    }

    fn unknown(why: String, hint: Option<String>) -> Self {
        Self::Unknown { why, hint: hint.unwrap_or_else(|| "`nft list ruleset inet` shows what is there".into()) }
    }
}

fn first_line(text: &str) -> &str {
    text.lines().next().unwrap_or_default()
}

/// What is to be done about the table.
pub(crate) enum Step {
    Nothing,
    Load(Action),
    Unknown { why: String, hint: String },
}

/// Compares the table with what the wall asks for.
pub(crate) fn action(wall: &Wall, table: &Table) -> Step {
    let live = match table {
        Table::Known(live) => live.as_ref(),
        Table::Unknown { why, hint } => return Step::Unknown { why: why.clone(), hint: hint.clone() },
        Table::Elsewhere(elsewhere) => return elsewhere.step(wall),
    };
    if wall.bridges.is_empty() {
        return live.map_or(Step::Nothing, |_| Step::Load(delete("no domain is left")));
    }
    let wanted = LiveTable::wanted(wall);
    match live {
        Some(live) if *live == wanted => Step::Nothing,
        Some(live) => Step::Load(update(wall, live)),
        None => Step::Load(load(wall, Verb::Create, described(wall), "loaded before any machine starts")),
    }
}

const ELSEWHERE: &str = "Incus runs on another host than this program, as where its socket is forwarded into a machine";
const EXPORT: &str = "`anklume firewall export FILE` writes the table, `anklume firewall load FILE` on the host loads it; \
     or `anklume apply --firewall export FILE`, and load it then";

impl Elsewhere {
    fn step(&self, wall: &Wall) -> Step {
        match &self.to {
            Some(to) => Step::Load(self.export(wall, to)),
            None if self.is_as_wanted(wall) => Step::Nothing,
            None if self.exported.is_none() && wall.bridges.is_empty() => Step::Nothing,
            None => Step::Unknown { why: ELSEWHERE.into(), hint: EXPORT.into() },
        }
    }

    /// The table of this wall is what was exported.
    pub(crate) fn is_as_wanted(&self, wall: &Wall) -> bool {
        self.exported.as_ref().is_some_and(|exported| exported.table == keep::text(wall))
    }

    fn export(&self, wall: &Wall, to: &str) -> Action {
        let before = self.exported.as_ref().and_then(|exported| TableFile::parse(&exported.table).ok());
        let (verb, fields) = match before {
            Some(before) => (Verb::Update, differences::of_walls(&readback(&before.table).wall, wall)),
            None => (Verb::Create, described(wall)),
        };
        let note = format!("written to {to}: `anklume firewall load` on the host loads it");
        fence(verb, fields, &note, exported::write(to, &keep::text(wall)))
    }
}

/// The table when all else is done, where it is another one than before: bridges that were deleted are kept apart until
/// they are gone, and policies wait for machines that change their addresses.
pub(crate) fn last_action(first: &Wall, last: &Wall, table: &Table) -> Option<Action> {
    if first == last {
        return None;
    }
    if let Table::Elsewhere(elsewhere) = table {
        // Names of bridges that are gone do no harm until the next export.
        return elsewhere.to.as_ref().map(|to| elsewhere.export(last, to));
    }
    if last.bridges.is_empty() {
        return Some(delete("no domain is left"));
    }
    let note = if first.bridges == last.bridges {
        "once the machines have their addresses"
    } else {
        "the bridges that are gone leave the table"
    };
    Some(load(last, Verb::Update, differences::of_walls(first, last), note))
}

/// A wall without some of its bridges.
pub(crate) fn without(wall: &Wall, gone: &BTreeSet<&String>) -> Wall {
    let names = |end: &End| match end {
        End::Host => false,
        End::Domain { bridge } | End::Machine { bridge, .. } => gone.contains(bridge),
    };
    let mut rest = wall.clone();
    rest.bridges.retain(|bridge, _| !gone.contains(bridge));
    rest.offline.retain(|bridge| !gone.contains(bridge));
    rest.gateways.retain(|bridge, _| !gone.contains(bridge));
    rest.openings.retain(|opening| !names(&opening.from) && !names(&opening.to));
    rest
}

/// The dry run: does the kernel take this table?
pub(crate) fn check(wall: &Wall) -> Call {
    check_call(batch(wall))
}

/// The same for a batch from a file.
pub(crate) fn check_call(batch: Value) -> Call {
    Call::nft(["-j", "-c", "-f", "-"]).body(batch)
}

/// Puts the table of a file in the place of the live one, where they are not the same.
pub(crate) fn replacing(live: Option<&LiveTable>, file: &TableFile) -> Option<Action> {
    let wall = readback(&file.table).wall;
    let (verb, fields) = match live {
        Some(live) if *live == file.table => return None,
        Some(live) => (Verb::Update, differences::of_walls(&readback(live).wall, &wall)),
        None => (Verb::Create, described(&wall)),
    };
    Some(fence(verb, fields, "loaded in one transaction", vec![load_call(file.batch.clone())]))
}

/// First what the file asks for, then what somebody changed in the table beside it.
fn update(wall: &Wall, live: &LiveTable) -> Action {
    let read = readback(live);
    let note = match read.altered.as_slice() {
        [] => "loaded in one transaction",
        _ => "it was changed by hand, or made by another version of anklume",
    };
    let mut fields = differences::of_walls(&read.wall, wall);
    fields.extend(read.altered);
    load(wall, Verb::Update, fields, note)
}

fn load(wall: &Wall, verb: Verb, fields: Vec<Field>, note: &str) -> Action {
    fence(verb, fields, note, vec![load_call(batch(wall))])
}

fn delete(note: &str) -> Action {
    fence(Verb::Delete, Vec::new(), note, vec![load_call(removal())])
}

/// Loads a whole table, or takes it away, in one transaction.
pub(crate) fn load_call(batch: Value) -> Call {
    Call::nft(["-j", "-f", "-"]).body(batch)
}

fn fence(verb: Verb, fields: Vec<Field>, note: &str, calls: Vec<Call>) -> Action {
    Action { fields, note: note.to_owned(), ..Action::bare(Id::global(Kind::Firewall, "inet anklume"), verb, calls) }
}

/// What a new table does, in a few words.
fn described(wall: &Wall) -> Vec<Field> {
    let field =
        |key: &str, after: String| Field { key: key.into(), before: None, after: Some(after), impact: Impact::Live };
    let list = |names: Vec<&str>| names.join(", ");
    let mut fields = vec![field("kept apart", list(wall.bridges.keys().map(String::as_str).collect()))];
    if !wall.offline.is_empty() {
        fields.push(field("no internet", list(wall.offline.iter().map(String::as_str).collect())));
    }
    fields.extend(wall.openings.iter().map(|opening| field("policy", words::policy(opening))));
    fields
}
