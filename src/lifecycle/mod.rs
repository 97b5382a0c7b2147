//! What happens to machines in the course of time: their snapshots. Pure, but for what reads them.

pub(crate) mod before;
pub(crate) mod prune;
pub(crate) mod reading;
pub(crate) mod restoring;
pub(crate) mod sets;
pub(crate) mod snapshot;
pub(crate) mod under_way;
//! What happens to machines over the time: snapshots, upgrades, and whether they are healthy.

pub(crate) mod health;
pub(crate) mod upgrade;
