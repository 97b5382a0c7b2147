//! The end-to-end tests: anklume itself against a real Incus, in a bed that cannot touch the host.
//!
//! `tests/run e2e [FILTER]` runs them; they need root.
#![allow(clippy::unwrap_used)]

mod ansible;
mod backup;
mod bad_input;
mod bootstrap;
mod changes;
mod coverage;
mod doctor;
mod drift;
mod filters;
mod firewall_doctor;
mod firewall_elsewhere;
mod firewall_kept;
mod firewall_trial;
mod firewall_words;
mod flush;
mod gpus;
#[allow(dead_code)]
mod harness;
mod held;
mod images;
mod import;
mod interrupted;
mod keys;
mod leaks;
mod limits;
mod neighbours;
mod nesting;
mod plans;
mod random;
mod relocate;
mod replace;
mod rollback;
mod run_state;
mod snap;
mod upgrade;
mod verify;
mod vms;
mod volumes;
mod walls;
mod whole;
