//! Which machine this program itself runs in, of those that an Incus has.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use serde_json::Value;

use crate::plan::{Id, Kind};

/// What can be seen from inside.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Traits {
    /// What Incus calls this instance, for nobody else to have.
    instance_id: Option<String>,
    /// The MAC addresses of its cards, which nobody else on the host has either.
    cards: BTreeSet<String>,
}

impl Traits {
    /// Looks at what Incus tells its guests, and at the cards.
    pub(crate) fn read(root: &Path) -> Self {
        let told = ["dev/incus/sock", "dev/lxd/sock"].iter().find_map(|place| meta_data(&root.join(place)));
        let entries = std::fs::read_dir(root.join("sys/class/net")).into_iter().flatten().flatten();
        let card = |entry: std::fs::DirEntry| std::fs::read_to_string(entry.path().join("address")).ok();
        let cards = entries.filter_map(card).map(|address| address.trim().to_owned());
        let is_one = |address: &String| address.len() == 17 && address != "00:00:00:00:00:00";
        Self { instance_id: told.as_deref().and_then(instance_id), cards: cards.filter(is_one).collect() }
    }

    /// The machine, in the list of all (`/1.0/instances?recursion=1&all-projects=true`). Not one that only looks like it:
    /// with two of them nobody knows.
    pub(crate) fn machine(&self, listed: &Value) -> Option<Id> {
        let machines: Vec<&Value> = listed.as_array().into_iter().flatten().collect();
        let by_id = |machine: &&&Value| {
            self.instance_id.is_some()
                && machine["config"]["volatile.cloud-init.instance-id"].as_str() == self.instance_id.as_deref()
        };
        let by_card = |machine: &&&Value| {
            let config = machine["config"].as_object().into_iter().flatten();
            let mut addresses = config.filter(|(key, _)| key.starts_with("volatile.") && key.ends_with(".hwaddr"));
            addresses.any(|(_, address)| address.as_str().is_some_and(|address| self.cards.contains(address)))
        };
        let found: Vec<&&Value> = machines.iter().filter(by_id).collect();
        let found = if found.is_empty() { machines.iter().filter(by_card).collect() } else { found };
        match found.as_slice() {
            [one] => Some(Id::within(Kind::Instance, one["project"].as_str()?, one["name"].as_str()?)),
            _ => None,
        }
    }
}

/// What Incus tells a guest of itself, where it does.
fn meta_data(socket: &Path) -> Option<String> {
    let mut stream = UnixStream::connect(socket).ok()?;
    let patience = Some(Duration::from_secs(5));
    stream.set_read_timeout(patience).ok()?;
    stream.set_write_timeout(patience).ok()?;
    stream.write_all(b"GET /1.0/meta-data HTTP/1.0\r\nHost: incus\r\n\r\n").ok()?;
    let mut answer = String::new();
    stream.take(64 * 1024).read_to_string(&mut answer).ok()?;
    Some(answer)
}

fn instance_id(answer: &str) -> Option<String> {
    let told = answer.lines().find_map(|line| line.strip_prefix("instance-id:"))?;
    Some(told.trim().to_owned()).filter(|id| !id.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn machines() -> Value {
        let machine = |name: &str, id: &str, card: &str| {
            json!({"name": name, "project": "pro", "config": {
            "volatile.cloud-init.instance-id": id, "volatile.eth0.hwaddr": card}})
        };
        json!([
            machine("a", "1", "10:66:6a:00:00:01"),
            machine("b", "2", "10:66:6a:00:00:02"),
            machine("twin", "3", "10:66:6a:00:00:02")
        ])
    }

    fn found(instance_id: Option<&str>, cards: &[&str]) -> Option<String> {
        let cards = cards.iter().map(ToString::to_string).collect();
        Traits { instance_id: instance_id.map(str::to_owned), cards }.machine(&machines()).map(|id| id.name)
    }

    #[test]
    fn a_machine_is_told_by_what_incus_says_to_it_or_by_its_cards() {
        assert_eq!(found(Some("2"), &["10:66:6a:00:00:01"]).as_deref(), Some("b"));
        assert_eq!(found(None, &["10:66:6a:00:00:01", "10:66:6a:00:00:99"]).as_deref(), Some("a"));
        assert_eq!(found(Some("9"), &["10:66:6a:00:00:01"]).as_deref(), Some("a"), "it was given another id since");
    }

    #[test]
    fn on_the_host_or_among_twins_nobody_is_found() {
        assert_eq!(found(None, &[]), None);
        assert_eq!(found(Some("9"), &["10:66:6a:00:00:99"]), None);
        assert_eq!(found(None, &["10:66:6a:00:00:02"]), None);
    }

    #[test]
    fn the_id_is_read_from_an_answer_and_the_cards_from_the_kernel() {
        let answer = "HTTP/1.0 200 OK\r\n\r\n#cloud-config\r\ninstance-id: 5e-1\r\nlocal-hostname: dev\r\n";
        assert_eq!(instance_id(answer).as_deref(), Some("5e-1"));
        assert_eq!(instance_id("HTTP/1.0 404 Not Found\r\n\r\n"), None);
        let root = tempfile::tempdir().unwrap();
        for (card, address) in [("lo", "00:00:00:00:00:00"), ("eth0", "10:66:6a:00:00:01")] {
            std::fs::create_dir_all(root.path().join("sys/class/net").join(card)).unwrap();
            std::fs::write(root.path().join("sys/class/net").join(card).join("address"), format!("{address}\n"))
                .unwrap();
        }
        let cards = ["10:66:6a:00:00:01".to_owned()].into();
        assert_eq!(Traits::read(root.path()), Traits { instance_id: None, cards });
    }
}
