//! A file in the form of an earlier anklume, and the edits that bring it to the form of this one: of as few words as that
//! takes, everything else and every comment kept.

use std::collections::BTreeMap;
use std::path::Path as File;

use super::edit::Splice;
use super::files::Text;
use super::model::Addressing;
use super::problem::{Problem, Spot};
use super::rewrite::{Change, Edited};
use super::rules::zone;
use super::source::Sources;
use super::{Failure, Loaded, load, load_texts};

/// The file as it means in the form of this anklume, and what has to be written for it.
#[derive(Debug, Clone)]
pub(crate) struct Older {
    pub(crate) loaded: Loaded,
    pub(crate) changes: Vec<Change>,
    /// The lines that go and come, for people.
    pub(crate) shown: String,
}

/// Reads the file, also where it is right only in an older form: with `yes` and `no` for `true` and `false`, or with numbers
/// in quotes, as YAML and its readers took them once.
///
/// # Errors
/// What is wrong with it in any form.
pub(crate) fn older(path: Option<&File>) -> Result<Older, Failure> {
    let failure = match load(path) {
        Ok(loaded) => return Ok(Older { loaded, changes: Vec::new(), shown: String::new() }),
        Err(failure) => failure,
    };
    let edited = match &failure {
        Failure::Invalid { problems, sources } => corrected(problems, sources),
        Failure::Unreadable { .. } => None,
    };
    edited.ok_or(failure)
}

/// The file with each word in its newer form; nothing where it is not right then.
fn corrected(problems: &[Problem], sources: &Sources) -> Option<Older> {
    let mut splices: Vec<Splice> = Vec::new();
    for problem in problems {
        let Some(instead) = &problem.instead else { continue };
        let splice = Splice::new(sources.place(&problem.path.0, Spot::Value), instead);
        // What an anchor stands for is wrong wherever it is used.
        if !splices.contains(&splice) {
            splices.push(splice);
        }
    }
    let texts: Vec<String> =
        sources.files.iter().enumerate().map(|(at, file)| Splice::all(&splices, at, &file.text)).collect();
    let all = || sources.files.iter().zip(&texts);
    let again = all().map(|(file, content)| Text {
        role: file.role,
        name: file.name.clone(),
        content: content.clone(),
        wrong: None,
    });
    let loaded = load_texts(sources.name.clone(), again.collect(), Vec::new()).ok()?;
    let change = |(file, after): (&super::source::Source, &String)| Change {
        file: file.name.clone(),
        before: file.text.clone(),
        after: after.clone(),
    };
    let changes = all().map(change).filter(|change| change.before != change.after).collect();
    Some(Older { loaded, changes, shown: sources.shown(&splices) })
}

impl Older {
    /// The same with one more edit.
    pub(crate) fn then(self, edited: Edited) -> Self {
        let mut changes: BTreeMap<String, Change> =
            self.changes.into_iter().map(|change| (change.file.clone(), change)).collect();
        for change in edited.changes {
            let before = changes.get(&change.file).map_or(change.before, |earlier| earlier.before.clone());
            changes.insert(change.file.clone(), Change { before, ..change });
        }
        let shown = self.shown + &edited.shown;
        Self { loaded: edited.loaded, changes: changes.into_values().collect(), shown }
    }
}

impl Loaded {
    /// Where `base_subnet` stands.
    pub(crate) fn older_addressing(&self) -> Option<String> {
        let is_older = matches!(self.infra.global.addressing, Addressing::BaseSubnet(..));
        is_older.then(|| self.sources.line(&super::problem::Path::of(["global", "base_subnet"]))).flatten()
    }

