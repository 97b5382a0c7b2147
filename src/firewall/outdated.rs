//! What keeps the table over a reboot, as an earlier anklume wrote it or somebody changed it: written anew in the form of
//! this one. What is about another table than the one in force is left to `apply`.

use crate::host::boot::Service;
use crate::host::files;
use crate::incus::call::Call;
use crate::plan::{Action, Id, Kind, Verb};

use super::file::TableFile;
use super::keep::{self, Keeping};
use super::live::LiveTable;
use super::services;
use super::wall::Wall;

/// What there is on the host beside what `Keeping` knows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Beside {
    /// The file of the service that watches the table, where somebody asked for it.
    pub(crate) watch: Option<String>,
    /// The place of this program.
    pub(crate) anklume: String,
}

/// What has to be written anew. `in_force` is the table of the kernel.
pub(crate) fn actions(keeping: &Keeping, beside: &Beside, wall: &Wall, in_force: Option<&LiveTable>) -> Vec<Action> {
    let mut actions: Vec<Action> = file(keeping, wall, in_force).into_iter().collect();
    let Some(init) = keeping.init else { return actions };
    let loading = services::loading(init);
    if keeping.service.as_deref().is_some_and(|text| text != loading.text) {
        actions.push(service(&loading));
    }
    if beside.watch.as_deref().is_some_and(|text| !is_current(text, &services::watching(init, PLACE))) {
        actions.push(service(&services::watching(init, &beside.anklume)));
    }
    actions
}

/// Stands for wherever a program may be.
const PLACE: &str = "/place/of/anklume";

/// Is it the same, wherever its program is?
fn is_current(text: &str, service: &Service) -> bool {
    let Some((start, end)) = service.text.split_once(PLACE) else { return text == service.text };
    let is_around = text.starts_with(start) && text.ends_with(end) && text.len() > start.len() + end.len();
    is_around && !text[start.len()..text.len() - end.len()].contains('\n')
}

fn file(keeping: &Keeping, wall: &Wall, in_force: Option<&LiveTable>) -> Option<Action> {
    let wanted = keep::wanted(wall)?;
    let kept = keeping.file.as_ref().filter(|kept| **kept != wanted)?;
    let table = TableFile::parse(&wanted).ok()?.table;
    // On trial, or another one than the file asks for until the next apply: then the kept one is right as it is.
    if keeping.on_trial || in_force != Some(&table) {
        return None;
    }
    let mut calls = Vec::new();
    let note = match TableFile::parse(kept) {
        Ok(older) if older.table == table => "the same table in the form of this anklume",
        _ => {
            calls.push(backup(keep::FILE));
            "what is there is kept with `.bak` behind its name"
        }
    };
    calls.extend(files::write(keep::FILE, keep::MODE, &wanted));
    Some(action(Id::global(Kind::File, keep::FILE), note, calls))
}

/// Nobody can tell whether somebody changed it.
fn service(service: &Service) -> Action {
    let calls = [vec![backup(&service.path())], service.install()].concat();
    action(Id::global(Kind::Service, service.name), "what is there is kept with `.bak` behind its name", calls)
}

fn backup(path: &str) -> Call {
    Call::run("cp", ["-p", path, &format!("{path}.bak")])
}

fn action(id: Id, note: &str, calls: Vec<Call>) -> Action {
    Action { note: note.to_owned(), ..Action::bare(id, Verb::Update, calls) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::firewall::sample;
    use crate::host::boot::Init;

    fn kept() -> Keeping {
        let host = Keeping { init: Some(Init::Systemd), ..Keeping::default() };
        host.after(Some(&keep::text(&sample::wall())))
    }

    fn in_force() -> LiveTable {
        TableFile::parse(&keep::text(&sample::wall())).unwrap().table
    }

    fn told(keeping: &Keeping, beside: &Beside) -> Vec<String> {
        let actions = actions(keeping, beside, &sample::wall(), Some(&in_force()));
        let backup = |action: &Action| if action.calls[0].program == "cp" { ", with a backup" } else { "" };
        actions.iter().map(|action| format!("{}{}", action.id, backup(action))).collect()
    }

    #[test]
    fn what_is_as_this_anklume_writes_it_stays() {
        let watch = services::watching(Init::Systemd, "/usr/local/bin/anklume").text.into_owned();
        let beside = Beside { watch: Some(watch), anklume: "/opt/anklume".into() };
        assert_eq!(told(&kept(), &beside), [""; 0]);
        assert_eq!(told(&Keeping::default(), &Beside::default()), [""; 0], "nothing is there");
    }

    #[test]
    fn the_same_table_in_another_form_is_written_anew() {
        // As one line, which is how it could be written too.
        let older = serde_json::from_str::<serde_json::Value>(&keep::text(&sample::wall())).unwrap().to_string();
        let keeping = Keeping { file: Some(older), ..kept() };
        assert_eq!(told(&keeping, &Beside::default()), ["file /etc/anklume/firewall.json"]);
    }

    #[test]
    fn what_somebody_may_have_changed_is_kept_beside_it() {
        let by_hand = Keeping { file: Some("by hand".into()), service: Some("by hand".into()), ..kept() };
        let beside = Beside { watch: Some("by hand".into()), anklume: "/opt/anklume".into() };
        let expected = [
            "file /etc/anklume/firewall.json, with a backup",
            "service anklume-firewall, with a backup",
            "service anklume-firewall-watch, with a backup",
        ];
        assert_eq!(told(&by_hand, &beside), expected);
    }

    #[test]
    fn what_is_on_trial_or_not_applied_yet_is_left_to_others() {
        let by_hand = Keeping { file: Some("by hand".into()), ..kept() };
        assert_eq!(told(&Keeping { on_trial: true, ..by_hand.clone() }, &Beside::default()), [""; 0]);
        assert_eq!(actions(&by_hand, &Beside::default(), &sample::wall(), None), []);
    }
}
