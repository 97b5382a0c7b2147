//! For tests: an Incus and an nft in memory, as strict as Incus 6.0.4 is. What that refuses is refused here, in the same
//! words; a call that the real ones were never seen to answer is a panic.

mod answers;
mod devices;
mod images;
mod instances;
mod keys;
mod kinds;
mod limits;
mod names;
mod nft;
mod profiles;
mod state;
mod tests;
mod volumes;
mod words;

use std::sync::{Mutex, MutexGuard};

use super::call::{Call, Input};
use super::door::{CallError, Host};
pub(crate) use state::{Instance, Object, State};
use words::Words;

/// What goes wrong, counted in calls that change something; the first is 0.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Trouble {
    #[default]
    None,
    /// This call fails and does nothing.
    Once(usize),
    /// From this call on nothing works: the daemon is gone, or anklume itself.
    From(usize),
    /// The same, and what this call does in several steps stops in the middle.
    Amid(usize),
}

/// The host.
#[derive(Debug, Default)]
pub(crate) struct Fake {
    state: Mutex<State>,
    trouble: Mutex<(Trouble, usize)>,
    /// Decides which of the calls that are under way at once is first.
    dice: Mutex<u64>,
}

/// What an answer is: the bytes on standard output, or the words on standard error.
type Answer = Result<Vec<u8>, String>;
/// What a change is: done, or the words on standard error.
type Change = Result<(), String>;

impl Fake {
    /// An Incus after `incus admin init --minimal`, with these images in reach.
    pub(crate) fn new() -> Self {
        Self { state: Mutex::new(State::fresh()), ..Self::default() }
    }

    /// What will go wrong, counted from now.
    pub(crate) fn expect(&self, trouble: Trouble) {
        *self.trouble.lock().unwrap() = (trouble, 0);
    }

    /// Another order of what is under way at once.
    pub(crate) fn shuffle(&self, seed: u64) {
        *self.dice.lock().unwrap() = seed;
    }

    /// All that is there.
    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    fn roll(&self) -> u64 {
        let mut dice = self.dice.lock().unwrap();
        if *dice == 0 {
            return 0;
        }
        // xorshift64
        *dice ^= *dice << 13;
        *dice ^= *dice >> 7;
        *dice ^= *dice << 17;
        *dice % 4
    }

    fn run(&self, call: &Call) -> Answer {
        let words = Words::of(call);
        let body = match &call.input {
            // The text of a file: only that it is put there is looked at.
            Input::Nothing | Input::Text(_) => None,
            Input::Body(body) => Some(body),
            Input::Edited { .. } => panic!("an edit is read and made before it is called: {}", call.words()),
        };
        let mut state = self.state();
        if let Some(answer) = answers::answer(&state, &words, body) {
            return if self.is_gone() { Err(GONE.into()) } else { answer };
        }
        let amid = self.goes_wrong()?;
        let result = kinds::change(&mut state, &words, body, amid);
        if result.is_ok() {
            state.log.push(call.words());
        }
        if amid {
            return Err(GONE.into());
        }
        result.map(|()| Vec::new())
    }

    fn is_gone(&self) -> bool {
        let (trouble, at) = *self.trouble.lock().unwrap();
        matches!(trouble, Trouble::From(from) if at > from) || matches!(trouble, Trouble::Amid(from) if at > from)
    }

    /// Counts this change; does it stop in the middle?
    fn goes_wrong(&self) -> Result<bool, String> {
        let mut trouble = self.trouble.lock().unwrap();
        let at = trouble.1;
        trouble.1 += 1;
        match trouble.0 {
            Trouble::Once(this) if at == this => Err("it did not work this time".into()),
            Trouble::From(from) if at >= from => Err(GONE.into()),
            Trouble::Amid(from) if at > from => Err(GONE.into()),
            Trouble::Amid(from) => Ok(at == from),
            _ => Ok(false),
        }
    }
}

const GONE: &str = "The incus daemon doesn't appear to be started (socket path: /var/lib/incus/unix.socket)";

impl Host for Fake {
    async fn call(&self, call: &Call) -> Result<Vec<u8>, CallError> {
        for _ in 0..self.roll() {
            tokio::task::yield_now().await;
        }
        self.run(call).map_err(|said| CallError::Failed { program: call.program, said })
    }
}
