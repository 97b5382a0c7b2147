//! The words of a call, told apart: verbs and names, and options with their values.

use std::collections::BTreeMap;

use crate::incus::call::Call;

/// Options that are followed by a value.
const WITH_VALUE: [&str; 8] =
    ["--project", "--timeout", "--alias", "--target-project", "--mode", "--uid", "--gid", "--format"];

#[derive(Debug)]
pub(super) struct Words<'a> {
    pub(super) program: &'a str,
    pub(super) plain: Vec<&'a str>,
    options: BTreeMap<&'a str, &'a str>,
}

impl<'a> Words<'a> {
    pub(super) fn of(call: &'a Call) -> Self {
        let mut words = Self { program: call.program, plain: Vec::new(), options: BTreeMap::new() };
        let mut args = call.args.iter().map(String::as_str);
        while let Some(arg) = args.next() {
            if WITH_VALUE.contains(&arg) {
                words.options.insert(arg, args.next().expect("a value follows the option"));
            } else if let Some((option, value)) = arg.split_once('=').filter(|_| arg.starts_with('-')) {
                words.options.insert(option, value);
            } else if arg.starts_with('-') && arg != "-" {
                words.options.insert(arg, "");
            } else {
                words.plain.push(arg);
            }
        }
        words
    }

    pub(super) fn has(&self, option: &str) -> bool {
        self.options.contains_key(option)
    }

    pub(super) fn option(&self, option: &str) -> Option<&'a str> {
        self.options.get(option).copied()
    }

    /// Calls that leave it out would be about the project that the user switched to.
    pub(super) fn project(&self) -> &'a str {
        self.option("--project").expect("every call names its project")
    }
}
