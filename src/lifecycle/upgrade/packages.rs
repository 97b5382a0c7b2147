//! The package manager of a guest, and how it brings all that is installed up to date without asking anybody.

use std::collections::BTreeSet;
use std::fmt;

use crate::incus::call::Call;
use crate::plan::Id;

/// What the shell that upgrades is called in the guest, so that one that a run left behind is known.
pub(crate) const MARK: &str = "anklume-upgrade";

/// A package manager.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Manager {
    Apt,
    Zypper,
    Dnf,
    Pacman,
    Apk,
}

impl Manager {
    /// In the order in which they are looked for: some are packages of the distributions of others.
    pub(crate) const ALL: [Self; 5] = [Self::Apt, Self::Zypper, Self::Dnf, Self::Pacman, Self::Apk];

    /// The program that tells that it is there.
    pub(crate) fn program(self) -> &'static str {
        match self {
            Self::Apt => "apt-get",
            Self::Zypper => "zypper",
            Self::Dnf => "dnf",
            Self::Pacman => "pacman",
            Self::Apk => "apk",
        }
    }

    /// The one that this program is.
    pub(crate) fn of(program: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|manager| manager.program() == program)
    }

    fn script(self) -> &'static str {
        match self {
            Self::Apt => APT,
            Self::Zypper => ZYPPER,
            Self::Dnf => "exec dnf -y --refresh upgrade",
            Self::Pacman => PACMAN,
            Self::Apk => "apk --wait 300 update && exec apk --wait 300 upgrade",
        }
    }

    /// The call that upgrades a guest, cut off after so many seconds. What had failed in it before is written down in it, with
    /// the name of the snapshot, for the run that comes after one that is cut off.
    pub(crate) fn upgrade(self, id: &Id, limit: u64, snapshot: &str, failed: &BTreeSet<String>) -> Call {
        let limit = limit.to_string();
        let cut_off = ["--kill-after=30", &limit, "incus", "exec", &id.name, "--project", &id.project];
        let script = TOLD.replace("SCRIPT", self.script());
        let command = ["--", "sh", "-c", &script, MARK, snapshot].into_iter().chain(failed.iter().map(String::as_str));
        Call::run("timeout", cut_off.into_iter().chain(command))
    }
}

impl fmt::Display for Manager {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if *self == Self::Apt { "apt" } else { self.program() })
    }
}

/// What it says is of interest only where it fails, and then only the end of it.
const TOLD: &str = "\
log=/run/anklume-upgrade.log before=/run/anklume-upgrade.before
[ \"$(head -n 1 $before 2>/dev/null)\" = \"$1\" ] || printf '%s\\n' \"$@\" > $before
(
SCRIPT
) > $log 2>&1 </dev/null; code=$?
[ $code = 0 ] || tail -n 12 $log | tr -d '\\r' >&2
exit $code";

/// Nothing is asked, files that were changed by hand stay as they are, nothing is removed. A source that cannot be read is an
/// error, not "nothing to do". What an earlier run left half installed comes first; whoever else is at work is waited for.
const APT: &str = "\
export LC_ALL=C.UTF-8 DEBIAN_FRONTEND=noninteractive APT_LISTCHANGES_FRONTEND=none
apt-get -q -o DPkg::Lock::Timeout=300 -o APT::Update::Error-Mode=any update || exit
tries=60
until said=$(dpkg --force-confdef --force-confold --configure -a 2>&1); do
  case $said in *lock*) tries=$((tries - 1));; *) tries=0;; esac
  [ $tries -gt 0 ] || { echo \"$said\" >&2; exit 1; }
  sleep 5
done
exec apt-get -q -y -o DPkg::Lock::Timeout=300 -o Dpkg::Options::=--force-confdef -o Dpkg::Options::=--force-confold --with-new-pkgs upgrade";

/// 103: it has upgraded itself, and wants to be run again. From 100 on they are no failures otherwise.
const ZYPPER: &str = "\
zypper --non-interactive refresh || exit
verb=update
! grep -q '^ID=.*tumbleweed' /etc/os-release || verb=dist-upgrade
zypper --non-interactive $verb --auto-agree-with-licenses; code=$?
[ $code != 103 ] || { zypper --non-interactive $verb --auto-agree-with-licenses; code=$?; }
case $code in 100|101|102|103) exit 0;; *) exit $code;; esac";

/// One that was killed leaves its lock behind, which nobody else would ever take away.
const PACMAN: &str = "\
cat /proc/[0-9]*/comm 2>/dev/null | grep -qx pacman || rm -f /var/lib/pacman/db.lck
exec pacman -Syu --noconfirm";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::Kind;

    #[test]
    fn each_is_known_by_its_program() {
        for manager in Manager::ALL {
            assert_eq!(Manager::of(manager.program()), Some(manager));
        }
        assert_eq!(Manager::of("pkg"), None);
    }

    #[test]
    fn an_upgrade_is_one_call_that_ends_and_is_known_again() {
        let id = Id::within(Kind::Instance, "pro", "dev");
        let failed = ["a.service".to_owned()].into();
        let words = Manager::Dnf.upgrade(&id, 3600, "pre-upgrade-x", &failed).words();
        assert!(words.starts_with("timeout --kill-after=30 3600 incus exec dev --project pro -- sh -c '"), "{words}");
        assert!(words.contains("\n(\nexec dnf -y --refresh upgrade\n)"), "{words}");
        assert!(words.ends_with("' anklume-upgrade pre-upgrade-x a.service"), "{words}");
    }
}
