//! What Ansible is given: variables and an inventory, and the files that they stand in beside what their owner writes.

pub(crate) mod files;
pub(crate) mod groups;
pub(crate) mod inventory;
pub(crate) mod playbook;
pub(crate) mod section;
pub(crate) mod variables;
