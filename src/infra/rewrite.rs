//! The file with a machine in another domain, once more, or on another pool: edited in as few lines as that takes, its
//! comments kept, and read again to see that it says just what it is to say.

use super::edit::Splice;
use super::files::Text;
use super::model::{Config, Infra, Machine};
use super::problem::{Level, Problem};
use super::source::Source;
use super::{Loaded, emit, load_texts, rules};
use crate::host::files;

/// What is to be written in a file, in the place of what was read from it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Change {
    /// As the user calls the file.
    pub(crate) file: String,
    pub(crate) before: String,
    pub(crate) after: String,
}

/// The infrastructure as it is to be, and what makes the files say so; nothing where they do already.
#[derive(Debug, Clone)]
pub(crate) struct Edited {
    pub(crate) loaded: Loaded,
    pub(crate) changes: Vec<Change>,
    /// The lines that go and come, for people.
    pub(crate) shown: String,
}

impl Edited {
    /// Where the files say so already.
    pub(crate) fn nothing(loaded: &Loaded) -> Self {
        Self { loaded: loaded.clone(), changes: Vec::new(), shown: String::new() }
    }
}

impl Change {
    /// Writes the file: as a whole or not at all, for the same people as before, and never over what somebody wrote in
    /// the meantime.
    pub(crate) fn write(&self) -> std::io::Result<()> {
        files::replace(self.file.as_ref(), Some(self.before.as_bytes()), self.after.as_bytes(), 0o644)
    }
}

/// Why the file cannot be edited.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// It would break these rules.
    Wrong(Vec<Problem>),
    /// It is written in a way that only its author can change; what to write where.
    ByHand(String),
}

impl Infra {
    /// The domain that a machine is written in.
    pub(crate) fn domain_of(&self, machine: &str) -> Option<&str> {
        let mut domains = self.domains.iter();
        domains.find(|(_, domain)| domain.machines.contains_key(machine)).map(|(name, _)| name.as_str())
    }

    /// The same with one more machine, which has no address of its own: one of another network would be none of this
    /// one, and one of another machine would be taken.
    fn with_machine(mut self, name: &str, machine: Machine, domain: &str) -> Self {
        if let Some(domain) = self.domains.get_mut(domain) {
            domain.machines.insert(name.to_owned(), Machine { ip: None, ..machine });
        }
        self
    }

    /// The same with a machine's root disk and volumes on a pool.
    fn with_machine_on(mut self, name: &str, pool: &str) -> Self {
        let machine = self.domains.values_mut().find_map(|domain| domain.machines.get_mut(name));
        if let Some(machine) = machine {
            let root = root_device(machine);
            for (key, value) in [("type", "disk"), ("path", "/"), ("pool", pool)] {
                machine.devices.entry(root.clone()).or_default().insert(key.to_owned(), value.to_owned());
            }
            machine.storage_volumes.values_mut().for_each(|volume| volume.pool = Some(pool.to_owned()));
        }
        self
    }

    fn errors(&self) -> Vec<Problem> {
        rules::check(self).into_iter().filter(|problem| problem.level == Level::Error).collect()
    }
}

/// What a machine calls its root disk, or is to call it.
fn root_device(machine: &Machine) -> String {
    let is_root = |keys: &Config| keys.get("path").is_some_and(|path| path == "/");
    let written = machine.devices.iter().find(|(_, keys)| is_root(keys));
    written.map_or_else(|| "root".to_owned(), |(name, _)| name.clone())
}

