//! The `anklume` program: parse, log, run, print the error, exit.

fn main() {}
