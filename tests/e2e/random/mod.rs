//! Random files, one after the other on one host: every one of them converges, from whatever there was before.

mod file;

use std::collections::BTreeSet;

use crate::harness::Bed;
use crate::import;
use file::Dice;

/// `ANKLUME_RANDOM_FILES` files, twenty unless said; `ANKLUME_RANDOM_SEED` picks others. Of `ANKLUME_RANDOM_IMPORTS`
/// one is imported too, each of them unless said.
fn asked(variable: &str, default: u64) -> u64 {
    std::env::var(variable).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

/// Protected machines and all volumes: what no change of a file may delete.
fn kept(bed: &Bed) -> BTreeSet<String> {
    let mut kept = BTreeSet::new();
    for machine in bed.incus("/1.0/instances?recursion=1&all-projects=true").as_array().unwrap() {
        if machine["config"]["security.protection.delete"] == "true" {
            kept.insert(format!("{}/{}", machine["project"].as_str().unwrap(), machine["name"].as_str().unwrap()));
        }
    }
    for volume in
        bed.incus("/1.0/storage-pools/default/volumes/custom?recursion=1&all-projects=true").as_array().unwrap()
    {
        kept.insert(format!("{}/volume {}", volume["project"].as_str().unwrap(), volume["name"].as_str().unwrap()));
    }
    kept
}

#[test]
fn from_any_file_to_any_other_an_apply_leaves_nothing_to_do() {
    let (files, seed) = (asked("ANKLUME_RANDOM_FILES", 20), asked("ANKLUME_RANDOM_SEED", 1));
    let one_in = asked("ANKLUME_RANDOM_IMPORTS", 1).max(1);
    let bed = Bed::up();
    for number in 0..files {
        let text = file::random(&mut Dice::new(seed.wrapping_mul(1000) + number));
        bed.infra(&text);
        let before = kept(&bed);
        let told = format!("file {number} of seed {seed}:\n{text}");
        let applied = bed.try_anklume(&["apply", "--yes", "--prune", "--restart"]);
        let plan = bed.try_anklume(&["plan", "--detailed-exitcode", "--prune", "--restart"]);
        assert!(applied.code == 0 && plan.code == 0, "{told}\n{applied}\n{plan}");
        let lost: Vec<_> = before.difference(&kept(&bed)).cloned().collect();
        // What the new file itself calls ephemeral is no longer protected, and is still there.
        let lost: Vec<_> = lost.into_iter().filter(|name| !still_there(&bed, name)).collect();
        assert!(lost.is_empty(), "lost {lost:?}\n{told}\n{applied}");
        let is_last = number == files - 1;
        if is_last || number % one_in == one_in - 1 {
            imports_itself(&bed, &told, is_last);
        }
    }
}

/// The file that is imported from what was made says the same; without marks too.
fn imports_itself(bed: &Bed, told: &str, bare: bool) {
    let (said, plan) = import::imported(bed, &[]);
    let wrong = import::changes(&plan);
    assert!(wrong.is_empty(), "{wrong:#?}\n{told}\n{said}\n{}", import::file(bed));
    // What left the file before, and what is disabled, stands as well, and the table may say something else of it.
    let left_over = bed.plan(&[]).held().iter().any(|held| !held.starts_with("kept"));
    if !left_over && !told.contains("enabled: false") {
        // What stands beside has no bridge: it is in no file.
        let _ = said.says(&["left out, as comments with the reason: domain mine\n"]);
        assert_eq!(plan.actions(), Vec::<String>::new(), "{told}\n{}\n{:#}", import::file(bed), plan.0);
    }
    if bare {
        import::strip(bed);
        let (said, plan) = import::imported(bed, &[]);
        let wrong = import::changes(&plan);
        assert!(wrong.is_empty(), "{wrong:#?}\n{told}\n{said}\n{}", import::file(bed));
        // The marks of the file that it was come back.
        let adopted = import::file(bed).replacen("project_name: imported", "project_name: random", 1);
        bed.write("imported.yml", &adopted);
        bed.anklume(&["-f", "imported.yml", "apply", "--yes"]);
        bed.anklume(&["-f", "imported.yml", "plan", "--detailed-exitcode"]);
    }
}

fn still_there(bed: &Bed, name: &str) -> bool {
    let (project, machine) = name.split_once('/').unwrap();
    bed.has(&format!("/1.0/instances/{machine}?project={project}"))
}
