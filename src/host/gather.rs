//! Asks this host for its addresses and routes, through the door.

use std::path::Path;

use super::facts::{Facts, Totals, kernel_totals, parse_addresses, parse_routes, parse_totals};
use super::reach;
use crate::incus::call::Call;
use crate::incus::door::{CallError, Host, json};
use crate::resources::network;

/// The context, with the networks that the host is in or has a route to, and its totals where they are `shared`.
pub(crate) async fn read(host: &impl Host, context: Facts, shared: bool) -> Result<Facts, CallError> {
    // All tables, which is both families too.
    let (addresses, routes) =
        (Call::read("ip", ["-j", "addr"]), Call::read("ip", ["-j", "route", "show", "table", "all"]));
    let (addresses, routes, totals) = tokio::join!(json(host, &addresses), json(host, &routes), async {
        if shared { totals(host).await } else { None }
    });
    let links = addresses?;
    let mut networks = parse_addresses(&links);
    networks.extend(parse_routes(&routes?));
    networks.sort();
    networks.dedup();
    Ok(Facts { networks, links, totals, ..context })
}

/// Does Incus see another network than this process? Both are asked once more, since something may have come or gone
/// between one read and the other.
pub(crate) async fn is_elsewhere(host: &impl Host) -> Result<bool, CallError> {
    let (networks, links) = (Call::query(network::LISTING), Call::read("ip", ["-j", "addr"]));
    let (networks, links) = tokio::join!(json(host, &networks), json(host, &links));
    Ok(reach::is_elsewhere(&networks?, &links?))
}

/// From Incus, which may be on another machine's kernel; else from this one's.
async fn totals(host: &impl Host) -> Option<Totals> {
    let resources = json(host, &Call::query("/1.0/resources")).await;
    let told = resources.ok().and_then(|resources| parse_totals(&resources));
    told.or_else(|| kernel_totals(Path::new("/")))
}
