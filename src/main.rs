//! The `anklume` program: parse, log, run, print the error, exit.
#![cfg_attr(test, allow(clippy::unwrap_used))]
#![allow(dead_code, reason = "the rooms are being built")]

mod firewall;
mod host;
mod infra;
mod resolve;

fn main() {}
