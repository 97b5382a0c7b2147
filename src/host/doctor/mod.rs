//! What anklume and Incus need of this host, looked at one by one: each is fine, may be trouble, or is broken, with the
//! command that mends it.

mod devices;
pub(crate) mod gather;
mod incus;
mod isolation;
mod leftovers;
mod own;
#[cfg(test)]
mod tests;
pub(crate) mod told;

use serde::Serialize;

use crate::firewall::doctor::{Check as FirewallCheck, Finding};
use crate::firewall::wall::Wall;
use crate::host::boot::Init;
use crate::host::os::Os;
use crate::incus::live::Live;
use crate::incus::server::Server;
use crate::resolve::desired::Desired;

/// What is looked at, in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Check {
    Incus,
    Version,
    User,
    Ids,
    Storage,
    Space,
    VirtualMachines,
    Gpus,
    Nftables,
    Table,
    Boot,
    Bridged,
    Forwarding,
    Filters,
    LegacyFilters,
    Routes,
    File,
    Clock,
    Leftovers,
}

/// How it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Level {
    Ok,
    /// It may be trouble, or is for some.
    Warning,
    Failure,
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Line {
    pub(crate) check: Check,
    pub(crate) level: Level,
    pub(crate) message: String,
    /// Commands that mend it, as they are typed, to be run in this order.
    pub(crate) mend: Vec<String>,
    /// `--fix` may run them: nothing is lost by them, and nothing opened that was closed on purpose.
    pub(crate) fix: bool,
    /// What more there is to know.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) note: String,
}

impl Line {
    fn new(check: Check, level: Level, message: impl Into<String>) -> Self {
        Self { check, level, message: message.into(), mend: Vec::new(), fix: false, note: String::new() }
    }

    fn ok(check: Check, message: impl Into<String>) -> Self {
        Self::new(check, Level::Ok, message)
    }

    fn warning(check: Check, message: impl Into<String>) -> Self {
        Self::new(check, Level::Warning, message)
    }

    fn failure(check: Check, message: impl Into<String>) -> Self {
        Self::new(check, Level::Failure, message)
    }

    /// What the user may type.
    fn mend(self, commands: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self { mend: commands.into_iter().map(Into::into).collect(), ..self }
    }

    /// What `--fix` types.
    fn fixed_by(self, commands: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self { fix: true, ..self.mend(commands) }
    }

    fn note(self, note: impl Into<String>) -> Self {
        Self { note: note.into(), ..self }
    }
}

/// What was not looked at, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct LeftOut {
    pub(crate) checks: Vec<Check>,
    pub(crate) why: String,
}

/// All of it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Report {
    pub(crate) lines: Vec<Line>,
    pub(crate) left_out: Vec<LeftOut>,
}

impl Report {
    /// Is anything broken?
    pub(crate) fn is_broken(&self) -> bool {
        self.lines.iter().any(|line| line.level == Level::Failure)
    }

    /// The commands that `--fix` may run, each once.
    pub(crate) fn fixes(&self) -> Vec<&str> {
        let mut commands: Vec<&str> = Vec::new();
        let safe = self.lines.iter().filter(|line| line.fix && line.level != Level::Ok);
        for command in safe.flat_map(|line| &line.mend) {
            if !commands.contains(&command.as_str()) {
                commands.push(command);
            }
        }
        commands
    }
}

/// What was read of this host.
#[derive(Debug, Clone)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
pub(crate) struct Readings {
    pub(crate) os: Os,
    pub(crate) init: Option<Init>,
    pub(crate) root: bool,
    pub(crate) user: String,
    pub(crate) incus: Reach,
    /// The contents of `/etc/subuid` and `/etc/subgid`.
    pub(crate) subids: [Option<String>; 2],
    pub(crate) kvm: bool,
    pub(crate) iommu: bool,
    /// `nvidia-container-cli` is there.
    pub(crate) nvidia: bool,
    pub(crate) nft: Nft,
    /// `net.bridge.bridge-nf-call-iptables` is 1.
    pub(crate) bridged: bool,
    pub(crate) clock: Clock,
    /// The ports of anklume's bridges that are named like Incus's, by bridge.
    pub(crate) ports: Vec<(String, String)>,
}

/// Whether Incus answers.
#[derive(Debug, Clone)]
pub(crate) enum Reach {
    Missing,
    Down,
    Denied,
    /// Something else; its words.
    Broken(String),
    Answers(Box<Answers>),
}

/// What Incus answers.
#[derive(Debug, Clone)]
pub(crate) struct Answers {
    pub(crate) server: Server,
    pub(crate) extensions: Vec<String>,
    pub(crate) pools: Vec<Pool>,
    pub(crate) live: Live,
    /// The host's ends of the cards of machines.
    pub(crate) host_names: Vec<String>,
    /// It is on another host than this process.
    pub(crate) elsewhere: bool,
}

