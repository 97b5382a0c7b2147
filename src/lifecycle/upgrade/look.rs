//! How a machine stands before and after an upgrade, and what is wrong with it then.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use serde_json::Value;

use super::packages::Manager;
use crate::incus::call::Call;
use crate::lifecycle::health::Health;
use crate::plan::Id;

/// What a guest tells of itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Look {
    pub(crate) manager: Option<Manager>,
    /// The units that systemd could not keep up.
    pub(crate) failed: BTreeSet<String>,
    /// Those that it could not keep up before an upgrade that was cut off began.
    pub(crate) before: Option<BTreeSet<String>>,
    /// systemd is starting or stopping something.
    pub(crate) busy: bool,
    /// Something that runs is older than what is installed, and only a restart of the machine changes that.
    pub(crate) wants_restart: bool,
}

const LOOK: &str = "\
for program in apt-get zypper dnf pacman apk; do
  if command -v $program >/dev/null; then echo manager $program; break; fi
done
if [ -d /run/systemd/system ]; then
  systemctl list-units --failed --plain --no-legend --no-pager | while read -r unit rest; do echo failed $unit; done
  if systemctl list-jobs --no-legend --no-pager | grep -q '[0-9]'; then echo busy; fi
fi
if [ -n \"$1\" ] && [ \"$(head -n 1 /run/anklume-upgrade.before 2>/dev/null)\" = \"$1\" ]; then
  echo before; tail -n +2 /run/anklume-upgrade.before | while read -r unit; do echo before $unit; done
fi
if [ -e /run/reboot-required ]; then echo restart; fi";

impl Look {
    /// The call that has a guest tell it. `snapshot` is the one that was taken before an upgrade that was cut off.
    pub(crate) fn call(id: &Id, snapshot: Option<&str>) -> Call {
        let snapshot = snapshot.unwrap_or_default();
        Call::incus(["exec", &id.name, "--project", &id.project, "--", "sh", "-c", LOOK, "sh", snapshot])
    }

    /// Reads what it told.
    pub(crate) fn parse(told: &str) -> Self {
        let mut look = Self::default();
        for line in told.lines() {
            match line.split_once(' ').unwrap_or((line, "")) {
                ("manager", program) => look.manager = Manager::of(program.trim()),
                ("failed", unit) => drop(look.failed.insert(unit.trim().to_owned())),
                ("before", "") => drop(look.before.get_or_insert_default()),
                ("before", unit) => drop(look.before.get_or_insert_default().insert(unit.trim().to_owned())),
                ("busy", _) => look.busy = true,
                ("restart", _) => look.wants_restart = true,
                _ => {}
            }
        }
        look
    }
}

/// The IPv4 addresses on the cards that Incus gave a machine, as its state tells them.
pub(crate) fn addresses(state: &Value) -> BTreeSet<Ipv4Addr> {
    let cards = state["network"].as_object().into_iter().flatten();
    // What the guest made itself has no other end on the host.
    let cards = cards.filter(|(_, card)| card["host_name"].as_str().is_some_and(|name| !name.is_empty()));
    let addresses = cards.flat_map(|(_, card)| card["addresses"].as_array().into_iter().flatten());
    let global = addresses.filter(|address| address["family"] == "inet" && address["scope"] == "global");
    global.filter_map(|address| address["address"].as_str()?.parse().ok()).collect()
}

/// What a machine is to be like, as it was before.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Before {
    /// The address that the file gives it.
    pub(crate) address: Option<Ipv4Addr>,
    /// It had an address.
    pub(crate) had_address: bool,
    pub(crate) failed: BTreeSet<String>,
}

/// What a machine is like now.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Now {
    /// Its state, as Incus calls it.
    pub(crate) status: String,
    pub(crate) addresses: BTreeSet<Ipv4Addr>,
    /// Nothing where it cannot be asked.
    pub(crate) look: Option<Look>,
    /// Nothing where it has no command of its own.
    pub(crate) health: Option<Health>,
}

