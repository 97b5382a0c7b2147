//! The command line, as clap types.

mod ansible;
mod firewall;
mod flush;
mod host;
mod import;
mod snap;
mod upgrade;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::ui::Color;
pub(crate) use ansible::{FILE_VARIABLE, InventoryArgs, ProvisionArgs, SCRIPT, SyncArgs, YOLO_VARIABLE, words};
pub(crate) use firewall::{
    DoctorArgs, ExplainArgs, FirewallApplyArgs, FirewallCommand, FirewallShowArgs, LoadArgs, VerifyArgs, WatchArgs,
};
pub(crate) use flush::FlushArgs;
pub(crate) use host::{BootstrapArgs, HostDoctorArgs, InitArgs};
pub(crate) use import::ImportArgs;
pub(crate) use snap::{Consent, RollbackArgs, SnapCommand, SnapCreateArgs, SnapPruneArgs, SnapRestoreArgs};
pub(crate) use upgrade::{FilesArgs, GuestsArgs, RebuildArgs, UpgradeArgs, UpgradeStep};

/// Compartments on a Linux host: isolated domains of Incus containers and virtual machines, declared in one file.
#[derive(Debug, Parser)]
#[command(name = "anklume", version, max_term_width = 100, propagate_version = true)]
#[command(after_help = "Start with `anklume plan`: it shows what `anklume apply` would do, and changes nothing.")]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Options of every command.
#[derive(Debug, Clone, Args)]
pub(crate) struct Global {
    /// The infrastructure: a file, or a directory with base.yml [default: ./infra.yml, then ./infra/]
    #[arg(short, long, global = true, value_name = "PATH")]
    pub(crate) file: Option<PathBuf>,
    /// Say what is run; twice: also what is answered (the environment variable `ANKLUME_LOG` takes filters)
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub(crate) verbose: u8,
    /// When to use colour
    #[arg(long, global = true, value_name = "WHEN", default_value = "auto")]
    pub(crate) color: Color,
    /// Allow privileged containers on this host, for this run
    #[arg(long, global = true)]
    pub(crate) yolo: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Write a file to start from
    Init(InitArgs),
    /// Make this host ready: install Incus and what goes with it, give it a storage pool
    Bootstrap(BootstrapArgs),
    /// Look whether this host has all that is needed, and mend it
    Doctor(HostDoctorArgs),
    /// Check the file: everything that is wrong with it, at its place
    Check,
    /// Show what differs from the file, and what `apply` would do
    Plan(PlanArgs),
    /// Make the host as the file says
    Apply(ApplyArgs),
    /// Show the machines by domain, their state, address and drift
    Status(StatusArgs),
    /// Delete domains or machines; without names, everything that is not protected
    Destroy(DestroyArgs),
    /// Take all of an infrastructure off this host: what carries its mark, and nothing else
    Flush(FlushArgs),
    /// Start machines: those named, those of a domain, or all; paused ones run on
    Start(NamesArgs),
    /// Stop machines
    Stop(PowerArgs),
    /// Restart machines; stopped ones start
    Restart(PowerArgs),
    /// Pause (freeze) running machines
    Pause(NamesArgs),
    /// Let paused machines run on
    Resume(NamesArgs),
    /// Run a command in a machine
    Exec(ExecArgs),
    /// Open a root shell in a machine
    Shell(ShellArgs),
    /// Show what a machine wrote on its console
    Logs(LogsArgs),
    /// Move a machine with its volumes to another domain or pool; the file too
    Move(MoveArgs),
    /// Copy a machine with its volumes, under another name; the file gets it too
    Copy(CopyArgs),
    /// Write a machine with its volumes and snapshots into one file
    Backup(BackupArgs),
    /// Make a machine with its volumes from such a file
    RestoreBackup(RestoreBackupArgs),
    /// Snapshots of machines: take, list, restore, delete
    #[command(subcommand)]
    Snap(SnapCommand),
    /// Put machines back to how they were before an `apply --snapshot`
    Rollback(RollbackArgs),
    /// Bring images, the packages in machines, and files up to date, step by step
    Upgrade(UpgradeArgs),
    /// Write the file that says what stands on this host, made by anklume or by hand
    Import(ImportArgs),
    /// The images that machines are made from: one cache for all domains
    #[command(subcommand)]
    Image(ImageCommand),
    /// Write what Ansible reads: an inventory and variables, beside what you write there yourself
    Sync(SyncArgs),
    /// Tell Ansible what there is now
    Inventory(InventoryArgs),
    /// Run Ansible with the roles of the machines
    Provision(ProvisionArgs),
    /// The isolation between domains
    #[command(subcommand)]
    Firewall(FirewallCommand),
}

