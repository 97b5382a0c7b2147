//! The `anklume` program: parse, log, run, print the error, exit.
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod ansible;
mod apply;
mod carry;
mod cli;
mod commands;
mod failure;
mod firewall;
mod host;
mod incus;
mod infra;
mod lifecycle;
mod plan;
mod render;
mod resolve;
mod resources;
mod ui;

use std::process::ExitCode;

use clap::Parser;
use tracing_subscriber::EnvFilter;

fn main() -> ExitCode {
    let cli = match cli::Cli::try_parse_from(cli::words(std::env::args_os(), |name| std::env::var_os(name))) {
        Ok(cli) => cli,
        Err(error) => {
            let _ = error.print();
            return wrong_usage(&error);
        }
    };
    let ui = ui::Ui::new(cli.global.color);
    log(cli.global.verbose, ui.err.color);
    // The work is in child processes: one thread is enough to wait for them.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.expect("a runtime of one thread needs nothing that could be missing");
    runtime.block_on(commands::run(cli, ui)).unwrap_or_else(|error| {
        ui.say(failure::told(&error, &ui.err));
        failure::exit_code(&error)
    })
}

/// Help and version are no mistakes. 2 for wrong usage, but 1 where 2 means "something differs".
fn wrong_usage(error: &clap::Error) -> ExitCode {
    if !error.use_stderr() {
        ExitCode::SUCCESS
    } else if std::env::args().any(|arg| arg == "--detailed-exitcode") {
        ExitCode::FAILURE
    } else {
        ExitCode::from(2)
    }
}

fn log(verbose: u8, color: bool) {
    let default = match verbose {
        0 => "warn",
        1 => "anklume=debug",
        _ => "trace",
    };
    let filter = EnvFilter::try_from_env("ANKLUME_LOG").unwrap_or_else(|_| EnvFilter::new(default));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(color)
        .without_time()
        .with_target(false)
        .init();
}
