//! The plan that takes an infrastructure off the host: all that carries its mark, without a look at its file.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use super::super::fencing::Walls;
use super::super::sides::Sides;
use super::super::weigh::AllWeighed;
use super::super::{Found, network, removal};
use super::{Options, Planner};
use crate::firewall::fence::{self, Table};
use crate::firewall::file::TableFile;
use crate::firewall::keep::Keeping;
use crate::firewall::live::LiveTable;
use crate::firewall::readback::readback;
use crate::firewall::wall::{End, Wall};
use crate::incus::live::Live;
use crate::plan::{Kind, Plan};
use crate::resolve::desired::Desired;
use crate::resolve::holds;

/// What goes beside what always does.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Asked {
    /// What is protected.
    pub(crate) force: bool,
    /// What holds data.
    pub(crate) volumes: bool,
}

/// Makes the plan. The table keeps every bridge for as long as it stands, and loses what was for this infrastructure
/// only once that is gone; what it has for others it keeps.
pub(crate) fn flush(infra: &str, live: &Live, asked: Asked) -> Plan {
    let (options, all) = (Options::default(), AllWeighed::new());
    let desired = Desired { infra: infra.to_owned(), wall: holds::standing(live), ..Desired::default() };
    let sides = Sides::new(&desired, live, None, &options, &[]);
    let mut planner = Planner::new(&sides, &all);
    let removal = removal::everything(live, infra, asked.force, asked.volumes);
    let walls = walls(&desired.wall, &removal.delete);
    planner.delete(&removal);
    planner.held = removal.held;
    if walls.first != walls.last {
        planner.last_fence(&walls);
    } else if has_left_over(live, &desired.wall) {
        planner.fence(&desired.wall);
    }
    planner.finish()
}

/// The wall as it stands, and without what goes: its bridges, and what was open for its machines.
fn walls(wall: &Wall, delete: &[&Found]) -> Walls {
    let of = |kind: Kind| delete.iter().filter(move |found| found.id.kind == kind);
    let bridges: BTreeSet<&String> = of(Kind::Network).map(|found| &found.id.name).collect();
    let seats: BTreeSet<(&str, Ipv4Addr)> = of(Kind::Instance)
        .flat_map(|found| network::nics(&found.fields))
        .filter_map(|nic| Some((nic.bridge, nic.address()?)))
        .collect();
    let is_gone = |end: &End| match end {
        End::Machine { bridge, address } => seats.contains(&(bridge.as_str(), *address)),
        End::Host | End::Domain { .. } => false,
    };
    let mut last = fence::without(wall, &bridges);
    last.openings.retain(|opening| !is_gone(&opening.from) && !is_gone(&opening.to));
    Walls { first: wall.clone(), last, movers: of(Kind::Instance).map(|found| found.id.clone()).collect() }
}

