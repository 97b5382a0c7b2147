//! The storage pool of each project, and pools that the file names and Incus does not have.

use super::{Ground, Holds, domain_path, enabled, machine_path};
use crate::infra::model::{Devices, Infra};
use crate::infra::problem::{Path, Problem};

/// The pool for the root disks of a project.
pub(super) fn of_project(infra: &Infra, holds: &Holds, project: &str) -> String {
    let only = || match holds.pools.as_slice() {
        [only] => Some(only.clone()),
        _ => None,
    };
    let written = infra.global.default_pool.clone();
    let standing = || holds.root_pools.get(project).cloned();
    let by_name = || holds.pools.iter().find(|pool| *pool == "default").cloned();
    written.or_else(standing).or_else(by_name).or_else(only).unwrap_or_else(|| "default".into())
}

/// Pools that are not there, and a choice that only the user can make.
pub(super) fn check(ground: Ground<'_>) -> Vec<Problem> {
    let Ground { infra, holds, .. } = ground;
    if holds.pools.is_empty() {
        return Vec::new();
    }
    let mut problems: Vec<Problem> = named(infra)
        .into_iter()
        .filter(|(_, pool)| !holds.pools.iter().any(|there| there == pool))
        .map(|(path, pool)| unknown(path, pool, holds))
        .collect();
    problems.extend(undecided(ground));
    problems
}

/// Every pool that the file names, and where.
fn named(infra: &Infra) -> Vec<(Path, &str)> {
    let mut named = Vec::new();
    if let Some(pool) = &infra.global.default_pool {
        named.push((Path::of(["global", "default_pool"]), pool.as_str()));
    }
    for (name, domain) in enabled(infra) {
        for (profile, written) in &domain.profiles {
            named.extend(of_devices(&domain_path(name).to("profiles").to(profile), &written.devices));
        }
        for (machine, written) in &domain.machines {
            let path = machine_path(name, machine);
            named.extend(of_devices(&path, &written.devices));
            named.extend(written.storage_volumes.iter().filter_map(|(volume, written)| {
                Some((path.to("storage_volumes").to(volume).to("pool"), written.pool.as_deref()?))
            }));
        }
    }
    named
}

fn of_devices<'a>(path: &Path, devices: &'a Devices) -> Vec<(Path, &'a str)> {
    let disks = devices.iter().filter(|(_, keys)| keys.get("type").is_some_and(|kind| kind == "disk"));
    disks
        .filter_map(|(name, keys)| Some((path.to("devices").to(name).to("pool"), keys.get("pool")?.as_str())))
        .collect()
}

fn unknown(path: Path, pool: &str, holds: &Holds) -> Problem {
    Problem::error(path, format!("there is no storage pool `{pool}`")).help(format!("write {}", choice(holds)))
}

/// Several pools, none of them called `default`, and a project that stands on none of them yet.
fn undecided(ground: Ground<'_>) -> Option<Problem> {
    let Ground { infra, names, holds, .. } = ground;
    let decided = infra.global.default_pool.is_some()
        || holds.pools.len() < 2
        || holds.pools.iter().any(|pool| pool == "default")
        || enabled(infra).all(|(name, _)| holds.root_pools.contains_key(&names.project(name)));
    if decided {
        return None;
    }
    let message = format!("there are {} storage pools, none of them called `default`", holds.pools.len());
    let help = format!("write `default_pool: NAME` under `global`, with {}", choice(holds));
    Some(Problem::error(Path::of(["global"]), message).at_key().help(help))
}

fn choice(holds: &Holds) -> String {
    let quoted: Vec<String> = holds.pools.iter().map(|pool| format!("`{pool}`")).collect();
    match quoted.split_last() {
        Some((last, [])) => last.clone(),
        Some((last, rest)) => format!("{} or {last}", rest.join(", ")),
        None => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::facts::Facts;
    use crate::resolve::names::Names;
    use crate::resolve::sample::{domain, infra, keys, machine, named as map, profile};

    fn problems_of(infra: &Infra, holds: &Holds) -> Vec<Problem> {
        check(Ground { infra, names: &Names::default(), holds, facts: &Facts::default() })
    }

    fn with_pools(pools: &[&str]) -> Holds {
        Holds { pools: pools.iter().map(ToString::to_string).collect(), ..Holds::default() }
    }

    #[test]
    fn the_written_pool_wins_then_the_standing_one_then_default_then_the_only_one() {
        let mut infra = infra([("pro", domain([]))]);
        let mut holds = with_pools(&["fast", "default"]);
        assert_eq!(of_project(&infra, &holds, "pro"), "default");
        holds.root_pools.insert("pro".into(), "fast".into());
        assert_eq!(of_project(&infra, &holds, "pro"), "fast");
        infra.global.default_pool = Some("default".into());
        assert_eq!(of_project(&infra, &holds, "pro"), "default");
        infra.global.default_pool = None;
        assert_eq!(of_project(&infra, &with_pools(&["only"]), "pro"), "only");
        assert_eq!(of_project(&infra, &Holds::default(), "pro"), "default");
    }

    #[test]
    fn several_pools_and_none_called_default_is_the_users_choice() {
        let infra = infra([("pro", domain([]))]);
        let problems = problems_of(&infra, &with_pools(&["fast", "big"]));
        assert_eq!(problems.len(), 1);
        assert_eq!(problems[0].path.to_string(), "global");
        assert!(problems[0].help.as_ref().unwrap().contains("`fast` or `big`"));
        assert_eq!(problems_of(&infra, &with_pools(&["fast", "default"])), []);
        assert_eq!(problems_of(&infra, &with_pools(&["fast"])), []);
    }

    #[test]
    fn projects_that_all_have_their_pool_leave_nothing_to_choose() {
        let infra = infra([("pro", domain([]))]);
        let mut holds = with_pools(&["fast", "big"]);
        holds.root_pools.insert("pro".into(), "fast".into());
        assert_eq!(problems_of(&infra, &holds), []);
    }

    #[test]
    fn a_pool_that_is_not_there_is_a_problem_at_each_place_that_names_it() {
        let disk = keys([("type", "disk"), ("path", "/data"), ("pool", "gone")]);
        let mut pro = domain([("web", machine())]);
        pro.profiles = map([("big", profile([("data", disk.clone())]))]);
        pro.machines["web"].devices = map([("data", disk)]);
        let mut infra = infra([("pro", pro)]);
        infra.global.default_pool = Some("lost".into());
        let problems = problems_of(&infra, &with_pools(&["default"]));
        let places: Vec<String> = problems.iter().map(|problem| problem.path.to_string()).collect();
        let expected = [
            "global.default_pool",
            "domains.pro.profiles.big.devices.data.pool",
            "domains.pro.machines.web.devices.data.pool",
        ];
        assert_eq!(places, expected);
        assert_eq!(problems_of(&infra, &Holds::default()), [], "offline, no pool is known");
    }
}
