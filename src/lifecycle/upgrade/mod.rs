//! Upgrades of guests and of the machines' images: what is decided, without doing any of it.

pub(crate) mod images;
pub(crate) mod leftover;
pub(crate) mod look;
pub(crate) mod packages;
pub(crate) mod rebuild;