    /// The file with `addressing` in the place of `base_subnet`, where one way of it gives each domain the same network:
    /// all of them have one trust level. Whether everything else is the same then is for the caller to see.
    pub(crate) fn with_addressing(&self) -> Option<Edited> {
        let Addressing::BaseSubnet(10, second) = self.infra.global.addressing else { return None };
        let mut levels = self.infra.domains.values().map(|domain| domain.trust_level);
        let level = levels.next()?;
        if levels.any(|other| other != level) {
            return None;
        }
        let base = (0..=245).find(|base| zone(*base, STEP, level) == u32::from(second))?;
        let mut wanted = self.infra.clone();
        wanted.global.addressing = Addressing::Zones { base, step: STEP };
        let written = format!("addressing: {{zone_base: {base}}}");
        let splices = self.sources.pair(&["global", "base_subnet"], &written)?;
        self.edited(&wanted, [Some(vec![splices])])
    }
}

/// The step between zones where the file has none.
const STEP: u8 = 10;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::infra::sample::load_text;

    fn of(text: &str) -> Result<Older, Failure> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("infra.yml");
        std::fs::write(&path, text).unwrap();
        older(Some(&path))
    }

    const OLD: &str = "\
project_name: old   # a comment
global: {base_subnet: \"10.120\"}
x-shared: &shared
  ephemeral: yes
domains:
  pro:
    subnet_id: \"7\"
    <<: *shared
    machines:
      # The first one.
      dev: {ip: 10.120.7.1, gpu: off, boot_autostart: On}
  lab:
    subnet_id: 8
    <<: *shared
";

    #[test]
    fn words_of_older_yaml_become_those_of_this_one_and_nothing_else_changes() {
        let older = of(OLD).unwrap();
        let [change] = older.changes.as_slice() else { panic!("one file: {:?}", older.changes) };
        let mut expected = OLD.replace("ephemeral: yes", "ephemeral: true").replace("\"7\"", "7");
        expected = expected.replace("gpu: off, boot_autostart: On", "gpu: false, boot_autostart: true");
        assert_eq!((&change.before, &change.after), (&OLD.to_owned(), &expected));
        assert!(older.shown.contains("infra.yml:4\n  -   ephemeral: yes\n  +   ephemeral: true\n"), "{}", older.shown);
        assert!(older.loaded.infra.domains["lab"].ephemeral);
        let again = of(&expected).unwrap();
        assert_eq!((again.changes.len(), again.shown.as_str()), (0, ""), "there is nothing more to do");
    }

    #[test]
    fn what_is_wrong_in_any_form_is_told_as_ever() {
        let wrong = OLD.replace("machines:", "machine:");
        let Err(Failure::Invalid { problems, .. }) = of(&wrong) else { panic!("it is wrong") };
        assert!(problems.iter().any(|problem| problem.message.contains("`machine`")));
    }

    #[test]
    fn the_older_addressing_becomes_the_newer_one_where_no_network_moves() {
        let loaded = |text: &str| load_text(text).unwrap_or_else(|failure| panic!("{failure:?}"));
        let right = of(OLD).unwrap();
        let older = right.loaded.with_addressing().unwrap();
        assert_eq!(
            older.shown.lines().skip(1).collect::<Vec<_>>(),
            ["  - global: {base_subnet: \"10.120\"}", "  + global: {addressing: {zone_base: 100}}"]
        );
        let both = right.clone().then(older);
        assert_eq!((both.changes.len(), &both.changes[0].before), (1, &OLD.to_owned()));
        assert!(both.changes[0].after.contains("zone_base: 100") && both.changes[0].after.contains("ephemeral: true"));
        let of = |level: &str, base: &str| {
            let text = format!(
                "project_name: x\nglobal:\n  base_subnet: \"{base}\"   # ours\ndomains:\n  a: {{subnet_id: 1, trust_level: {level}}}\n"
            );
            let edited = loaded(&text).with_addressing();
            edited.map(|edited| edited.changes[0].after.lines().nth(2).unwrap().to_owned())
        };
        assert_eq!(of("admin", "10.77").as_deref(), Some("  addressing: {zone_base: 77}   # ours"));
        assert_eq!(of("disposable", "10.77").as_deref(), Some("  addressing: {zone_base: 27}   # ours"));
        assert_eq!(of("admin", "192.168"), None);
        assert_eq!(of("disposable", "10.20"), None, "no zone lies so low");
    }
}
