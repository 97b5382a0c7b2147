//! Every example that users are shown is good.

use std::path::{Path, PathBuf};

use super::{Failure, Loaded, draw, host_rules, load};
use crate::host::facts::Facts;
use crate::resolve::{Holds, resolve};

/// Every `infra.yml` and `infra/` that comes with anklume.
fn examples() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut all = vec![root.join("infra.example.yml")];
    for folder in root.join("examples").read_dir().unwrap() {
        let folder = folder.unwrap().path();
        all.extend(["infra.yml", "infra"].map(|name| folder.join(name)).into_iter().filter(|path| path.exists()));
    }
    all
}

fn good(path: &Path) -> Loaded {
    match load(Some(path)) {
        Ok(loaded) => {
            assert_eq!(
                draw(&loaded.problems, &loaded.sources, false, 120),
                format!("no problems in {}\n", loaded.sources.name)
            );
            loaded
        }
        Err(Failure::Invalid { problems, sources }) => panic!("{}", draw(&problems, &sources, false, 120)),
        Err(Failure::Unreadable { message, .. }) => panic!("{message}"),
    }
}

#[test]
fn every_example_is_good() {
    let examples = examples();
    assert_eq!(examples.len(), 7);
    for example in examples {
        let loaded = good(&example);
        assert_eq!(host_rules(&loaded.infra, &Facts::default()), []);
        let (_, problems) = resolve(&loaded.infra, &Facts::default(), &Holds::default());
        assert!(problems.is_empty(), "{}", draw(&problems, &loaded.sources, false, 120));
    }
}
