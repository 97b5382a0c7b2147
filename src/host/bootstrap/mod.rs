//! From a bare host to one with a working Incus: which steps are missing. Pure; an Incus that was initialised by anybody is
//! left as it is.

pub(crate) mod gather;
#[cfg(test)]
mod tests;

use serde_json::{Value, json};

use super::boot::Init;
use super::files;
use super::os::Os;
use super::subids::{self, SubIds};
use crate::failure::Hinted;
use crate::incus::call::Call;
use crate::plan::{Action, Id, Kind, Verb};

/// What there is.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
pub(crate) struct Bare {
    pub(crate) os: Os,
    pub(crate) init: Option<Init>,
    pub(crate) incus: Standing,
    /// Programs that anklume runs and are not there: `nft`, `ip`, `rsync`.
    pub(crate) missing: Vec<&'static str>,
    /// apt knows the suite `bookworm-backports`.
    pub(crate) backports: bool,
    pub(crate) backing: Backing,
    /// `btrfs` is there.
    pub(crate) has_btrfs: bool,
    /// The contents of `/etc/subuid` and `/etc/subgid`.
    pub(crate) subids: [Option<String>; 2],
    pub(crate) docker: bool,
    /// A file of `sysctl.d` turns forwarding on at boot.
    pub(crate) forwards_at_boot: bool,
}

/// How far Incus is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Standing {
    NotInstalled,
    /// Installed, and no daemon answers.
    Down,
    /// It answers and has no storage pool; has the profile `default` a root disk?
    Empty {
        has_root: bool,
    },
    /// It has these pools: whoever made them, it is theirs.
    Initialised(Vec<String>),
    /// It answers in a way that nothing can be made of.
    Broken(String),
}

/// What `/var/lib/incus` is on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Backing {
    Btrfs,
    /// ZFS; the name of its pool.
    Zfs(String),
    Plain,
}

/// Where the suite is written that Debian 12 has Incus in.
const BACKPORTS: &str = "/etc/apt/sources.list.d/bookworm-backports.sources";
/// What turns forwarding on before Docker starts.
pub(crate) const FORWARDING: &str = "/etc/sysctl.d/60-anklume-forwarding.conf";
const POOL: &str = "default";

/// The steps that are missing, in order.
///
/// # Errors
/// What cannot be done here, with what can be instead.
pub(crate) fn steps(bare: &Bare) -> Result<Vec<Action>, Hinted> {
    if let Standing::Broken(said) = &bare.incus {
        return Err(Hinted::new(format!("Incus does not answer: {said}"), "`anklume doctor` tells more"));
    }
    let fresh = !matches!(bare.incus, Standing::Initialised(_));
    let mut steps = Vec::new();
    if fresh {
        // Before the packages: those of Debian give root some, where it has none.
        steps.extend(ids(bare));
    }
    let restarts = !steps.is_empty() && matches!(bare.incus, Standing::Empty { .. });
    steps.extend(packages(bare)?);
    steps.extend(docker(bare));
    if fresh {
        steps.extend(service(bare, restarts)?);
        steps.push(pool(bare));
    }
    Ok(steps)
}

fn ids(bare: &Bare) -> Option<Action> {
    let files = bare.subids.each_ref().map(Option::as_deref);
    let lacks = files.map(subids::of_root).iter().any(|of_root| matches!(of_root, SubIds::TooFew(_)));
    let words = subids::grant(files);
    let call = || Call::run("usermod", words.iter().skip(1).cloned());
    lacks.then(|| action(Kind::File, "/etc/subuid", Verb::Update, "root gets ids to give to containers", vec![call()]))
}

/// What is missing, by the names that this distribution has for it.
fn packages(bare: &Bare) -> Result<Vec<Action>, Hinted> {
    let no_incus = bare.incus == Standing::NotInstalled;
    let mut names: Vec<&str> = Vec::new();
    names.extend(no_incus.then_some("incus"));
    names.extend(bare.missing.iter().map(|program| match *program {
        "nft" => "nftables",
        "ip" => bare.os.iproute(),
        other => other,
    }));
    let fresh = !matches!(bare.incus, Standing::Initialised(_));
    names.extend((fresh && bare.backing == Backing::Btrfs && !bare.has_btrfs).then_some("btrfs-progs"));
    if names.is_empty() {
        return Ok(Vec::new());
    }
    if no_incus {
        has_incus(&bare.os)?;
    }
    let Some(words) = bare.os.install(&names) else { return Err(unknown(&bare.os, &names)) };
    let mut steps = Vec::new();
    let apt = words[0] == "apt-get";
    if bare.os == Os::Debian(12) && no_incus && !bare.backports {
        let calls = files::write(BACKPORTS, "0644", SUITE);
        steps.push(action(Kind::File, BACKPORTS, Verb::Create, "Debian 12 has Incus in its backports only", calls));
    }
    let update = apt.then(|| Call::run("apt-get", ["update"]));
    let quiet = apt.then(|| "DEBIAN_FRONTEND=noninteractive".to_owned());
    let calls = update.into_iter().chain([Call::run("env", quiet.into_iter().chain(words))]).collect();
    steps.push(action(Kind::Package, &names.join(" "), Verb::Create, "from the distribution", calls));
    Ok(steps)
}

