//! Facts of this host, and its files.

pub(crate) mod boot;
pub(crate) mod bootstrap;
pub(crate) mod clock;
pub(crate) mod doctor;
pub(crate) mod facts;
pub(crate) mod files;
pub(crate) mod gather;
pub(crate) mod os;
pub(crate) mod reach;
pub(crate) mod repository;
pub(crate) mod routes;
pub(crate) mod subids;
pub(crate) mod whoami;
