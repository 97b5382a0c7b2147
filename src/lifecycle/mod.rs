//! What happens to an infrastructure in the course of time: its machines are kept in snapshots and upgraded, and are
//! healthy or not. Pure, but for what reads them.

pub(crate) mod before;
pub(crate) mod health;
pub(crate) mod prune;
pub(crate) mod reading;
pub(crate) mod restoring;
pub(crate) mod sets;
pub(crate) mod snapshot;
pub(crate) mod under_way;
pub(crate) mod upgrade;
//! What is done to a host over its life, beside making it as the file says.

pub(crate) mod import;