impl Loaded {
    /// The file with a machine of it in another domain.
    pub(crate) fn moved(&self, name: &str, to: &str) -> Result<Edited, Refusal> {
        let from = self.infra.domain_of(name).unwrap_or_default();
        if from == to {
            return Ok(Edited::nothing(self));
        }
        let mut wanted = self.infra.clone();
        let machine = wanted.domains.get_mut(from).and_then(|domain| domain.machines.shift_remove(name));
        let wanted = machine.map_or(self.infra.clone(), |machine| wanted.with_machine(name, machine, to));
        let removal = || self.sources.removal(from, name);
        let verbatim = || {
            let insertion = self.sources.insertion(to, |depth| self.sources.verbatim(from, name, name, true, depth));
            Some([removal()?, insertion?].concat())
        };
        let emitted = || {
            let entry = self.entry(from, name)?;
            let insertion = self.sources.insertion(to, |depth| Some(under_name(name, &entry, depth)));
            Some([removal()?, insertion?].concat())
        };
        self.edited(&wanted, [verbatim(), emitted()]).ok_or_else(|| self.refusal(&wanted)).map_err(|refusal| {
            refusal.unwrap_or_else(|| {
                let place = self.sources.lines(&["domains", from, "machines", name]);
                let place = place.map(|lines| format!(", {lines},")).unwrap_or_default();
                Refusal::ByHand(format!(
                    "move the entry of `{name}`{place} to the `machines` of `{to}`, without an `ip`, then type \
                     `anklume move {name}`"
                ))
            })
        })
    }

    /// The file with a machine of it once more, under another name.
    pub(crate) fn copied(&self, name: &str, new: &str, to: &str) -> Result<Edited, Refusal> {
        let from = self.infra.domain_of(name).unwrap_or_default();
        let Some(machine) = self.infra.domains.get(from).and_then(|domain| domain.machines.get(name)) else {
            return Err(Refusal::ByHand(format!("write `{name}` in the file first")));
        };
        let wanted = self.infra.clone().with_machine(new, machine.clone(), to);
        let verbatim = self.sources.insertion(to, |depth| self.sources.verbatim(from, name, new, false, depth));
        let entry = self.entry(from, name).unwrap_or_default();
        let emitted = self.sources.insertion(to, |depth| Some(under_name(new, &entry, depth)));
        self.edited(&wanted, [verbatim, emitted])
            .ok_or_else(|| self.refusal(&wanted).unwrap_or_else(|| self.to_be_added(to, new, &entry)))
    }

    /// The file with a machine that such an entry describes.
    pub(crate) fn added(&self, entry: &str, name: &str, to: &str) -> Result<Edited, Refusal> {
        let machine = machine_of(entry).map_err(|why| Refusal::ByHand(format!("its entry cannot be read: {why}")))?;
        let wanted = self.infra.clone().with_machine(name, machine, to);
        let emitted = self.sources.insertion(to, |depth| Some(under_name(name, entry, depth)));
        self.edited(&wanted, [emitted])
            .ok_or_else(|| self.refusal(&wanted).unwrap_or_else(|| self.to_be_added(to, name, entry)))
    }

    /// The file with a machine's root disk and volumes on a pool.
    pub(crate) fn on_pool(&self, name: &str, pool: &str) -> Result<Edited, Refusal> {
        let domain = self.infra.domain_of(name).unwrap_or_default();
        let wanted = self.infra.clone().with_machine_on(name, pool);
        let splices = || {
            let machine = self.infra.domains.get(domain)?.machines.get(name)?;
            let at = ["domains", domain, "machines", name];
            let (root, keys) = (root_device(machine), format!("{{type: disk, path: /, pool: {pool}}}"));
            let mut splices = vec![match machine.devices.contains_key(&root) {
                true => self.sources.set(&[&at[..], &["devices", &root]].concat(), "pool", pool)?,
                false if machine.devices.is_empty() => {
                    self.sources.set(&at, "devices", &format!("{{{root}: {keys}}}"))?
                }
                false => self.sources.set(&[&at[..], &["devices"]].concat(), &root, &keys)?,
            }];
            for volume in machine.storage_volumes.keys() {
                splices.push(self.sources.set(&[&at[..], &["storage_volumes", volume]].concat(), "pool", pool)?);
            }
            Some(splices)
        };
        self.edited(&wanted, [splices()]).ok_or_else(|| {
            self.refusal(&wanted).unwrap_or_else(|| {
                Refusal::ByHand(format!(
                    "write `pool: {pool}` in the root disk of `{name}` under `devices`, and in each of its \
                     `storage_volumes`, then type `anklume move {name} --pool {pool}` again"
                ))
            })
        })
    }

    /// A machine's entry as YAML, without an address of its own and with everything that its anchors stand for; nothing
    /// where the file does not have it.
    pub(crate) fn entry(&self, domain: &str, machine: &str) -> Option<String> {
        let node = self.sources.find(&["domains", domain, "machines", machine])?;
        Some(emit::yaml(&node.value.without_address()).trim_start_matches(' ').to_owned())
    }

