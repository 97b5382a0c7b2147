//! The map of the isolation, row by row, by real packets: what must not pass does not, what is to pass does, and each
//! rule of the table is there for a packet of the map.
//!
//! `map.txt` is the map. All of it is tried once, in one bed, by whichever test comes first; the tests tell the rows.

mod changes;
mod ground;
mod map;
mod rows;
mod rules;

use std::sync::LazyLock;

use map::Line;

/// Something that went otherwise than the map says.
#[derive(Debug, Clone)]
struct Surprise {
    row: u8,
    what: String,
}

impl Surprise {
    fn new(line: &Line, when: &str, outcome: &serde_json::Value) -> Self {
        Self { row: line.row, what: format!("{line}, {when}: {outcome}") }
    }
}

/// What came of everything.
struct Findings {
    rows: Vec<Surprise>,
    rules: Vec<String>,
}

static FINDINGS: LazyLock<Findings> = LazyLock::new(|| {
    let mut ground = ground::Ground::new();
    let rows = rows::try_all(&mut ground);
    let rules = rules::take_each_out(&mut ground);
    Findings { rows, rules }
});
