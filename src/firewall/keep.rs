//! What brings the table back after a reboot: a file of it, and the service that loads the file before Incus starts.

use std::fmt;
use std::path::Path;

use serde::Serialize;
use serde_json::Value;

use super::ruleset::batch;
use super::wall::Wall;
use super::{services, trial};
use crate::host::boot::{Init, Service};
use crate::host::files;
use crate::plan::{Action, Id, Kind, Verb};

/// The file that the service loads.
pub(crate) const FILE: &str = "/etc/anklume/firewall.json";
/// Not more readable than the table in the kernel.
pub(crate) const MODE: &str = "0600";

/// What there is of it on the host.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Keeping {
    /// What boots the host; `None` where it is neither systemd nor `OpenRC`, or not known.
    pub(crate) init: Option<Init>,
    /// The file, where it is.
    pub(crate) file: Option<String>,
    /// The service's file, where it is.
    pub(crate) service: Option<String>,
    /// The service is started at each boot.
    pub(crate) enabled: bool,
    /// The service that watches the table is there too, where somebody asked for it.
    pub(crate) watched: bool,
    /// A table is on trial: what is in force is not what is kept yet.
    pub(crate) on_trial: bool,
}

/// What there will be after a reboot, before Incus starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum AfterReboot {
    /// The same table.
    Stands,
    /// Not this table, until an apply has kept it.
    NotYet,
    /// The file is there; anklume does not know what would load it.
    UpToOthers,
    /// Nothing, and nothing that anklume could have load it.
    Gone,
}

impl fmt::Display for AfterReboot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stands => f.write_str("in force before Incus starts"),
            Self::NotYet => f.write_str("not as now; `anklume apply` sees to it"),
            Self::UpToOthers => write!(f, "up to this host's own boot scripts; `nft -j -f {FILE}` loads it"),
            Self::Gone => write!(
                f,
                "GONE until `anklume apply`: this host boots with neither systemd nor OpenRC; \
                 `anklume firewall export {FILE}` writes it for a boot script of your own"
            ),
        }
    }
}

impl Keeping {
    /// Looks at the host's files. `root` is `/`, but in tests.
    pub(crate) fn read(root: &Path) -> Self {
        let text = |path: &str| std::fs::read_to_string(root.join(path.trim_start_matches('/'))).ok();
        let init = Init::of(root);
        let service = init.map(services::loading);
        Self {
            init,
            file: text(FILE),
            service: service.as_ref().and_then(|service| text(&service.path())),
            enabled: service.is_some_and(|service| root.join(service.link).is_symlink()),
            on_trial: trial::is_on(root),
            watched: init.is_some_and(|init| text(&services::watching(init, "").path()).is_some()),
        }
    }

    /// Will the table of this wall stand after a reboot, before Incus starts?
    pub(crate) fn after_reboot(&self, wall: &Wall) -> AfterReboot {
        let file = self.file.as_ref() == Some(&text(wall));
        match self.init.map(services::loading) {
            Some(service) if file && self.serves(&service) => AfterReboot::Stands,
            Some(_) => AfterReboot::NotYet,
            None if file => AfterReboot::UpToOthers,
            None => AfterReboot::Gone,
        }
    }

    fn serves(&self, service: &Service) -> bool {
        self.enabled && self.service.as_deref() == Some(&service.text)
    }

    /// The same after `actions` were done for `wanted`.
    pub(crate) fn after(&self, wanted: Option<&str>) -> Self {
        let service = self.init.filter(|_| wanted.is_some()).map(services::loading);
        Self {
            init: self.init,
            file: wanted.filter(|_| self.is_wanted()).map(str::to_owned),
            enabled: service.is_some(),
            service: service.map(|service| service.text.into_owned()),
            watched: self.watched && wanted.is_some(),
            on_trial: self.on_trial,
        }
    }

    /// Where nothing at boot would load it the file is kept only if somebody has put it there, for a boot script of
    /// their own.
    fn is_wanted(&self) -> bool {
        self.init.is_some() || self.file.is_some()
    }

    /// What makes `wanted` the table that is loaded at boot; `None`: nothing is to be left.
    pub(crate) fn actions(&self, wanted: Option<&str>) -> Vec<Action> {
        let Some(wanted) = wanted else { return self.removal() };
        let mut actions = Vec::new();
        if self.is_wanted() && self.file.as_deref() != Some(wanted) {
            let verb = if self.file.is_some() { Verb::Update } else { Verb::Create };
            let calls = files::write(FILE, MODE, wanted);
            actions.push(action(Id::global(Kind::File, FILE), verb, "the table for the next boot", calls));
        }
        if let Some(service) = self.init.map(services::loading).filter(|service| !self.serves(service)) {
            let verb = if self.service.is_some() { Verb::Update } else { Verb::Create };
            let note = "loads it before Incus starts; where it does not load, Incus does not start";
            actions.push(action(Id::global(Kind::Service, service.name), verb, note, service.install()));
        }
        actions
    }

    fn removal(&self) -> Vec<Action> {
        let mut actions = Vec::new();
        let watching = self.init.filter(|_| self.watched).map(|init| services::watching(init, ""));
        let loading = self.init.filter(|_| self.service.is_some() || self.enabled).map(services::loading);
        for service in watching.into_iter().chain(loading) {
            let id = Id::global(Kind::Service, service.name);
            actions.push(action(id, Verb::Delete, "no domain is left", service.remove()));
        }
        if self.file.is_some() {
            let calls = vec![files::remove([FILE])];
            actions.push(action(Id::global(Kind::File, FILE), Verb::Delete, "no domain is left", calls));
        }
        actions
    }
}