    /// The first of these edits that makes the file say what is wanted.
    pub(super) fn edited(
        &self,
        wanted: &Infra,
        edits: impl IntoIterator<Item = Option<Vec<Splice>>>,
    ) -> Option<Edited> {
        if *wanted == self.infra {
            return Some(Edited::nothing(self));
        }
        edits.into_iter().flatten().find_map(|splices| {
            let files = &self.sources.files;
            let texts: Vec<String> =
                files.iter().enumerate().map(|(at, file)| Splice::all(&splices, at, &file.text)).collect();
            let of = |(file, content): (&Source, &String)| Text {
                role: file.role,
                name: file.name.clone(),
                content: content.clone(),
                wrong: None,
            };
            let again = files.iter().zip(&texts).map(of).collect();
            let loaded = load_texts(self.sources.name.clone(), again, Vec::new()).ok()?;
            let change = |(file, after): (&Source, String)| {
                let (name, before) = (file.name.clone(), file.text.clone());
                (before != after).then_some(Change { file: name, before, after })
            };
            let shown = self.sources.shown(&splices);
            let changes = files.iter().zip(texts).filter_map(change).collect();
            (loaded.infra == *wanted).then_some(Edited { loaded, changes, shown })
        })
    }

    /// The rules that such a file would break.
    fn refusal(&self, wanted: &Infra) -> Option<Refusal> {
        let known = self.infra.errors();
        let wrong: Vec<Problem> = wanted.errors().into_iter().filter(|problem| !known.contains(problem)).collect();
        (!wrong.is_empty()).then_some(Refusal::Wrong(wrong))
    }

    fn to_be_added(&self, domain: &str, name: &str, entry: &str) -> Refusal {
        let file = &self.sources.name;
        let lines = under_name(name, entry, 6);
        Refusal::ByHand(format!(
            "write this under the `machines` of `{domain}` in {file}, then type the same again:\n{}",
            lines.trim_end()
        ))
    }
}

/// An entry that `Loaded::entry` gave, as it is to be written under `machines`: indented, under a name.
fn under_name(name: &str, entry: &str, depth: usize) -> String {
    let indent = " ".repeat(depth);
    if entry.starts_with(['{', '[']) {
        return format!("{indent}{name}: {}\n", entry.trim_end());
    }
    let lines = entry.lines().map(|line| if line.is_empty() { "\n".into() } else { format!("{indent}  {line}\n") });
    format!("{indent}{name}:\n{}", lines.collect::<String>())
}