/// Is there something in the table, or in what keeps it, of bridges that no longer stand: of a run that was cut off?
fn has_left_over(live: &Live, wall: &Wall) -> bool {
    let is_over = |table: &LiveTable| {
        wall.bridges.is_empty() || readback(table).wall.bridges.keys().any(|bridge| !wall.bridges.contains_key(bridge))
    };
    let Table::Known(table) = &live.table else { return false };
    let Keeping { file, service, enabled, watched, .. } = &live.keeping;
    let kept = file.as_ref().map(|text| TableFile::parse(text).map(|kept| kept.table));
    let keeps_nothing = wall.bridges.is_empty() && (kept.is_some() || service.is_some() || *enabled || *watched);
    keeps_nothing || table.as_ref().is_some_and(is_over) || matches!(&kept, Some(Ok(table)) if is_over(table))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::firewall::keep;
    use crate::host::boot::Init;
    use crate::plan::Why;
    use crate::resources::{RESOURCES, Resource, volume};

    fn marked(infra: &str, domain: &str, protected: bool, more: &Value) -> Value {
        let mut config = json!({"user.anklume.infra": infra, "user.anklume.domain": domain});
        if protected {
            config["user.anklume.protected"] = json!("true");
        }
        for (key, value) in more.as_object().into_iter().flatten() {
            config[key] = value.clone();
        }
        config
    }

    fn project(infra: &str, name: &str, protected: bool) -> Found {
        found(0, &json!({"name": name, "config": marked(infra, name, protected, &json!({}))}))
    }

    fn bridge(infra: &str, name: &str, net: u8) -> Found {
        let address = json!({"ipv4.address": format!("10.120.{net}.254/24"), "ipv4.nat": "true"});
        let config = marked(infra, name, false, &address);
        found(3, &json!({"name": format!("net-{name}"), "managed": true, "type": "bridge", "config": config}))
    }

    fn machine(infra: Option<&str>, domain: &str, name: &str, ip: &str, volume: Option<&str>) -> Found {
        let mut devices = json!({"eth0": {"type": "nic", "network": format!("net-{domain}"), "ipv4.address": ip}});
        if let Some(volume) = volume {
            devices["data"] = json!({"type": "disk", "pool": "p", "source": volume, "path": "/d"});
        }
        let config = infra.map_or(json!({}), |infra| marked(infra, domain, false, &json!({})));
        found(
            7,
            &json!({"name": name, "project": domain, "type": "container", "status": "Running", "profiles": [],
            "config": config, "devices": devices}),
        )
    }

    fn data(infra: &str, domain: &str, name: &str) -> Found {
        let config = marked(infra, domain, false, &json!({}));
        found(6, &json!({"name": name, "project": domain, "pool": "p", "config": config}))
    }

    fn found(resource: usize, listed: &Value) -> Found {
        let resource: &dyn Resource = RESOURCES[resource];
        resource.found(listed).expect("it is listed as Incus does")
    }

    /// Two infrastructures, `one` with a volume, and the table that they have.
    fn host() -> Live {
        let all = [
            project("one", "a", false),
            bridge("one", "a", 0),
            machine(Some("one"), "a", "a1", "10.120.0.1", Some("a1-data")),
            data("one", "a", "a1-data"),
            project("two", "x", false),
            bridge("two", "x", 1),
            machine(Some("two"), "x", "x1", "10.120.1.1", None),
        ];
        let live = Live { found: all.into_iter().map(|found| (found.id.clone(), found)).collect(), ..Live::empty() };
        fenced(live)
    }

    fn fenced(live: Live) -> Live {
        let wall = holds::standing(&live);
        let keeping = Keeping { init: Some(Init::Systemd), ..Keeping::default() }.after(Some(&keep::text(&wall)));
        Live { table: Table::Known(Some(LiveTable::wanted(&wall))), keeping, ..live }
    }

    fn told(plan: &Plan) -> Vec<String> {
        plan.actions.iter().map(|action| format!("{} {}", action.verb.word(), action.id)).collect()
    }

    fn held(plan: &Plan) -> Vec<(String, Why)> {
        plan.held.iter().map(|held| (held.id.to_string(), held.why)).collect()
    }

    const ALL: Asked = Asked { force: true, volumes: true };

    #[test]
    fn everything_goes_the_table_last_and_others_keep_theirs() {
        let plan = flush("one", &host(), ALL);
        assert_eq!(
            told(&plan),
            [
                "delete instance a1",
                "delete volume p/a1-data",
                "delete network net-a",
                "delete project a",
                "update firewall",
                "update file /etc/anklume/firewall.json"
            ]
        );
        assert!(plan.actions[4].after.contains(&2), "the table waits for the bridge: {:?}", plan.actions[4].after);
        assert!(holds::standing(&host()).others.is_empty(), "a bridge of anklume's is no other one");
        assert_eq!(plan.actions[1].calls[0].words(), "incus storage volume delete p a1-data --project a");
        assert_eq!(held(&plan), []);
    }

    #[test]
    fn the_last_one_takes_the_table_and_what_keeps_it_with_it() {
        let mut live = host();
        live.found.retain(|_, found| found.marks.as_ref().is_some_and(|marks| marks.infra == "one"));
        let plan = flush("one", &fenced(live), ALL);
        let kept = ["delete service anklume-firewall", "delete file /etc/anklume/firewall.json", "delete firewall"];
        assert_eq!(told(&plan)[4..], kept);
    }

    #[test]
    fn a_volume_stays_and_its_project_with_it_until_it_is_named() {
        let plan = flush("one", &host(), Asked { force: true, volumes: false });
        assert_eq!(
            told(&plan),
            ["delete instance a1", "delete network net-a", "update firewall", "update file /etc/anklume/firewall.json"]
        );
        assert_eq!(held(&plan), [("project a".into(), Why::Kept), ("volume p/a1-data".into(), Why::Kept)]);
        assert!(plan.held[1].message.contains("anklume flush --volumes"), "{:?}", plan.held);
    }

    #[test]
    fn what_is_protected_stays_and_so_does_the_data_of_its_domain() {
        let mut live = host();
        let protected = project("one", "a", true);
        live.found.insert(protected.id.clone(), protected);
        let plan = flush("one", &live, Asked { force: false, volumes: true });
        assert_eq!(told(&plan)[..2], ["delete instance a1", "delete network net-a"]);
        assert_eq!(held(&plan), [("project a".into(), Why::Protected), ("volume p/a1-data".into(), Why::Protected)]);
        assert_eq!(held(&flush("one", &live, ALL)), []);
    }

    #[test]
    fn a_volume_that_somebody_elses_machine_has_stays_and_that_is_told() {
        let mut live = host();
        let pet = machine(None, "a", "pet", "10.120.0.9", Some("a1-data"));
        live.found.insert(pet.id.clone(), pet);
        let plan = flush("one", &live, ALL);
        assert_eq!(told(&plan), ["delete instance a1"]);
        let of_volume = plan.held.iter().find(|held| held.id == volume::id("a", "p", "a1-data")).unwrap();
        assert_eq!((of_volume.why, of_volume.message.as_str()), (Why::Refused, "still needed by instance pet"));
        assert_eq!(plan.held.len(), 3, "{:?}", plan.held);
    }

    #[test]
    fn what_a_run_that_was_cut_off_left_of_the_table_goes_and_else_nothing_is_touched() {
        let mut live = host();
        live.found.retain(|_, found| found.marks.as_ref().is_some_and(|marks| marks.infra == "two"));
        let kept = "update file /etc/anklume/firewall.json";
        assert_eq!(told(&flush("one", &live, ALL)), ["update firewall", kept]);
        // The kernel has it already, the file for the next boot has not.
        let table = Table::Known(Some(LiveTable::wanted(&holds::standing(&live))));
        assert_eq!(told(&flush("one", &Live { table, ..live.clone() }, ALL)), [kept]);
        let live = fenced(live);
        assert_eq!(told(&flush("one", &live, ALL)), Vec::<String>::new());
        // What somebody changed in the table of others is theirs to see to.
        let none = Live { table: Table::Known(None), ..live };
        assert_eq!(told(&flush("one", &none, ALL)), Vec::<String>::new());
        let bare = Live { found: [].into(), table: Table::Known(None), ..host() };
        assert_eq!(
            told(&flush("one", &bare, ALL)),
            ["delete service anklume-firewall", "delete file /etc/anklume/firewall.json"]
        );
    }

    #[test]
    fn what_was_open_for_a_machine_closes_with_it_where_its_bridge_stays() {
        let opening = |address: &str| crate::firewall::wall::Opening {
            from: End::Domain { bridge: "net-x".into() },
            to: End::Machine { bridge: "net-a".into(), address: address.parse().unwrap() },
            protocol: None,
            ports: Vec::new(),
            policy: "x -> a".into(),
        };
        let live = host();
        let wall = Wall { openings: vec![opening("10.120.0.1"), opening("10.120.0.2")], ..holds::standing(&live) };
        let a1 = live.found.values().filter(|found| found.id.name == "a1").collect::<Vec<_>>();
        let walls = walls(&wall, &a1);
        assert_eq!(walls.last.openings, [opening("10.120.0.2")]);
        assert_eq!(walls.movers.len(), 1);
    }
}
