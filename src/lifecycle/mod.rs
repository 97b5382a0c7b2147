//! What happens to machines in the course of time: their snapshots. Pure.
#![allow(dead_code)]

pub(crate) mod reading;
pub(crate) mod restoring;
pub(crate) mod snapshot;
