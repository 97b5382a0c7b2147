//! The `inet anklume` table: rules from policies, reading back, loading, keeping it over a reboot.

mod differences;
pub(crate) mod doctor;
pub(crate) mod evaluate;
pub(crate) mod explain;
pub(crate) mod exported;
pub(crate) mod fence;
pub(crate) mod file;
pub(crate) mod keep;
#[cfg(test)]
mod kernel;
pub(crate) mod live;
pub(crate) mod openings;
#[cfg(test)]
mod oracle;
pub(crate) mod outdated;
#[cfg(test)]
mod properties;
#[cfg(test)]
mod random;
pub(crate) mod readback;
pub(crate) mod ruleset;
#[cfg(test)]
mod sample;
pub(crate) mod services;
pub(crate) mod show;
mod syntax;
pub(crate) mod trial;
pub(crate) mod verify;
pub(crate) mod wall;
pub(crate) mod watch;
pub(crate) mod words;