/// What is wrong with it; nothing: it is healthy. `asks` is false where nobody can ask the guest, before or after.
pub(crate) fn troubles(before: &Before, now: &Now, asks: bool) -> Vec<String> {
    if now.status != "Running" {
        return vec![format!("it does not run ({})", now.status)];
    }
    let mut troubles = Vec::new();
    match before.address {
        Some(address) if !now.addresses.contains(&address) => {
            troubles.push(format!("it has not got its address {address}"));
        }
        None if before.had_address && now.addresses.is_empty() => troubles.push("it has no address".into()),
        _ => {}
    }
    match &now.look {
        Some(look) => {
            let new: Vec<&str> = look.failed.difference(&before.failed).map(String::as_str).collect();
            if !new.is_empty() {
                troubles.push(format!("failed units: {}", new.join(", ")));
            }
            if look.busy {
                troubles.push("systemd is still starting or stopping something".into());
            }
        }
        None if asks => troubles.push("no command can be run in it".into()),
        None => {}
    }
    if let Some(Health::Unhealthy(why)) = &now.health {
        troubles.push(why.clone());
    }
    troubles
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn good() -> Now {
        Now {
            status: "Running".into(),
            addresses: [Ipv4Addr::new(10, 0, 0, 1)].into(),
            look: Some(Look::default()),
            health: None,
        }
    }

    fn wrong(before: &Before, now: &Now) -> String {
        troubles(before, now, true).join("; ")
    }

    #[test]
    fn what_a_guest_tells_is_read() {
        let told =
            "manager apk\nfailed a.service\nfailed b.mount\nbusy\nbefore\nbefore a.service\nrestart\nsomething else\n";
        let expected = Look {
            manager: Some(Manager::Apk),
            failed: ["a.service".to_owned(), "b.mount".to_owned()].into(),
            before: Some(["a.service".to_owned()].into()),
            busy: true,
            wants_restart: true,
        };
        assert_eq!(Look::parse("before\n").before, Some([].into()), "nothing had failed");
        assert_eq!(Look::parse(told), expected);
        assert_eq!(Look::parse(""), Look::default());
    }

    #[test]
    fn the_guest_is_asked_for_each_manager_that_is_known() {
        let programs: Vec<&str> = Manager::ALL.iter().map(|manager| manager.program()).collect();
        assert!(LOOK.starts_with(&format!("for program in {};", programs.join(" "))));
    }

    #[test]
    fn only_addresses_on_cards_of_incus_count() {
        let address = |text: &str, scope: &str| json!({"family": "inet", "address": text, "scope": scope});
        let state = json!({"network": {
            "lo": {"host_name": "", "addresses": [address("127.0.0.1", "local")]},
            "docker0": {"host_name": "", "addresses": [address("172.17.0.1", "global")]},
            "eth0": {"host_name": "veth1", "addresses": [address("10.0.0.1", "global"), address("169.254.0.1", "link")]}}});
        assert_eq!(addresses(&state), [Ipv4Addr::new(10, 0, 0, 1)].into());
        assert_eq!(addresses(&json!({"network": null})), [].into());
    }

    #[test]
    fn a_machine_is_healthy_where_nothing_is_worse_than_before() {
        let address = Some(Ipv4Addr::new(10, 0, 0, 1));
        let before = Before { address, had_address: true, failed: ["a.service".to_owned()].into() };
        assert_eq!(wrong(&before, &good()), "");
        let failed = |units: [&str; 2]| Look { failed: units.map(str::to_owned).into(), ..Look::default() };
        let now = Now { look: Some(failed(["a.service", "b.service"])), ..good() };
        assert_eq!(wrong(&before, &now), "failed units: b.service");
        assert_eq!(wrong(&before, &Now { look: Some(failed(["a.service"; 2])), ..good() }), "", "it had failed before");
        assert_eq!(wrong(&before, &Now { status: "Stopped".into(), ..good() }), "it does not run (Stopped)");
        let unhealthy = Some(Health::Unhealthy("no".into()));
        let now = Now { addresses: [].into(), look: None, health: unhealthy, ..good() };
        let all = "it has not got its address 10.0.0.1; no command can be run in it; no";
        assert_eq!(wrong(&before, &now), all);
        assert_eq!(troubles(&before, &Now { look: None, ..good() }, false), [""; 0], "nobody could ask it before");
    }

    #[test]
    fn without_an_address_in_the_file_any_will_do_where_there_was_one() {
        let now = Now { addresses: [].into(), ..good() };
        assert_eq!(wrong(&Before { had_address: true, ..Before::default() }, &now), "it has no address");
        assert_eq!(wrong(&Before::default(), &now), "");
        let busy = Look { busy: true, ..Look::default() };
        let still = "systemd is still starting or stopping something";
        assert_eq!(wrong(&Before::default(), &Now { look: Some(busy), ..now }), still);
    }
}
