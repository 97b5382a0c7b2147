//! Asks this host for its addresses and routes, through the door.

use super::facts::{Facts, parse_addresses, parse_routes};
use crate::incus::call::Call;
use crate::incus::door::{CallError, Host, json};

/// The context, with the networks that the host is in or has a route to.
pub(crate) async fn read(host: &impl Host, context: Facts) -> Result<Facts, CallError> {
    // All tables, which is both families too.
    let (addresses, routes) =
        (Call::read("ip", ["-j", "addr"]), Call::read("ip", ["-j", "route", "show", "table", "all"]));
    let (addresses, routes) = tokio::join!(json(host, &addresses), json(host, &routes));
    let mut networks = parse_addresses(&addresses?);
    networks.extend(parse_routes(&routes?));
    networks.sort();
    networks.dedup();
    Ok(Facts { networks, ..context })
}
