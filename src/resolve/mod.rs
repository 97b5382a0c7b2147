//! From what was written to what is wanted in Incus: names, addresses, limits, policies.

pub(crate) mod desired;
