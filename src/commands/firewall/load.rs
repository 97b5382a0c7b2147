//! `anklume firewall load`: loads and keeps a table that another machine exported.

use std::io::Read;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result};
use serde_json::Value;

use crate::cli::LoadArgs;
use crate::commands::{DONE, apply, lock};
use crate::failure::{Hinted, Unfinished};
use crate::firewall::fence::{self, Table};
use crate::firewall::file::TableFile;
use crate::firewall::keep::{self, Keeping};
use crate::firewall::show;
use crate::incus::call::Call;
use crate::incus::door::{Host, ThisHost, json};
use crate::plan::Plan;
use crate::render;
use crate::resolve::desired::Desired;
use crate::resources::fields::Marks;
use crate::ui::Ui;

/// No table of ours is longer by far.
const LONGEST: u64 = 64 << 20;

/// Checks, shows, asks, loads, keeps.
pub(super) async fn run(args: &LoadArgs, ui: Ui) -> Result<ExitCode> {
    let _lock = lock::take("firewall load")?;
    let refused = |why: String| {
        let message = format!("{} was not loaded: {why}", args.from.display());
        Hinted::new(message, "`anklume firewall export FILE` writes such a file")
    };
    let file = TableFile::parse(&read(&args.from)?).map_err(|error| refused(error.to_string()))?;
    let networks = json(&ThisHost, &Call::query("/1.0/networks?recursion=1")).await.context("Incus cannot be read")?;
    if let Some(why) = misplaced(&file, &networks, Path::new("/sys/class/net")) {
        return Err(refused(why).into());
    }
    ThisHost.call(&fence::check_call(file.batch.clone())).await.context("the kernel refuses the table")?;
    let table = Table::read(&ThisHost).await;
    let plan = plan(&file, &table)?;
    ui.print(format!("{}\n", show::text(&file.table, &ui.out)));
    ui.print(render::text::plan(&plan, &Desired::default(), &ui.out));
    if plan.actions.is_empty() {
        return Ok(DONE);
    }
    if !args.yes && !apply::agreed(ui, "Load this table?")? {
        return Err(Unfinished("nothing was changed".into()).into());
    }
    if !apply::carry_out(&plan, apply::bounds(None), ui).await?.is_clean() {
        return Err(Hinted::new("not everything was done", "run it again: it does what is left").into());
    }
    if Table::read(&ThisHost).await.known()? != Some(&file.table) {
        return Err(Hinted::new("the table is different still, or again", "`anklume firewall show` shows it").into());
    }
    ui.say("the table is in force");
    Ok(DONE)
}

fn read(from: &Path) -> Result<String> {
    let mut text = String::new();
    let read = std::fs::File::open(from).and_then(|file| file.take(LONGEST).read_to_string(&mut text));
    read.with_context(|| format!("{} cannot be read", from.display()))?;
    Ok(text)
}

/// The table, and what keeps it over a reboot.
fn plan(file: &TableFile, table: &Table) -> Result<Plan> {
    let live = table.known()?;
    let mut actions: Vec<_> = fence::replacing(live, file).into_iter().collect();
    let before = (0..actions.len()).collect::<Vec<_>>();
    for mut action in Keeping::read(Path::new("/")).actions(Some(&keep::lines(&file.batch))) {
        action.after.clone_from(&before);
        actions.push(action);
    }
    Ok(Plan { actions, held: Vec::new() })
}

/// Why the table is not for this host: it would hold an interface that is none of Incus's bridges, or let go of a bridge
/// of anklume's that stands.
fn misplaced(file: &TableFile, networks: &Value, interfaces: &Path) -> Option<String> {
    let bridges = |name: &&String| !interfaces.join(name).exists() || is_managed(networks, name);
    let named: Vec<&String> = file.table.sets.get("bridges").into_iter().flat_map(|set| set.elements.keys()).collect();
    if let Some(strange) = named.iter().find(|name| !bridges(name)) {
        return Some(format!("it is about `{strange}`, which is no bridge of Incus's"));
    }
    let marked = networks.as_array().into_iter().flatten().filter(|network| Marks::read(network).is_some());
    let mut standing = marked.filter_map(|network| network["name"].as_str());
    let open = standing.find(|name| !named.iter().any(|named| named == name))?;
    Some(format!("it leaves out the bridge `{open}`, which nothing would keep apart then; export it anew"))
}

fn is_managed(networks: &Value, name: &str) -> bool {
    let mut networks = networks.as_array().into_iter().flatten();
    networks.any(|network| network["name"] == name && network["managed"] == true && network["type"] == "bridge")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_table_is_for_this_host_where_it_holds_its_bridges_and_nothing_else() {
        let wall = crate::firewall::wall::Wall {
            bridges: [("net-a".to_owned(), "a".to_owned()), ("net-new".to_owned(), "new".to_owned())].into(),
            ..Default::default()
        };
        let file = TableFile::parse(&keep::text(&wall)).unwrap();
        let interfaces = tempfile::tempdir().unwrap();
        std::fs::create_dir(interfaces.path().join("net-a")).unwrap();
        let ours = |name: &str| json!({"name": name, "managed": true, "type": "bridge", "config": {"user.anklume.infra": "x"}});
        let why = |networks: Value| misplaced(&file, &networks, interfaces.path());
        assert_eq!(why(json!([ours("net-a")])), None);
        let bridge = json!({"name": "net-a", "managed": false, "type": "bridge", "config": {}});
        assert!(why(json!([bridge])).unwrap().contains("`net-a`, which is no bridge of Incus's"));
        assert!(why(json!([])).unwrap().contains("`net-a`, which is no bridge of Incus's"));
        let open = why(json!([ours("net-a"), ours("net-b")])).unwrap();
        assert!(open.contains("leaves out the bridge `net-b`"), "{open}");
        let others = json!({"name": "incusbr0", "managed": true, "type": "bridge", "config": {}});
        assert_eq!(why(json!([ours("net-a"), others])), None);
    }
}
