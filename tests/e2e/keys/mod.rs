//! Every key of the language has its effect: one file that has them all is applied, and each is read back from Incus,
//! the guest, the kernel or the files of Ansible. Without the key, the plan or these files are others.

mod effects;
mod written;

use effects::{ELSEWHERE, EVERYTHING, Effect, Seen};
use written::{Written, pattern};

use crate::harness::{Bed, Output};

const FILE: &str = include_str!("everything.yml");
const FILE_ELSEWHERE: &str = include_str!("elsewhere.yml");

/// Whose effect is not in a plan that is made without Incus.
const NOT_IN_A_PLAN: [&str; 5] = [
    // Only 10 can be written.
    "global.addressing.base_octet",
    // This version is one of those.
    "requires_anklume",
    // A repository is asked where images are missing.
    "global.image_repository",
    // `mode: equal` counts none; the machine's own effect is looked at with another one.
    "domains.pro.machines.passing.weight",
    // Asked by `status` and after an upgrade.
    "domains.pro.machines.dev.health",
];

#[test]
fn every_key_of_the_language_is_seen_in_incus_the_guest_or_the_kernel() {
    let bed = Bed::up();
    bed.sh("incus storage create second btrfs size=3GiB -q </dev/null || incus storage create second dir -q </dev/null
            mkdir -p /etc/anklume /srv/images /srv/docs; touch /srv/docs/f; echo 1 > /etc/anklume/absolute_level")
        .ok();
    bed.infra(FILE);
    bed.anklume(&["image", "export"]);
    bed.sh("for image in debian/13 alpine/3.20; do incus image delete anklume/images/$image </dev/null; done").ok();
    bed.apply(&[]);
    bed.plan_is_empty();
    bed.anklume(&["sync"]);
    bed.wait_for_guests(&[("pro", "dev", "10.63.7.70"), ("home", "tv", "10.66.1.1")]);
    let wrong: Vec<String> = EVERYTHING.iter().filter_map(|effect| missing(&bed, effect)).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// What is wrong with an effect.
fn missing(bed: &Bed, (key, seen, expected): &Effect) -> Option<String> {
    let found = match seen {
        Seen::Incus(path, at) => {
            let value = bed.incus(path).pointer(at).cloned().unwrap_or_default();
            value.as_str().map_or_else(|| value.to_string(), str::to_owned)
        }
        Seen::Guest(place, script) => {
            let (project, machine) = place.split_once('/').unwrap();
            bed.guest(project, machine, script).stdout
        }
        Seen::Host(script) => bed.sh(script).stdout,
    };
    let found = found.trim();
    (found != *expected).then(|| format!("{key}: {seen:?} is `{found}` and not `{expected}`"))
}

#[test]
fn every_key_that_cannot_be_applied_here_is_seen_in_the_plan() {
    let bed = Bed::bare(&["--no-incus"]).unwrap();
    bed.sh("mkdir -p /etc/anklume; echo 1 > /etc/anklume/absolute_level").ok();
    bed.infra(FILE_ELSEWHERE);
    let plan = bed.anklume(&["plan", "--offline"]);
    for (_, text) in ELSEWHERE {
        let _ = plan.clone().says(&[text]);
    }
    for (file, text) in [("everything.yml", FILE), ("elsewhere.yml", FILE_ELSEWHERE)] {
        without_it_the_plan_is_another(&bed, file, text);
    }
}

/// Each key is taken out of the file in turn.
fn without_it_the_plan_is_another(bed: &Bed, name: &str, text: &str) {
    let whole = Written::read(text);
    let plan = |file: &str| bed.try_anklume(&["-f", file, "plan", "--offline", "--commands"]);
    bed.write(name, text);
    let with_all = plan(name).ok();
    let same = |other: &Output| other.code == 0 && other.stdout == with_all.stdout && other.stderr == with_all.stderr;
    // The files are as the whole file says.
    bed.anklume(&["-f", name, "sync", "--offline"]);
    let in_files = |file: &str| bed.try_anklume(&["-f", file, "sync", "--offline", "--check"]).code == 1;
    let idle: Vec<String> = whole
        .keys()
        .into_iter()
        .filter(|key| !NOT_IN_A_PLAN.contains(&key.as_str()))
        .filter(|key| {
            bed.write(name, &whole.without(key));
            same(&plan(name)) && !in_files(name)
        })
        .collect();
    assert!(idle.is_empty(), "the plan and the files are the same without: {}", idle.join(", "));
}

#[test]
fn no_key_is_without_a_line_that_says_what_it_does() {
    let told = EVERYTHING.iter().map(|(key, ..)| *key).chain(ELSEWHERE.iter().map(|(key, _)| *key));
    let told: Vec<String> = told.map(pattern).collect();
    for text in [FILE, FILE_ELSEWHERE] {
        let untold: Vec<String> =
            Written::read(text).keys().into_iter().filter(|key| !told.contains(&pattern(key))).collect();
        assert!(untold.is_empty(), "nothing says what these do: {}", untold.join(", "));
    }
}
