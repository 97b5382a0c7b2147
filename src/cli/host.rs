//! The words of `anklume init`, `bootstrap` and `doctor`: a host, and a file to begin with.

use std::path::PathBuf;

use clap::Args;

use super::Format;

/// A small one, with comments, that can be checked, planned and applied as it is.
#[derive(Debug, Args)]
pub(crate) struct InitArgs {
    /// The directory; made where it is not there. Its name becomes that of the infrastructure
    #[arg(value_name = "DIRECTORY")]
    pub(crate) directory: PathBuf,
}

/// Packages, the service, ids for containers, a storage pool (btrfs or ZFS where they are, else directories), and what
/// Docker needs. An Incus that has a pool already is left as it is.
#[derive(Debug, Args)]
pub(crate) struct BootstrapArgs {
    /// Do not ask
    #[arg(short, long)]
    pub(crate) yes: bool,
}

/// Needs no file: with one, also what that asks for is looked at. Exits with 1 where something is broken.
#[derive(Debug, Args)]
pub(crate) struct HostDoctorArgs {
    /// Run the commands that mend what was found and are safe to run, after a question; then look again
    #[arg(long)]
    pub(crate) fix: bool,
    /// Do not ask
    #[arg(short, long, requires = "fix")]
    pub(crate) yes: bool,
    /// How to show it
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    pub(crate) format: Format,
}
