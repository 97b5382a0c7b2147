//! Every folder of `tests/problems` is a broken infrastructure and what anklume says about it.
//!
//! A new case is a new folder with an `infra.yml` (or an `infra/`); `UPDATE=1 cargo test golden` writes `expected.txt`.

use std::fs;
use std::path::Path;

use super::{Failure, draw, load};

/// What `anklume check` says about a folder, its own path left out.
fn said_about(folder: &Path) -> String {
    let file = folder.join("infra.yml");
    let path = if file.exists() { file } else { folder.join("infra") };
    let said = match load(Some(&path)) {
        Ok(loaded) => draw(&loaded.problems, &loaded.sources, false, 120),
        Err(Failure::Invalid { problems, sources }) => draw(&problems, &sources, false, 120),
        Err(Failure::Unreadable { message, help }) => {
            format!("{message}\n{}\n", help.map(|help| format!("help: {help}")).unwrap_or_default())
        }
    };
    said.replace(&format!("{}/", folder.display()), "")
}

#[test]
fn every_broken_infrastructure_is_told_what_is_wrong() {
    let folders = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/problems");
    let mut wrong = Vec::new();
    let mut cases: Vec<_> = fs::read_dir(folders).unwrap().map(|case| case.unwrap().path()).collect();
    cases.sort();
    for case in cases {
        let said = said_about(&case);
        let expected = case.join("expected.txt");
        if std::env::var_os("UPDATE").is_some() {
            fs::write(&expected, &said).unwrap();
        } else if fs::read_to_string(&expected).unwrap_or_default() != said {
            wrong.push(format!("{}:\n{said}", case.display()));
        }
    }
    assert!(wrong.is_empty(), "these differ from their expected.txt:\n{}", wrong.join("\n"));
}
