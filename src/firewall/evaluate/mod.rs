//! The table's rules, understood: what they say, and what becomes of a packet that meets them.

pub(crate) mod likely;
pub(crate) mod packet;
pub(crate) mod rule;
pub(crate) mod text;
pub(crate) mod walk;
