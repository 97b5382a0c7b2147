//! The words of `anklume flush`.

use clap::Args;

/// Only the name of the infrastructure is read from the file: what goes is what carries its mark in Incus, with the part
/// of the nftables table that is for it. Directories of this host and images always stay.
#[derive(Debug, Args)]
pub(crate) struct FlushArgs {
    /// The infrastructure, where its file is lost [default: `project_name` in the file]
    #[arg(long, value_name = "NAME", conflicts_with = "file")]
    pub(crate) infra: Option<String>,
    /// Also what is protected; a production host asks for it
    #[arg(long)]
    pub(crate) force: bool,
    /// Also the storage volumes, with the data in them
    #[arg(long)]
    pub(crate) volumes: bool,
    /// Do not ask
    #[arg(short, long)]
    pub(crate) yes: bool,
}
