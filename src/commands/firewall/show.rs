//! `anklume firewall show`: the table that is in force.

use std::process::ExitCode;

use anyhow::{Context, Result};

use crate::cli::{FirewallShowArgs, Format};
use crate::commands::DONE;
use crate::failure::Hinted;
use crate::firewall::fence::Table;
use crate::firewall::show;
use crate::incus::call::Call;
use crate::incus::door::{Host, ThisHost};
use crate::ui::Ui;

/// Prints the table that is in force. It needs no file: everything that is shown is in the table.
pub(crate) async fn run(args: &FirewallShowArgs, ui: Ui) -> Result<ExitCode> {
    let table = Table::read(&ThisHost).await;
    let Some(table) = table.known()? else {
        let message = "there is no table `inet anklume`: nothing keeps the domains apart";
        return Err(Hinted::new(message, "`anklume apply` loads it").into());
    };
    if args.format == Format::Json {
        ui.print(show::json(table, args.rules));
        return Ok(DONE);
    }
    ui.print(show::text(table, &ui.out));
    if args.rules {
        let listing = Call::nft(["list", "table", "inet", "anklume"]);
        let listing = ThisHost.call(&listing).await.context("the rules cannot be listed")?;
        ui.print(format!("\n{}", String::from_utf8_lossy(&listing)));
    }
    Ok(DONE)
}
