//! The `inet anklume` table: rules from policies, reading back, loading.

#[cfg(test)]
mod kernel;
pub(crate) mod live;
pub(crate) mod openings;
pub(crate) mod ruleset;
#[cfg(test)]
mod sample;
mod syntax;
pub(crate) mod wall;
