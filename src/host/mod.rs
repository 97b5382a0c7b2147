//! Facts of this host.

pub(crate) mod facts;
pub(crate) mod gather;
pub(crate) mod repository;
