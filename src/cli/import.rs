//! The words of `anklume import`.

use std::path::PathBuf;

use clap::Args;

/// The file says what stands, so that `apply` changes nothing by it but its own marks. What no file can say is in it as a
/// comment, with the reason. Nothing on the host is changed.
#[derive(Debug, Args)]
#[command(after_help = "\
The values of the machines' keys are in the file, secrets among them: it is written for its owner only (mode 0600).

An instance of the Incus project `default` (`--project default:NAME`) gets a domain of its own name. Incus changes the
project of no instance in place, and anklume never touches `default`: the file says, as a comment, what to type to move it.")]
pub(crate) struct ImportArgs {
    /// An Incus project, or `default:NAME`, an instance of the project `default` (may be given several times)
    /// [default: every project but `default`]
    #[arg(long, value_name = "PROJECT")]
    pub(crate) project: Vec<String>,
    /// The file to write [default: standard output]
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
    /// Write over a file that is there
    #[arg(long, requires = "output")]
    pub(crate) force: bool,
}
