//! Which worker has the session that a connection's first check names.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use forebay_wire::stun::{Class, Message, Method};

use crate::streams::packets;

/// Username fragments and their workers: filled by the control thread, asked
/// by the thread that accepts connections. No packet passes by it but the
/// first of a connection.
#[derive(Debug, Default)]
pub struct Owners(Mutex<HashMap<Box<str>, u16>>);

/// What a connection of media begins with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Greeting {
    /// A check for a session of this worker.
    Owned(u16),
    /// A check for no session that is here.
    Stranger,
    /// The beginning of a packet.
    Incomplete,
    /// No check.
    Foreign,
}

/// The longest first packet: a check has less than 200 bytes, and its
/// fragments 512 at most.
const LONGEST: usize = 1024;

impl Owners {
    /// A fragment names a session of this worker from now on.
    pub fn set(&self, fragment: &str, worker: u16) {
        self.table().insert(fragment.into(), worker);
    }

    /// A fragment names nobody any more.
    pub fn remove(&self, fragment: &str) {
        self.table().remove(fragment);
    }

    fn table(&self) -> MutexGuard<'_, HashMap<Box<str>, u16>> {
        // A thread that panicked has inserted or removed, or it has not.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads what a connection begins with. The worker checks the password.
    pub(super) fn greet(&self, read: &[u8]) -> Greeting {
        if read.first_chunk::<2>().is_some_and(|length| {
            !(20..=LONGEST).contains(&usize::from(u16::from_be_bytes(*length)))
        }) {
            return Greeting::Foreign;
        }
        let Some(packet) = packets::opening(read) else {
            return Greeting::Incomplete;
        };
        let Ok(check) = Message::parse(packet) else {
            return Greeting::Foreign;
        };
        if (check.class(), check.method()) != (Class::Request, Method::BINDING) {
            return Greeting::Foreign;
        }
        let local = check
            .username()
            .and_then(|username| username.split(|byte| *byte == b':').next())
            .and_then(|local| str::from_utf8(local).ok());
        match local.and_then(|local| self.table().get(local).copied()) {
            Some(worker) => Greeting::Owned(worker),
            None => Greeting::Stranger,
        }
    }
}