fn action(id: Id, verb: Verb, note: &str, calls: Vec<crate::incus::call::Call>) -> Action {
    Action { note: note.to_owned(), ..Action::bare(id, verb, calls) }
}

/// The table of a wall as `nft -j -f` reads it from a file: an object a line, so that two of them can be compared.
pub(crate) fn text(wall: &Wall) -> String {
    lines(&batch(wall))
}

/// The same for a batch of `nft -j`.
pub(crate) fn lines(batch: &Value) -> String {
    let objects = batch["nftables"].as_array().expect("a batch is a list");
    let lines: Vec<String> = objects.iter().map(ToString::to_string).collect();
    format!("{{\"nftables\": [\n{}\n]}}\n", lines.join(",\n"))
}

/// The table that stands in a wall's place where there is one.
pub(crate) fn wanted(wall: &Wall) -> Option<String> {
    (!wall.bridges.is_empty()).then(|| text(wall))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::firewall::sample;

    fn told(actions: &[Action]) -> Vec<String> {
        actions.iter().map(|action| format!("{} {}", action.verb.word(), action.id)).collect()
    }

    fn words(actions: &[Action]) -> String {
        actions.iter().flat_map(|action| &action.calls).map(|call| call.words() + "\n").collect()
    }

    fn host(init: Option<Init>) -> Keeping {
        Keeping { init, ..Keeping::default() }
    }

    #[test]
    fn the_file_reads_back_as_what_is_sent() {
        let text = text(&sample::wall());
        assert_eq!(serde_json::from_str::<serde_json::Value>(&text).unwrap(), batch(&sample::wall()));
        assert!(text.lines().count() > 50 && text.ends_with("]}\n"), "{text}");
    }

    #[test]
    fn a_new_host_gets_the_file_and_the_service_and_then_nothing_more() {
        let wanted = text(&sample::wall());
        for init in [Init::Systemd, Init::OpenRc] {
            let new = host(Some(init));
            let actions = new.actions(Some(&wanted));
            assert_eq!(told(&actions), ["create file /etc/anklume/firewall.json", "create service anklume-firewall"]);
            let kept = new.after(Some(&wanted));
            assert_eq!(kept.actions(Some(&wanted)), []);
            assert_eq!(kept.after_reboot(&sample::wall()), AfterReboot::Stands);
            assert_eq!(kept.after_reboot(&Wall::default()), AfterReboot::NotYet);
            let disabled = Keeping { enabled: false, ..kept.clone() };
            assert_eq!(told(&disabled.actions(Some(&wanted))), ["update service anklume-firewall"]);
            assert_eq!(disabled.after_reboot(&sample::wall()), AfterReboot::NotYet);
            let another = Keeping { file: Some("{}".into()), ..kept };
            assert_eq!(told(&another.actions(Some(&wanted))), ["update file /etc/anklume/firewall.json"]);
            assert_eq!(another.after_reboot(&sample::wall()), AfterReboot::NotYet);
        }
    }

    #[test]
    fn with_the_last_domain_everything_goes_and_then_nothing_is_left_to_go() {
        let wanted = text(&sample::wall());
        let kept = host(Some(Init::Systemd)).after(Some(&wanted));
        let actions = kept.actions(None);
        assert_eq!(told(&actions), ["delete service anklume-firewall", "delete file /etc/anklume/firewall.json"]);
        assert_eq!(
            words(&actions),
            "systemctl disable anklume-firewall.service\nrm -f /etc/systemd/system/anklume-firewall.service\n\
             systemctl daemon-reload\nrm -f /etc/anklume/firewall.json\n"
        );
        assert_eq!(kept.after(None).actions(None), []);
        let watched = Keeping { watched: true, ..kept };
        assert_eq!(told(&watched.actions(None))[0], "delete service anklume-firewall-watch");
        assert!(words(&watched.actions(None)).starts_with("systemctl disable --now anklume-firewall-watch.service\n"));
        assert_eq!(watched.after(None).actions(None), []);
    }

    #[test]
    fn where_nothing_loads_it_at_boot_the_file_is_only_kept_up_to_date() {
        let wanted = text(&sample::wall());
        assert_eq!(host(None).actions(Some(&wanted)), []);
        assert_eq!(host(None).after(Some(&wanted)), host(None));
        let by_hand = Keeping { file: Some("{}".into()), ..host(None) };
        assert_eq!(told(&by_hand.actions(Some(&wanted))), ["update file /etc/anklume/firewall.json"]);
        assert_eq!(by_hand.after_reboot(&sample::wall()), AfterReboot::Gone);
        assert_eq!(by_hand.after(Some(&wanted)).after_reboot(&sample::wall()), AfterReboot::UpToOthers);
    }

    #[test]
    fn what_is_on_the_host_is_read_from_its_files() {
        let root = tempfile::tempdir().unwrap();
        assert_eq!(Keeping::read(root.path()), Keeping::default());
        let write = |path: &str, text: &str| {
            let path = root.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        };
        write("run/systemd/system/x", "");
        write("etc/anklume/firewall.json", "{}");
        write("etc/systemd/system/anklume-firewall.service", &services::loading(Init::Systemd).text);
        let enabled = root.path().join("etc/systemd/system/incus.service.requires/anklume-firewall.service");
        std::fs::create_dir_all(enabled.parent().unwrap()).unwrap();
        std::os::unix::fs::symlink("/etc/systemd/system/anklume-firewall.service", enabled).unwrap();
        let expected = Keeping {
            init: Some(Init::Systemd),
            file: Some("{}".into()),
            service: Some(services::loading(Init::Systemd).text.into_owned()),
            enabled: true,
            ..Keeping::default()
        };
        assert_eq!(Keeping::read(root.path()), expected);
    }
}