/// A storage pool.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Pool {
    pub(crate) name: String,
    pub(crate) driver: String,
    /// `Created`, `Unavailable`, …
    pub(crate) status: String,
    /// Bytes used, of all; where it tells.
    pub(crate) space: Option<(u64, u64)>,
}

/// What nft says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Nft {
    Missing,
    /// Its words.
    Unreadable(String),
    /// The tables, `inet incus`.
    Tables(Vec<String>),
}

/// What time it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Clock {
    /// Seconds since 1970.
    pub(crate) now: u64,
    /// `None` where nothing tells.
    pub(crate) synchronised: Option<bool>,
}

/// The file of the infrastructure.
#[derive(Debug, Clone)]
pub(crate) enum File {
    /// There is none here, and none was named.
    None,
    /// It cannot be used; why.
    Wrong(String),
    Good(Box<OfFile>),
}

/// What the file asks of the host.
#[derive(Debug, Clone)]
pub(crate) struct OfFile {
    pub(crate) desired: Desired,
    /// The isolation as it is to be now.
    pub(crate) wall: Wall,
    /// What of it does not fit this host: how bad, what, and what helps.
    pub(crate) misfits: Vec<(Level, String, String)>,
    /// What breaks what it allows; `None` where that could not be looked at.
    pub(crate) findings: Option<Vec<Finding>>,
}

/// Looks at everything.
pub(crate) fn report(readings: &Readings, file: &File) -> Report {
    let mut report = Report::default();
    report.lines.push(incus::reach(readings));
    if let Reach::Answers(answers) = &readings.incus {
        report.lines.push(incus::version(answers));
        report.lines.extend(incus::pools(answers));
        report.lines.extend(incus::space(answers));
        report.lines.push(devices::virtual_machines(readings, answers, file));
        report.lines.push(devices::gpus(readings, answers));
        report.lines.extend(leftovers::lines(readings, answers));
    } else {
        let checks =
            vec![Check::Version, Check::Storage, Check::Space, Check::VirtualMachines, Check::Gpus, Check::Leftovers];
        report.leave_out(checks, "Incus does not answer");
    }
    if matches!(&readings.incus, Reach::Answers(answers) if answers.elsewhere) {
        let checks = vec![Check::Ids, Check::Nftables, Check::Boot, Check::Bridged, Check::Clock];
        report.leave_out(checks, "Incus runs on another host than this program: look at them there");
    } else {
        report.lines.push(own::user(readings));
        report.lines.extend(own::ids(readings));
        report.lines.push(isolation::nftables(readings));
        report.lines.push(isolation::bridged(readings, file));
        report.lines.push(own::clock(readings));
    }
    of_file(readings, file, &mut report);
    report.lines.sort_by_key(|line| line.check);
    report.left_out.retain(|left_out| !left_out.checks.is_empty());
    report
}

/// What only the file tells whether it is right.
fn of_file(readings: &Readings, file: &File, report: &mut Report) {
    use Check::{Boot, File as OfFile, Filters, Forwarding, LegacyFilters, Routes, Table};
    let network = || vec![Forwarding, Filters, LegacyFilters, Routes];
    match (file, &readings.incus) {
        (File::None, _) => {
            report.leave_out(
                [vec![Table, Boot], network(), vec![OfFile]].concat(),
                "there is no infra.yml here; `-f PATH` names one",
            );
        }
        (File::Wrong(why), _) => {
            report.lines.push(Line::failure(OfFile, why.clone()).mend(["anklume check"]));
            report.leave_out([vec![Table, Boot], network()].concat(), "the file has to be right first");
        }
        (File::Good(of_file), Reach::Answers(answers)) => {
            report.lines.extend(own::file(of_file));
            report.lines.extend(isolation::table(&of_file.wall, &answers.live));
            report.lines.extend(isolation::boot(&of_file.wall, &answers.live));
            match &of_file.findings {
                Some(findings) => {
                    let lines = FirewallCheck::ALL.iter().flat_map(|one| isolation::network(*one, findings));
                    report.lines.extend(lines);
                }
                None => report.leave_out(network(), "the kernel's filters cannot be read"),
            }
        }
        (File::Good(of_file), _) => {
            report.lines.extend(own::file(of_file));
            report.leave_out([vec![Table, Boot], network()].concat(), "Incus does not answer");
        }
    }
}

impl Report {
    fn leave_out(&mut self, checks: Vec<Check>, why: &str) {
        self.left_out.push(LeftOut { checks, why: why.to_owned() });
    }
}
