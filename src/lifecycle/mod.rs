//! What happens to an infrastructure in the course of time: it is imported, its machines are kept in snapshots and
//! upgraded, and are healthy or not. Pure, but for what reads them.

pub(crate) mod before;
pub(crate) mod health;
pub(crate) mod import;
pub(crate) mod prune;
pub(crate) mod reading;
pub(crate) mod restoring;
pub(crate) mod sets;
pub(crate) mod snapshot;
pub(crate) mod under_way;
pub(crate) mod upgrade;