/// The mirror that apt chooses one by, and the key that is Debian's own.
const SUITE: &str = "\
Types: deb
URIs: http://deb.debian.org/debian
Suites: bookworm-backports
Components: main
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg
";

/// Not each release of each distribution has it.
fn has_incus(os: &Os) -> Result<(), Hinted> {
    let (old, from) = match os {
        Os::Debian(version) if *version < 12 => (format!("Debian {version}"), "Debian 12"),
        Os::Ubuntu(year, month) if *year < 24 => (format!("Ubuntu {year}.{month:02}"), "Ubuntu 24.04"),
        Os::Fedora(version) if *version < 40 => (format!("Fedora {version}"), "Fedora 40"),
        _ => return Ok(()),
    };
    let hint = format!("{from} and newer do; https://linuxcontainers.org/incus/docs/main/installing/ names other ways");
    Err(Hinted::new(format!("{old} has no package of Incus"), hint))
}

fn unknown(os: &Os, names: &[&str]) -> Hinted {
    let name = match os {
        Os::Other(name) => name.as_str(),
        _ => "this host",
    };
    let message = format!("how {name} installs packages is not known here; Debian, Ubuntu, Fedora and Arch are");
    Hinted::new(message, format!("install these by its own means, then run this again: {}", names.join(", ")))
}

/// Docker drops what it does not know, unless forwarding is on before it starts.
fn docker(bare: &Bare) -> Option<Action> {
    let text = "# Docker closes forwarding for everything but its own where it has to turn it on itself.\nnet.ipv4.ip_forward = 1\n";
    (bare.docker && !bare.forwards_at_boot).then(|| {
        let note = "from the next boot on, Docker does not drop what machines send";
        action(Kind::File, FORWARDING, Verb::Create, note, files::write(FORWARDING, "0644", text))
    })
}

fn service(bare: &Bare, restarts: bool) -> Result<Option<Action>, Hinted> {
    let answers = matches!(bare.incus, Standing::Empty { .. });
    let start = |verb, words: Vec<Call>| {
        let calls = words.into_iter().chain([Call::incus(["admin", "waitready", "--timeout", "60"])]).collect();
        action(Kind::Service, "incus", verb, "now and at each boot", calls)
    };
    match (bare.init, answers) {
        (_, true) if !restarts => Ok(None),
        (Some(Init::Systemd), true) => {
            Ok(Some(start(Verb::Restart, vec![Call::run("systemctl", ["restart", "incus.service"])])))
        }
        (Some(Init::Systemd), false) => {
            Ok(Some(start(Verb::Start, vec![Call::run("systemctl", ["enable", "--now", "incus.service"])])))
        }
        (Some(Init::OpenRc), true) => {
            Ok(Some(start(Verb::Restart, vec![Call::run("rc-service", ["incus", "restart"])])))
        }
        (Some(Init::OpenRc), false) => {
            let calls = [vec!["rc-update", "add", "incus", "default"], vec!["rc-service", "incus", "start"]];
            let calls = calls.map(|words| Call::run(words[0], words[1..].iter().copied())).into();
            Ok(Some(start(Verb::Start, calls)))
        }
        (None, _) => {
            let message = "this host boots with neither systemd nor OpenRC, so nothing here can start Incus";
            Err(Hinted::new(message, "install and start `incusd` in its own way, then run this again"))
        }
    }
}

/// One call makes the pool and the root disk of the profile `default`, and no bridge: each domain has its own.
fn pool(bare: &Bare) -> Action {
    let (driver, config) = match &bare.backing {
        Backing::Btrfs => ("btrfs", json!({"source": "/var/lib/incus/storage-pools/default"})),
        Backing::Zfs(pool) => ("zfs", json!({"source": format!("{pool}/incus")})),
        Backing::Plain => ("dir", json!({})),
    };
    let mut body = json!({"storage_pools": [{"name": POOL, "driver": driver, "config": config}]});
    if !matches!(bare.incus, Standing::Empty { has_root: true }) {
        body["profiles"] = root_disk();
    }
    let call = Call::incus(["admin", "init", "--preseed"]).body(body);
    action(Kind::Pool, POOL, Verb::Create, driver, vec![call])
}

fn root_disk() -> Value {
    json!([{"name": "default", "devices": {"root": {"type": "disk", "path": "/", "pool": POOL}}}])
}

fn action(kind: Kind, name: &str, verb: Verb, note: &str, calls: Vec<Call>) -> Action {
    Action { note: note.to_owned(), ..Action::bare(Id::global(kind, name), verb, calls) }
}
