//! What is imported, and how it is called in the file.

use std::collections::{BTreeMap, BTreeSet};

use super::scene::Scene;
use crate::failure::Hinted;
use crate::plan::{Id, Kind};
use crate::resolve::names::Names;
use crate::resources::Found;

/// What was named on the command line.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Asked {
    /// Incus projects; with no instances either: all but `default`.
    pub(crate) projects: Vec<String>,
    /// Instances of the project `default`.
    pub(crate) instances: Vec<String>,
}

/// What the file is to be about.
pub(super) struct Scope {
    /// `project_name`.
    pub(super) infra: String,
    /// That name stands on what is imported.
    pub(super) is_marked: bool,
    pub(super) nesting_prefix: bool,
    pub(super) names: Names,
    /// Domain and project, by domain.
    pub(super) domains: BTreeMap<String, String>,
    /// Instances of `default`, each of which is to have a domain of its own.
    pub(super) strangers: Vec<String>,
    /// Projects of the same infrastructure that are not imported.
    pub(super) rest: Vec<String>,
    /// Projects that no domain can stand for, and why.
    pub(super) refused: Vec<(String, String)>,
}

/// What a file is called that nothing has a name for yet.
const UNNAMED: &str = "imported";

impl Scope {
    pub(super) fn new(scene: &Scene<'_>, asked: &Asked) -> Result<Self, Hinted> {
        let projects = projects(scene, asked)?;
        for name in &asked.instances {
            if scene.found(&Id::within(Kind::Instance, "default", name)).is_none() {
                let message = format!("the project `default` has no instance `{name}`");
                return Err(Hinted::new(message, "`incus list --project default` shows those that it has"));
            }
        }
        let owner = owner(scene, &projects)?;
        let prefix = Names::new(true, scene.facts).project("");
        let nesting_prefix = prefix.is_empty() || projects.iter().any(|name| name.starts_with(&prefix));
        let mut scope = Self {
            is_marked: owner.is_some(),
            infra: owner.unwrap_or_else(|| UNNAMED.into()),
            nesting_prefix,
            names: Names::new(nesting_prefix, scene.facts),
            domains: BTreeMap::new(),
            strangers: asked.instances.clone(),
            rest: Vec::new(),
            refused: Vec::new(),
        };
        let of_owner =
            |found: &&Found| scope.is_marked && found.marks.as_ref().is_some_and(|marks| marks.infra == scope.infra);
        let rest = scene.all(Kind::Project).filter(of_owner).map(|found| found.id.name.clone());
        scope.rest = rest.filter(|name| !projects.contains(name)).collect();
        for project in projects {
            let name = if nesting_prefix { project.strip_prefix(&prefix) } else { Some(project.as_str()) };
            if let Some(name) = name.filter(|name| !name.is_empty()) {
                scope.domains.insert(name.to_owned(), project);
            } else {
                let why = format!("on this host the names of domains begin with `{prefix}` in Incus");
                scope.refused.push((project, why));
            }
        }
        Ok(scope)
    }
}

fn projects(scene: &Scene<'_>, asked: &Asked) -> Result<Vec<String>, Hinted> {
    let all: Vec<String> = scene.all(Kind::Project).map(|found| found.id.name.clone()).collect();
    if let Some(name) = asked.projects.iter().find(|name| !all.contains(name)) {
        return Err(if name == "default" {
            Hinted::new(
                "the Incus project `default` is never anklume's",
                "name the instances of it that are to go into a domain: `--project default:NAME`",
            )
        } else {
            Hinted::new(format!("there is no Incus project `{name}`"), "`incus project list` shows them")
        });
    }
    let chosen =
        |name: &String| asked.projects.contains(name) || (asked.projects.is_empty() && asked.instances.is_empty());
    Ok(all.into_iter().filter(chosen).collect())
}

/// Whose mark is on them.
fn owner(scene: &Scene<'_>, projects: &[String]) -> Result<Option<String>, Hinted> {
    let found = projects.iter().filter_map(|name| scene.project(name));
    let marked = found.filter_map(|found| Some((found.marks.as_ref()?.infra.as_str(), found.id.name.as_str())));
    let mut owners: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for (infra, project) in marked {
        owners.entry(infra).or_default().insert(project);
    }
    if owners.len() < 2 {
        return Ok(owners.into_keys().next().map(str::to_owned));
    }
    let named = |(infra, projects): (&&str, &BTreeSet<&str>)| {
        let projects: Vec<&str> = projects.iter().copied().collect();
        format!("`{infra}` has {}", projects.join(", "))
    };
    let message = format!(
        "several infrastructures are on this host: {}",
        owners.iter().map(named).collect::<Vec<_>>().join("; ")
    );
    Err(Hinted::new(message, "a file is about one of them: name its projects, each with `--project NAME`"))
}
