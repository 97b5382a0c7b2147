//! The `inet anklume` table: rules from policies, reading back, loading.

pub(crate) mod fence;
#[cfg(test)]
mod kernel;
pub(crate) mod live;
pub(crate) mod openings;
pub(crate) mod ruleset;
#[cfg(test)]
mod sample;
pub(crate) mod show;
mod syntax;
pub(crate) mod wall;
