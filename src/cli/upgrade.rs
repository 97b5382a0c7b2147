//! The words of `anklume upgrade`.

use clap::{Args, Subcommand};

/// Without a step: images, guests and files in turn, each shown and asked about. Whatever cuts a step off, the same command
/// goes on from there.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct UpgradeArgs {
    #[command(subcommand)]
    pub(crate) step: Option<UpgradeStep>,
    /// Make machines anew from the images that are here, those named or those of a domain: what is on their root disks goes
    #[arg(long, value_name = "NAME", num_args = 1..)]
    pub(crate) rebuild: Vec<String>,
    #[command(flatten)]
    pub(crate) how: How,
}

#[derive(Debug, Subcommand)]
pub(crate) enum UpgradeStep {
    /// Ask the image servers for newer images, and list the machines that are made from older ones
    Images {
        /// Do not ask
        #[arg(short, long)]
        yes: bool,
    },
    /// Upgrade the packages in running machines; one that is not healthy then is put back
    Guests(GuestsArgs),
    /// Make machines anew from the images that are here; the old one comes back where the new one is not healthy
    Rebuild(RebuildArgs),
    /// Bring files that an older anklume wrote, or was given, to the form of this one
    Files(FilesArgs),
}

/// How machines are upgraded.
#[derive(Debug, Clone, Args)]
pub(crate) struct How {
    /// Do not ask
    #[arg(short, long)]
    pub(crate) yes: bool,
    /// Go on with others when a machine failed
    #[arg(long)]
    pub(crate) keep_going: bool,
    /// How long a machine may take to be healthy
    #[arg(long, value_name = "SECONDS", default_value = "120")]
    pub(crate) wait: u64,
}

#[derive(Debug, Args)]
pub(crate) struct GuestsArgs {
    /// Domains or machines; none: all that run
    #[arg(value_name = "NAME")]
    pub(crate) names: Vec<String>,
    /// How many machines are upgraded at once; the next ones begin when all of these are healthy
    #[arg(long, value_name = "N", default_value = "4", value_parser = clap::value_parser!(u16).range(1..=64))]
    pub(crate) batch: u16,
    /// How long a package manager may take
    #[arg(long, value_name = "MINUTES", default_value = "60", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) timeout: u64,
    #[command(flatten)]
    pub(crate) how: How,
}

impl From<How> for GuestsArgs {
    fn from(how: How) -> Self {
        Self { names: Vec::new(), batch: 4, timeout: 60, how }
    }
}

#[derive(Debug, Args)]
pub(crate) struct RebuildArgs {
    /// Domains or machines
    #[arg(value_name = "NAME", required = true)]
    pub(crate) names: Vec<String>,
    #[command(flatten)]
    pub(crate) how: How,
}

#[derive(Debug, Args)]
pub(crate) struct FilesArgs {
    /// Make the edits of the infrastructure's own files too, which are only shown otherwise
    #[arg(long)]
    pub(crate) write: bool,
    /// Do not ask
    #[arg(short, long)]
    pub(crate) yes: bool,
}
