//! What starts services when this host boots, and how a service is handed to it.

use std::borrow::Cow;
use std::path::Path;

use super::files;
use crate::incus::call::Call;

/// The program that boots the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Init {
    Systemd,
    OpenRc,
}

/// A service as one of them wants it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Service {
    pub(crate) init: Init,
    /// Without `.service`.
    pub(crate) name: &'static str,
    pub(crate) text: Cow<'static, str>,
    /// The link that enabling it makes, below `/etc`.
    pub(crate) link: &'static str,
    /// It goes on running, instead of doing one thing at boot.
    pub(crate) stays: bool,
}

impl Init {
    /// Looks at what only a host that was booted by it has. `root` is `/`, but in tests.
    pub(crate) fn of(root: &Path) -> Option<Self> {
        let is_there = |path: &str| root.join(path).exists();
        if is_there("run/systemd/system") {
            Some(Self::Systemd)
        } else if is_there("run/openrc") || is_there("sbin/openrc-run") {
            Some(Self::OpenRc)
        } else {
            None
        }
    }
}

impl Service {
    /// The file that makes it known.
    pub(crate) fn path(&self) -> String {
        match self.init {
            Init::Systemd => format!("/etc/systemd/system/{}.service", self.name),
            Init::OpenRc => format!("/etc/init.d/{}", self.name),
        }
    }

    /// Makes it known, and starts it at each boot from now on; one that stays, also now.
    pub(crate) fn install(&self) -> Vec<Call> {
        let mode = if self.init == Init::Systemd { "0644" } else { "0755" };
        let mut calls = files::write(&self.path(), mode, &self.text);
        match self.init {
            Init::Systemd => {
                calls.push(Call::run("systemctl", ["daemon-reload"]));
                // Again, since the links of an older one may be others.
                calls.push(Call::run("systemctl", ["reenable", &self.unit()]));
            }
            Init::OpenRc => calls.push(Call::run("rc-update", ["add", self.name, "default"])),
        }
        if self.stays {
            calls.push(match self.init {
                Init::Systemd => Call::run("systemctl", ["restart", &self.unit()]),
                Init::OpenRc => Call::run("rc-service", [self.name, "restart"]),
            });
        }
        calls
    }

    /// The way back.
    pub(crate) fn remove(&self) -> Vec<Call> {
        let (path, unit) = (self.path(), self.unit());
        let file = files::remove([path.as_str()]);
        match self.init {
            Init::Systemd => {
                let disable = ["disable"].into_iter().chain(self.stays.then_some("--now")).chain([unit.as_str()]);
                vec![Call::run("systemctl", disable), file, Call::run("systemctl", ["daemon-reload"])]
            }
            Init::OpenRc => {
                let stop = self.stays.then(|| Call::run("rc-service", ["--ifstarted", self.name, "stop"]));
                let del = Call::run("rc-update", ["del", self.name, "default"]);
                stop.into_iter().chain([del, file]).collect()
            }
        }
    }

    fn unit(&self) -> String {
        format!("{}.service", self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_known_by_what_its_init_leaves_in_it() {
        let of = |paths: &[&str]| {
            let root = tempfile::tempdir().unwrap();
            for path in paths {
                std::fs::create_dir_all(root.path().join(path)).unwrap();
            }
            Init::of(root.path())
        };
        // Debian without systemd as its init has systemd's directory in /run all the same.
        assert_eq!(of(&["run/systemd/users"]), None);
        assert_eq!(of(&["run/systemd/system"]), Some(Init::Systemd));
        assert_eq!(of(&["run/openrc"]), Some(Init::OpenRc));
        assert_eq!(of(&["sbin/openrc-run"]), Some(Init::OpenRc));
        assert_eq!(of(&["sbin/openrc-run", "run/systemd/system"]), Some(Init::Systemd));
    }
}
