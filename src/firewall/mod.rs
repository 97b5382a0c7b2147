//! The `inet anklume` table: rules from policies, reading back, loading.

pub(crate) mod wall;
