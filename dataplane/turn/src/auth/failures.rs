//! Credentials that did not hold, told apart for operators. Clients get the
//! same 401 for all of them.

use crate::ids::ClientAddr;

/// Why a credential does not hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Failure {
    /// No such user, or not its password.
    Wrong,
    /// A REST username that has expired.
    Expired { ago: u64 },
    /// A REST username that expires further ahead than is accepted.
    TooFarAhead { ahead: u64 },
}

/// Requests refused for their credentials, counted since the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct AuthFailures {
    /// No such user, or not its password.
    pub wrong: u64,
    /// The password was right; the REST username had expired.
    pub expired: u64,
    /// The password was right; the REST username expires more than two days
    /// ahead.
    pub too_far_ahead: u64,
    /// The latest whose username had expired: who asked, and how many seconds
    /// ago it had.
    pub last_expired: Option<(ClientAddr, u64)>,
    /// The latest that expires too far ahead: who asked, and by how many
    /// seconds it is ahead of our clock.
    pub last_too_far_ahead: Option<(ClientAddr, u64)>,
}

impl AuthFailures {
    pub(super) fn note(&mut self, client: ClientAddr, failure: Failure) {
        match failure {
            Failure::Wrong => self.wrong += 1,
            Failure::Expired { ago } => {
                self.expired += 1;
                self.last_expired = Some((client, ago));
            }
            Failure::TooFarAhead { ahead } => {
                self.too_far_ahead += 1;
                self.last_too_far_ahead = Some((client, ahead));
            }
        }
    }
}
