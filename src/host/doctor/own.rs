//! What is this host's own: who runs this, the ids of containers, its clock; and what of the file does not fit it.

use super::{Check, Level, Line, OfFile, Readings};
use crate::host::subids::{self, SubIds};

pub(super) fn user(readings: &Readings) -> Line {
    if readings.root {
        return Line::ok(Check::User, "this is root, who can load the table");
    }
    Line::warning(Check::User, format!("this is {}, who can look but not load the table", readings.user))
        .note("`sudo anklume apply`")
}

pub(super) fn ids(readings: &Readings) -> Vec<Line> {
    let files = readings.subids.each_ref().map(Option::as_deref);
    let each = ["/etc/subuid", "/etc/subgid"].into_iter().zip(files.map(subids::of_root));
    let line = |(file, of_root)| match of_root {
        SubIds::Unsaid => Line::ok(Check::Ids, format!("no {file}: Incus takes the ids from 1000000 on")),
        SubIds::Enough(count) => Line::ok(Check::Ids, format!("root has {count} ids for containers in {file}")),
        SubIds::TooFew(count) => {
            let message = format!("root has {count} ids for containers in {file}, and one container needs 65536");
            let restart = readings.init.map(|_| "systemctl restart incus.service".to_owned());
            let grant = subids::grant(files).join(" ");
            Line::failure(Check::Ids, message)
                .mend([grant].into_iter().chain(restart))
                .note("Incus reads them when it starts")
        }
    };
    each.map(line).collect()
}

/// 2025 began then: no clock that runs before this program was written is right.
const WRITTEN: u64 = 1_735_689_600;

pub(super) fn clock(readings: &Readings) -> Line {
    let clock = readings.clock;
    if clock.now < WRITTEN {
        return Line::failure(
            Check::Clock,
            "the clock is years behind: no certificate of an image server is valid yet",
        )
        .mend(["timedatectl set-ntp true"]);
    }
    match clock.synchronised {
        Some(true) => Line::ok(Check::Clock, "the clock is synchronised"),
        None => Line::ok(Check::Clock, "the clock is sane; nothing here tells whether it is synchronised"),
        Some(false) => Line::warning(Check::Clock, "the clock is not synchronised: snapshots and leases go by it")
            .fixed_by(["timedatectl set-ntp true"])
            .note("which needs a service for it, such as systemd-timesyncd or chrony"),
    }
}

/// What the file asks for, and this host has not or already uses.
pub(super) fn file(of_file: &OfFile) -> Vec<Line> {
    if of_file.misfits.is_empty() {
        return vec![Line::ok(Check::File, "the file fits this host, its networks and routes")];
    }
    let line = |(level, message, help): &(Level, String, String)| {
        Line::new(Check::File, *level, message.clone()).note(help.clone())
    };
    of_file.misfits.iter().map(line).collect()
}
