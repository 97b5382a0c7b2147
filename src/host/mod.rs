//! Facts of this host.

pub(crate) mod facts;
