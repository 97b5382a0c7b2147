//! The table, what keeps it, and what others on this host do to packets.

use super::{Check, File, Level, Line, Nft, Readings};
use crate::firewall::doctor::{Check as FirewallCheck, Finding, Level as FirewallLevel};
use crate::firewall::fence::{self, Step, Table};
use crate::firewall::keep::AfterReboot;
use crate::firewall::wall::Wall;
use crate::incus::live::Live;

/// The command that loads and keeps the table, and does nothing else.
const LOAD: &str = "anklume firewall apply --yes";

pub(super) fn nftables(readings: &Readings) -> Line {
    let check = Check::Nftables;
    match &readings.nft {
        Nft::Missing => {
            let line = Line::failure(check, "`nft` is not installed: nothing could keep domains apart");
            let words = readings.os.install(&["nftables"]);
            line.mend(words.map(|words| words.join(" ")))
        }
        Nft::Unreadable(said) => {
            Line::warning(check, format!("the kernel's filters cannot be read: {said}")).note("run as root")
        }
        Nft::Tables(tables) => {
            let others: Vec<&str> = tables
                .iter()
                .map(String::as_str)
                .filter(|table| !table.ends_with(" incus") && *table != "inet anklume")
                .collect();
            let line = Line::ok(check, "nftables is there");
            if others.is_empty() { line } else { line.note(format!("others use it too: {}", others.join(", "))) }
        }
    }
}

/// Whether packets inside one bridge meet the host's filters matters where the file filters there.
pub(super) fn bridged(readings: &Readings, file: &File) -> Line {
    let check = Check::Bridged;
    if readings.bridged {
        return Line::ok(check, "packets within a domain meet the host's filters too (bridge-nf-call-iptables is 1)");
    }
    let filtered = match file {
        File::Good(of_file) => of_file
            .desired
            .domains
            .iter()
            .filter(|domain| !domain.acl.is_empty())
            .map(|domain| domain.name.as_str())
            .collect(),
        File::None | File::Wrong(_) => Vec::new(),
    };
    if filtered.is_empty() {
        return Line::ok(check, "packets within a domain meet no filter of the host");
    }
    Line::warning(
        check,
        format!("the `acl` of {} does not filter what machines of one domain send each other", filtered.join(", ")),
    )
    .mend(["modprobe br_netfilter", "sysctl -w net.bridge.bridge-nf-call-iptables=1"])
    .note("filters of others, such as Docker's, then meet these packets too")
}

pub(super) fn table(wall: &Wall, live: &Live) -> Option<Line> {
    let check = Check::Table;
    Some(match fence::action(wall, &live.table) {
        Step::Nothing if wall.bridges.is_empty() => return None,
        Step::Nothing => Line::ok(check, "the table is in force, as the file says"),
        Step::Unknown { why, hint } => Line::warning(check, format!("the table cannot be told: {why}")).note(hint),
        Step::Load(_) if !has_bridges(wall, live) => return None,
        Step::Load(_) if matches!(live.table, Table::Known(None)) => {
            Line::failure(check, "the table is GONE: nothing keeps the domains apart").fixed_by([LOAD])
        }
        Step::Load(_) => Line::failure(check, "the table is not as the file says")
            .mend([LOAD])
            .note("`anklume plan` shows what differs"),
    })
}

/// Before the first apply there is nothing to keep apart.
fn has_bridges(wall: &Wall, live: &Live) -> bool {
    let stands = |bridge: &String| {
        live.found.contains_key(&crate::plan::Id::global(crate::plan::Kind::Network, bridge.as_str()))
    };
    wall.bridges.keys().any(stands)
}

pub(super) fn boot(wall: &Wall, live: &Live) -> Option<Line> {
    if !matches!(live.table, Table::Known(_)) || !has_bridges(wall, live) {
        return None;
    }
    let after = live.keeping.after_reboot(wall);
    Some(match after {
        AfterReboot::Stands => Line::ok(Check::Boot, "after a reboot the table is in force before Incus starts"),
        AfterReboot::NotYet => {
            Line::warning(Check::Boot, "what is loaded at the next boot is not the table of the file").fixed_by([LOAD])
        }
        AfterReboot::Gone | AfterReboot::UpToOthers => {
            Line::warning(Check::Boot, format!("after a reboot, the isolation is {after}"))
        }
    })
}

/// What the firewall's own doctor finds.
pub(super) fn network((check, good): (FirewallCheck, &'static str), findings: &[Finding]) -> Vec<Line> {
    let own = match check {
        FirewallCheck::Forwarding => Check::Forwarding,
        FirewallCheck::Filters => Check::Filters,
        FirewallCheck::LegacyFilters => Check::LegacyFilters,
        FirewallCheck::Routes => Check::Routes,
    };
    let of_it: Vec<&Finding> = findings.iter().filter(|finding| finding.check == check).collect();
    if of_it.is_empty() {
        return vec![Line::ok(own, good)];
    }
    let line = |finding: &Finding| Line {
        check: own,
        level: if finding.level == FirewallLevel::Failure { Level::Failure } else { Level::Warning },
        message: finding.message.clone(),
        mend: finding.mend.clone(),
        // What may be fine is left; the last resort against rules that nft does not know is only a look at them.
        fix: finding.level == FirewallLevel::Failure && check != FirewallCheck::LegacyFilters,
        note: finding.note.clone(),
    };
    of_it.into_iter().map(line).collect()
}
