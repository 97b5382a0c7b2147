//! `anklume firewall show`: the table that is in force.

use std::process::ExitCode;

use anyhow::Result;

use crate::commands::DONE;
use crate::failure::Hinted;
use crate::firewall::fence::Table;
use crate::firewall::show;
use crate::incus::door::ThisHost;
use crate::ui::Ui;

/// Prints the table that is in force.
pub(crate) async fn run(ui: Ui) -> Result<ExitCode> {
    match Table::read(&ThisHost).await {
        Table::Known(Some(table)) => {
            ui.print(show::show(&table));
            Ok(DONE)
        }
        Table::Known(None) => {
            let message = "there is no table `inet anklume`: nothing keeps the domains apart";
            Err(Hinted::new(message, "`anklume apply` loads it").into())
        }
        Table::Unknown { why, hint } => Err(Hinted::new(format!("the table cannot be read: {why}"), hint).into()),
    }
}