#[derive(Debug, Args)]
pub(crate) struct PlanArgs {
    #[command(flatten)]
    pub(crate) scope: Scope,
    /// How to show it
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    pub(crate) format: PlanFormat,
    /// Show each action's exact commands instead
    #[arg(long, conflicts_with = "format")]
    pub(crate) commands: bool,
    /// Exit with 0 when nothing differs, 2 when something does, 1 on errors
    #[arg(long)]
    pub(crate) detailed_exitcode: bool,
    /// Plan against an empty host; needs no Incus
    #[arg(long)]
    pub(crate) offline: bool,
}

/// What a plan is about.
#[derive(Debug, Clone, Args)]
pub(crate) struct Scope {
    /// Only this domain or machine, and what it needs (may be given several times)
    #[arg(short, long, value_name = "NAME")]
    pub(crate) target: Vec<String>,
    /// Delete what anklume made and the file no longer has; protected things stay
    #[arg(long)]
    pub(crate) prune: bool,
    /// Restart running machines where a change needs it
    #[arg(long)]
    pub(crate) restart: bool,
    /// Make this machine anew, as the file says, and keep the old one beside it, stopped, under another name (may be
    /// given several times)
    #[arg(long, value_name = "NAME")]
    pub(crate) replace: Vec<String>,
    /// Take a snapshot of the machines that are to restart or to be made anew first; `anklume rollback` brings them back
    #[arg(long)]
    pub(crate) snapshot: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum PlanFormat {
    Text,
    Json,
    Markdown,
}

#[derive(Debug, Args)]
pub(crate) struct ApplyArgs {
    #[command(flatten)]
    pub(crate) scope: Scope,
    /// Do not ask
    #[arg(short, long)]
    pub(crate) yes: bool,
    /// Where the host's table is out of reach: write it to FILE, for `anklume firewall load` on the host
    #[arg(long, num_args = 2, value_names = ["export", "FILE"])]
    pub(crate) firewall: Vec<PathBuf>,
    /// How many actions run at once [default: two for each processor, at least 4]
    #[arg(short, long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=64))]
    pub(crate) parallel: Option<u16>,
    /// How long to wait for the agents of virtual machines that were started; 0: not at all
    #[arg(long, value_name = "SECONDS", default_value = "60")]
    pub(crate) agent_wait: u64,
    /// Afterwards run Ansible with the roles of those machines that were made or started
    #[arg(long)]
    pub(crate) provision: bool,
}

#[derive(Debug, Args)]
pub(crate) struct StatusArgs {
    /// How to show it
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    pub(crate) format: Format,
}

#[derive(Debug, Args)]
pub(crate) struct DestroyArgs {
    /// Domains or machines
    #[arg(value_name = "NAME")]
    pub(crate) names: Vec<String>,
    /// Do not ask
    #[arg(short, long)]
    pub(crate) yes: bool,
    /// Also what is protected, of what is named
    #[arg(long)]
    pub(crate) force: bool,
}

#[derive(Debug, Args)]
pub(crate) struct NamesArgs {
    /// Domains or machines; none: all
    #[arg(value_name = "NAME")]
    pub(crate) names: Vec<String>,
}

#[derive(Debug, Args)]
pub(crate) struct PowerArgs {
    /// Domains or machines; none: all
    #[arg(value_name = "NAME")]
    pub(crate) names: Vec<String>,
    /// Do not let them shut themselves down: cut them off
    #[arg(long)]
    pub(crate) force: bool,
}

impl From<NamesArgs> for PowerArgs {
    fn from(args: NamesArgs) -> Self {
        Self { names: args.names, force: false }
    }
}

#[derive(Debug, Args)]
pub(crate) struct ExecArgs {
    /// The machine
    #[arg(value_name = "NAME")]
    pub(crate) name: String,
    /// The directory to run it in
    #[arg(long, value_name = "DIRECTORY")]
    pub(crate) cwd: Option<String>,
    /// The number of the user to run it as
    #[arg(long, value_name = "UID")]
    pub(crate) user: Option<String>,
    /// An environment variable for it (may be given several times)
    #[arg(long, value_name = "KEY=VALUE")]
    pub(crate) env: Vec<String>,
    /// The command, after `--`
    #[arg(value_name = "COMMAND", required = true, last = true)]
    pub(crate) command: Vec<String>,
}

#[derive(Debug, Args)]
pub(crate) struct ShellArgs {
    /// The machine
    #[arg(value_name = "NAME")]
    pub(crate) name: String,
}

#[derive(Debug, Args)]
pub(crate) struct LogsArgs {
    /// The machine
    #[arg(value_name = "NAME")]
    pub(crate) name: String,
    /// What Incus wrote about it instead
    #[arg(long)]
    pub(crate) incus: bool,
}

/// The machine stops, is copied whole and compared; only then the file is edited and the source goes. Whatever cuts it off,
/// the same command goes on from there. Without an option it goes where the file has it.
#[derive(Debug, Args)]
pub(crate) struct MoveArgs {
    /// The machine
    #[arg(value_name = "NAME")]
    pub(crate) name: String,
    /// The domain to move it to
    #[arg(long, value_name = "DOMAIN", conflicts_with = "pool")]
    pub(crate) to: Option<String>,
    /// The storage pool to move it to, with its volumes
    #[arg(long, value_name = "POOL")]
    pub(crate) pool: Option<String>,
    /// Do not ask
    #[arg(short, long)]
    pub(crate) yes: bool,
}

/// The machine stops until it is copied.
#[derive(Debug, Args)]
pub(crate) struct CopyArgs {
    /// The machine
    #[arg(value_name = "NAME")]
    pub(crate) name: String,
    /// What the copy is called
    #[arg(value_name = "NEWNAME")]
    pub(crate) new: String,
    /// The domain that the copy is in [default: that of the machine]
    #[arg(long, value_name = "DOMAIN")]
    pub(crate) to: Option<String>,
    /// Do not ask
    #[arg(short, long)]
    pub(crate) yes: bool,
}

/// The machine stops until it is exported. What it has of this host's directories is not in the file.
#[derive(Debug, Args)]
pub(crate) struct BackupArgs {
    /// The machine
    #[arg(value_name = "NAME")]
    pub(crate) name: String,
    /// The file to write; beside it there has to be room for it once more
    #[arg(value_name = "FILE")]
    pub(crate) backup: PathBuf,
    /// Do not ask
    #[arg(short, long)]
    pub(crate) yes: bool,
}

/// The file is read to its end and compared with what was written before anything is made. A machine that the file of the
/// infrastructure does not have is added to it.
#[derive(Debug, Args)]
pub(crate) struct RestoreBackupArgs {
    /// The file
    #[arg(value_name = "FILE")]
    pub(crate) backup: PathBuf,
    /// What the machine is called [default: as it was]
    #[arg(long, value_name = "NAME")]
    pub(crate) name: Option<String>,
    /// The domain that it is in [default: where the file has it, or the one that it was in]
    #[arg(long, value_name = "DOMAIN")]
    pub(crate) to: Option<String>,
    /// Do not ask
    #[arg(short, long)]
    pub(crate) yes: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ImageCommand {
    /// Show the images that are here, in the file or in the image repository
    List {
        /// How to show them
        #[arg(long, value_name = "FORMAT", default_value = "text")]
        format: Format,
    },
    /// Ask the image servers for newer ones
    Refresh {
        /// Images, as the file names them; none: all in the cache
        #[arg(value_name = "IMAGE")]
        images: Vec<String>,
    },
    /// Write images into a directory, for hosts without a network
    Export {
        /// Images, as the file names them; none: all in the file
        #[arg(value_name = "IMAGE")]
        images: Vec<String>,
        /// The directory [default: `image_repository` in the file]
        #[arg(long, value_name = "DIRECTORY")]
        to: Option<PathBuf>,
    },
    /// Take images from such a directory into the cache
    Import {
        /// The directory [default: `image_repository` in the file]
        #[arg(long, value_name = "DIRECTORY")]
        from: Option<PathBuf>,
    },
    /// Delete cached images that no machine is made from and the file does not name
    Prune {
        /// Do not ask
        #[arg(short, long)]
        yes: bool,
    },
}

/// For people, or for programs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    Text,
    Json,
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_command_line_is_sound() {
        use clap::CommandFactory;
        super::Cli::command().debug_assert();
    }
}