/// The machine that such an entry describes.
///
/// # Errors
/// What is wrong with it, as one line.
fn machine_of(entry: &str) -> Result<Machine, String> {
    let node = super::yaml::read(entry, 0).map_err(|problem| problem.message)?;
    let log = super::at::Log::default();
    let machine = super::decode::machine::machine(&super::at::At::root(&node, &log));
    match log.into_inner().into_iter().find(|problem| problem.level == Level::Error) {
        Some(problem) => Err(problem.message),
        None => Ok(machine),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::infra::sample::load_text;

    const FILE: &str = "\
project_name: home
global: {}
x-small: &small
  config: {limits.cpu: 1}
domains:
  pro:
    profiles:
      own: {}
    machines:
      # The one with the work.
      dev:
        <<: *small
        ip: 10.120.0.20   # for the printer
        description: |
          Two

          lines
        storage_volumes: {data: {path: /srv}, big: {path: /big, pool: slow}}

      # Another one.
      web: {}
  home:
    machines: {tv: {profiles: [default]}}
  empty: {}
  none:
    description: nothing in it
    machines: {}
";

    fn loaded(text: &str) -> Loaded {
        load_text(text).unwrap_or_else(|failure| panic!("{failure:?}"))
    }

    fn shown(edited: Result<Edited, Refusal>) -> String {
        edited.map_or_else(|refusal| format!("{refusal:?}"), |edited| edited.shown)
    }

    fn after(edited: Result<Edited, Refusal>) -> String {
        edited.unwrap().changes.remove(0).after
    }

    #[test]
    fn a_machine_moves_with_its_comment_and_without_its_address() {
        let of_dev = FILE.find("      # The one").unwrap()..FILE.find("\n      # Another").unwrap();
        let dev = FILE[of_dev].replace("        ip: 10.120.0.20   # for the printer\n", "");
        let rest = FILE.replace("        ip: 10.120.0.20   # for the printer\n", "").replace(&dev, "");
        assert_ne!(rest, FILE);
        let expected = rest.replace("    machines: {}\n", &format!("    machines:\n{dev}"));
        assert_eq!(after(loaded(FILE).moved("dev", "none")), expected);
        let told = shown(loaded(FILE).moved("web", "empty"));
        assert_eq!(
            told,
            "infra.yml:20\n  -       # Another one.\n  -       web: {}\ninfra.yml:24\n  -   empty: {}\n  +   empty:\n\
             infra.yml:25\n  +     machines:\n  +       # Another one.\n  +       web: {}\n"
        );
    }

    #[test]
    fn the_last_machine_of_a_domain_leaves_an_empty_map() {
        let text = "project_name: x\nglobal: {}\ndomains:\n  a:\n    machines:   # all\n      dev: {}\n  b:\n    machines:\n      web: {}";
        let expected = "project_name: x\nglobal: {}\ndomains:\n  a:\n    machines: {}   # all\n  b:\n    machines:\n      web: {}\n      dev: {}\n";
        assert_eq!(after(loaded(text).moved("dev", "b")), expected);
    }

    #[test]
    fn what_is_on_a_line_with_others_is_left_to_the_author() {
        let told = shown(loaded(FILE).moved("tv", "pro"));
        assert!(told.contains("move the entry of `tv` to the `machines` of `pro`, without an `ip`"), "{told}");
        let told = shown(loaded(FILE).copied("web", "web2", "home"));
        assert!(
            told.contains("write this under the `machines` of `home`") && told.contains("      web2: {}"),
            "{told}"
        );
    }

    #[test]
    fn a_file_that_would_break_a_rule_is_not_written() {
        let text = FILE.replace("      web: {}", "      web: {profiles: [own]}");
        let Err(Refusal::Wrong(problems)) = loaded(&text).moved("web", "none") else { panic!("no rule was broken") };
        assert!(problems[0].message.contains("own"), "{problems:?}");
    }

    #[test]
    fn a_copy_is_written_below_without_the_address() {
        let text = after(loaded(FILE).copied("dev", "dev2", "pro"));
        let machines = &loaded(&text).infra.domains["pro"].machines;
        assert_eq!(machines["dev2"], Machine { ip: None, ..machines["dev"].clone() });
        assert!(text.contains("      web: {}\n      dev2:\n        <<: *small\n        description"), "{text}");
        // On one line with its address: written out anew.
        let text = FILE.replace("      web: {}", "      web: {ip: 10.120.0.9, weight: 2}");
        assert!(after(loaded(&text).copied("web", "w2", "none")).contains("      w2:\n        weight: 2\n"));
    }

    #[test]
    fn a_machine_of_a_backup_is_added_as_it_was() {
        let (before, entry) = (loaded(FILE), loaded(FILE).entry("pro", "dev").unwrap());
        let text = after(before.added(&entry, "again", "none"));
        let infra = loaded(&text).infra;
        assert_eq!(
            infra.domains["none"].machines["again"],
            Machine { ip: None, ..infra.domains["pro"].machines["dev"].clone() }
        );
        assert!(shown(before.added("ip: x", "again", "none")).contains("`x` is not an IPv4 address"));
    }

    #[test]
    fn a_pool_is_written_where_it_was_or_beside_the_rest() {
        let text = after(loaded(FILE).on_pool("dev", "fast"));
        assert!(
            text.contains("storage_volumes: {data: {pool: fast, path: /srv}, big: {path: /big, pool: fast}}"),
            "{text}"
        );
        assert!(text.contains("devices: {root: {type: disk, path: /, pool: fast}}"), "{text}");
        assert!(
            after(loaded(FILE).on_pool("web", "fast"))
                .contains("web: {devices: {root: {type: disk, path: /, pool: fast}}}")
        );
        let again = loaded(&text).on_pool("dev", "fast").unwrap();
        assert_eq!(again.changes, [], "it says so already");
    }
}
