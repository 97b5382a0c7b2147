//! The infra.yml language: loading, the typed model, its rules, and places in the text.

pub(crate) mod model;
pub(crate) mod problem;
