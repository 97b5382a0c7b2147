//! The words of `anklume firewall`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::Format;
use crate::firewall::explain::traffic::Traffic;

#[derive(Debug, Subcommand)]
pub(crate) enum FirewallCommand {
    /// Load only the table, on trial if you like
    Apply(FirewallApplyArgs),
    /// Keep the table that is on trial
    Confirm,
    /// Stand for a table on trial
    #[command(hide = true)]
    Trial { seconds: u64 },
    /// Print the table that is in force, readably
    Show(FirewallShowArgs),
    /// Send real packets between the machines, and compare what becomes of them with the policies
    Verify(VerifyArgs),
    /// Load and keep a table that was exported on another machine; it is checked first, and shown
    Load(LoadArgs),
    /// Look for what breaks what is allowed, though the table stands: filters of others, the kernel, routes
    Doctor(DoctorArgs),
    /// Restore the kept table by itself, whenever it is gone or changed, until stopped
    Watch(WatchArgs),
    /// Write the table that the file asks for, as `nft -j -f` loads it
    Export {
        /// Where to; without it, to standard output
        #[arg(value_name = "FILE")]
        to: Option<PathBuf>,
    },
    /// Tell whether one end may talk to another, and which policy and which rule says so
    #[command(
        after_help = "Exit code: 0 when all of what is asked about is allowed by the table in force, 1 when not."
    )]
    Explain(ExplainArgs),
}

#[derive(Debug, Args)]
pub(crate) struct FirewallShowArgs {
    /// How to show it
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    pub(crate) format: Format,
    /// Also every rule, as nft writes it
    #[arg(long)]
    pub(crate) rules: bool,
}

/// The packets are small and few, one for each thing that is tried: a ping, the first packet of a TCP connection, a
/// datagram. They go to addresses of this host's own networks, and to one outside.
#[derive(Debug, Args)]
pub(crate) struct VerifyArgs {
    /// From every machine to every other; otherwise some of each domain, and every end of a policy
    #[arg(long)]
    pub(crate) all: bool,
    /// The address that stands for the outside [default: the next hop of the default route]
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) outside: Option<std::net::Ipv4Addr>,
    /// How to show it
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    pub(crate) format: Format,
}

#[derive(Debug, Args)]
pub(crate) struct ExplainArgs {
    /// Who begins: a domain, a machine, `host`, `outside` (or `internet`), or an address
    #[arg(value_name = "FROM")]
    pub(crate) from: String,
    /// Who is to answer
    #[arg(value_name = "TO")]
    pub(crate) to: String,
    /// What is sent: `443`, `53/udp`, `8000-8100/tcp`, `tcp`, `icmp` [default: everything]
    #[arg(value_name = "PORT[/PROTOCOL]")]
    pub(crate) traffic: Option<Traffic>,
    /// How to show it
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    pub(crate) format: Format,
}

#[derive(Debug, Args)]
pub(crate) struct FirewallApplyArgs {
    /// Do not ask
    #[arg(short, long)]
    pub(crate) yes: bool,
    /// Bring the former table back unless the new one is confirmed in so many seconds, with Enter or, from another
    /// shell, with `anklume firewall confirm`; also when this shell or its connection is gone
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=86_400))]
    pub(crate) confirm: Option<u64>,
}

#[derive(Debug, Args)]
pub(crate) struct LoadArgs {
    /// The file
    #[arg(value_name = "FILE")]
    pub(crate) from: PathBuf,
    /// Do not ask
    #[arg(short, long)]
    pub(crate) yes: bool,
}

#[derive(Debug, Args)]
pub(crate) struct DoctorArgs {
    /// How to show it
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    pub(crate) format: Format,
}

#[derive(Debug, Args)]
pub(crate) struct WatchArgs {
    /// Have the host do it, now and from each boot on, as service `anklume-firewall-watch`
    #[arg(long, conflicts_with = "remove")]
    pub(crate) install: bool,
    /// Take that service away
    #[arg(long)]
    pub(crate) remove: bool,
}
