//! The one door to Incus: runs the `incus` program, JSON in and out; the live state.

pub(crate) mod call;
pub(crate) mod door;
pub(crate) mod edit;
#[cfg(test)]
pub(crate) mod fake;
pub(crate) mod follow;
pub(crate) mod live;
pub(crate) mod secrets;
pub(crate) mod server;
pub(crate) mod trouble;
