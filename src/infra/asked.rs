//! For tests: which keys a map may have, and which of them were written somewhere, so that a test can tell that no key of
//! the language is left out of it.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use super::at::At;

type Asked = BTreeMap<&'static [&'static str], BTreeSet<String>>;

thread_local! {
    static ASKED: RefCell<Asked> = const { RefCell::new(BTreeMap::new()) };
}

/// A map that may have these keys was read.
pub(super) fn note(known: &'static [&'static str], written: &[At<'_>]) {
    let written = written.iter().map(|pair| pair.key().to_owned());
    ASKED.with_borrow_mut(|asked| asked.entry(known).or_default().extend(written));
}

/// Every list of keys that this thread has read a map with, and which of them were written.
pub(super) fn asked() -> Asked {
    ASKED.with_borrow(Clone::clone)
}
