//! The words of `anklume snap` and `anklume rollback`.

use clap::{Args, Subcommand};

use super::Format;
use crate::lifecycle::snapshot::Family;

#[derive(Debug, Subcommand)]
pub(crate) enum SnapCommand {
    /// Take a snapshot of machines, all at the same time; its name is printed
    Create(SnapCreateArgs),
    /// Show the snapshots of machines, with their age, size and volumes
    List {
        /// Domains or machines, or `self`, the one that this runs in; none: all
        #[arg(value_name = "NAME")]
        names: Vec<String>,
        /// How to show them
        #[arg(long, value_name = "FORMAT", default_value = "text")]
        format: Format,
    },
    /// Bring machines back to a snapshot
    Restore(SnapRestoreArgs),
    /// Delete a snapshot, of its volumes too
    Delete {
        /// The snapshot
        #[arg(value_name = "SNAPSHOT")]
        snapshot: String,
        /// Domains or machines, or `self`; none: all that have it
        #[arg(value_name = "NAME")]
        names: Vec<String>,
        /// Do not ask
        #[arg(short, long)]
        yes: bool,
    },
    /// Delete snapshots that are old or too many, of those that anklume named
    Prune(SnapPruneArgs),
}

#[derive(Debug, Args)]
pub(crate) struct SnapCreateArgs {
    /// Domains or machines, or `self`, the one that this runs in; none: all
    #[arg(value_name = "NAME")]
    pub(crate) names: Vec<String>,
    /// What to call it [default: snap-DATE-TIME]
    #[arg(long, value_name = "SNAPSHOT")]
    pub(crate) name: Option<String>,
    /// Of the machines' storage volumes too
    #[arg(long)]
    pub(crate) volumes: bool,
    /// Freeze the machines for the moment, so that what one of them tells another is in both or in none
    #[arg(long)]
    pub(crate) consistent: bool,
    /// Let Incus delete it after that: `30d`, `24h`, `60m` [default: it stays]
    #[arg(long, value_name = "TIME")]
    pub(crate) expiry: Option<String>,
}

/// What is in the machines goes back, and what Incus says of them too: their config, devices and profiles. A running machine
/// is restarted for it. The plan that is shown in the end tells what differs from the file then.
#[derive(Debug, Args)]
pub(crate) struct SnapRestoreArgs {
    /// The snapshot
    #[arg(value_name = "SNAPSHOT")]
    pub(crate) snapshot: String,
    /// Domains or machines, or `self`, the one that this runs in; none: all that have it
    #[arg(value_name = "NAME")]
    pub(crate) names: Vec<String>,
    /// The storage volumes that it was taken of too
    #[arg(long)]
    pub(crate) volumes: bool,
    #[command(flatten)]
    pub(crate) consent: Consent,
}

/// What may happen on the way back.
#[derive(Debug, Args)]
pub(crate) struct Consent {
    /// Delete newer snapshots where the pool cannot go back past them (ZFS)
    #[arg(long)]
    pub(crate) remove_newer: bool,
    /// Do not ask
    #[arg(short, long)]
    pub(crate) yes: bool,
    /// Do not ask, not even where it ends this very session
    #[arg(long)]
    pub(crate) force: bool,
}

/// Of the names that anklume gives (`snap-…`, `pre-apply-…`, `pre-upgrade-…`), each family of a machine is counted by
/// itself. Snapshots that you named, or that Incus takes by a schedule, are never among them.
#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("which").required(true).multiple(true))]
pub(crate) struct SnapPruneArgs {
    /// Domains or machines, or `self`; none: all
    #[arg(value_name = "NAME")]
    pub(crate) names: Vec<String>,
    /// Keep the newest N of each machine
    #[arg(long, value_name = "N", group = "which")]
    pub(crate) keep: Option<usize>,
    /// Only those that are older than that: `30d`, `24h`, `60m`
    #[arg(long, value_name = "TIME", group = "which")]
    pub(crate) older_than: Option<String>,
    /// Only of this family (may be given several times) [default: all of them]
    #[arg(long, value_name = "FAMILY")]
    pub(crate) family: Vec<Family>,
    /// Do not ask
    #[arg(short, long)]
    pub(crate) yes: bool,
}

/// A machine that was made anew since is deleted, and the one that was kept has its place again.
#[derive(Debug, Args)]
pub(crate) struct RollbackArgs {
    /// Which `apply --snapshot`: the time in its snapshots' names [default: the last one]
    #[arg(value_name = "TIMESTAMP")]
    pub(crate) timestamp: Option<String>,
    #[command(flatten)]
    pub(crate) consent: Consent,
}
