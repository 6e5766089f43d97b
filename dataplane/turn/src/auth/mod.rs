//! The long-term credential mechanism (RFC 8489 §9.2) with SHA-1.

mod credentials;
mod key;
mod nonce;

pub(crate) use credentials::UserTag;
pub(crate) use key::Key;

use forebay_wire::clock::Now;
use forebay_wire::stun::{ErrorCode, Message};

use crate::config::{Config, Credentials, Seeds};
use crate::ids::ClientAddr;
use crate::prefix_budget::PrefixBudgets;
use crate::tables::Keyed;

use credentials::Book;
use nonce::{Nonce, Nonces};

/// Checks requests.
pub(crate) struct Authenticator {
    nonces: Nonces,
    book: Book,
    budgets: PrefixBudgets,
}

/// A request whose MESSAGE-INTEGRITY holds and whose nonce is fresh. Cannot be
/// made elsewhere, so whatever asks for one cannot be reached without.
pub(crate) struct Authenticated<'m> {
    username: &'m [u8],
    user: UserTag,
    key: Key,
}

impl<'m> Authenticated<'m> {
    pub(crate) fn username(&self) -> &'m [u8] {
        self.username
    }

    pub(crate) fn user(&self) -> UserTag {
        self.user
    }

    pub(crate) fn key(&self) -> &Key {
        &self.key
    }
}

/// A request that is not authentic.
pub(crate) enum Rejected {
    /// Answer with this code, paid for from the prefix's budget; for all but
    /// 400 with realm and nonce.
    Answer(ErrorCode),
    /// The budget is spent.
    OverBudget,
}

/// Key and user of whoever made the state a request concerns.
pub(crate) struct Known<'k> {
    pub(crate) user: UserTag,
    pub(crate) key: &'k Key,
}

impl Authenticator {
    pub(crate) fn new(config: &Config, seeds: &Seeds, keyed: Keyed) -> Self {
        // A key of its own for user tags, from the same secret.
        let tag_key = seeds.nonce_key.map(|byte| byte ^ 0x5C);
        Self {
            nonces: Nonces::new(seeds.nonce_key, config.lifetimes.nonce),
            book: Book::new(&config.realm, tag_key, seeds.hash_key),
            budgets: PrefixBudgets::new(config.unauthenticated, keyed),
        }
    }

    pub(crate) fn set_credentials(&mut self, credentials: &Credentials) {
        self.book.replace(credentials);
    }

    /// Pays for one answer to an address that has not proven anything.
    pub(crate) fn pay(&mut self, now: Now, client: ClientAddr) -> bool {
        self.budgets.take(now.instant, client)
    }

    pub(crate) fn challenge_nonce(&self, now: Now, client: ClientAddr) -> [u8; nonce::LEN] {
        self.nonces.make(now.unix, client)
    }

    /// Whom a username's allocations are counted to.
    pub(crate) fn account(&self, username: &[u8]) -> UserTag {
        self.book.account(username)
    }

    /// The checks of RFC 8489 §9.2.4 in its order. `known` is tried before the
    /// credentials: who made an allocation keeps it when the secret is
    /// withdrawn or the username's expiry passes.
    pub(crate) fn check<'m>(
        &mut self,
        now: Now,
        client: ClientAddr,
        message: &Message<'m>,
        known: Option<Known<'_>>,
    ) -> Result<Authenticated<'m>, Rejected> {
        let Some(integrity) = message.integrity() else {
            return Err(self.reject(now, client, ErrorCode::UNAUTHENTICATED));
        };
        let (Some(username), Some(_), Some(nonce)) =
            (message.username(), message.realm(), message.nonce())
        else {
            return Err(self.reject(now, client, ErrorCode::BAD_REQUEST));
        };
        let nonce = self.nonces.check(now.unix, client, nonce);
        // Nothing but an authentic nonce shows that the source address is not
        // forged; without one, the answer is paid for before any hashing.
        if nonce == Nonce::Foreign && !self.pay(now, client) {
            return Err(Rejected::OverBudget);
        }
        let user = self.book.tag(username);
        let key = match known.filter(|known| known.user == user && known.key.verifies(&integrity)) {
            Some(known) => Some(known.key.clone()),
            // Guessing costs a MAC per secret, and more for a long message: it
            // ends when the failures cannot be answered any more.
            None if nonce != Nonce::Foreign && !self.budgets.has(now.instant, client) => {
                return Err(Rejected::OverBudget);
            }
            None => self.book.verify(now.unix, username, &integrity),
        };
        match (key, nonce) {
            (Some(key), Nonce::Fresh) => Ok(Authenticated {
                username,
                user,
                key,
            }),
            (Some(_), Nonce::Foreign) => Err(Rejected::Answer(ErrorCode::STALE_NONCE)),
            (None, Nonce::Foreign) => Err(Rejected::Answer(ErrorCode::UNAUTHENTICATED)),
            (Some(_), Nonce::Stale) => Err(self.reject(now, client, ErrorCode::STALE_NONCE)),
            (None, _) => Err(self.reject(now, client, ErrorCode::UNAUTHENTICATED)),
        }
    }

    fn reject(&mut self, now: Now, client: ClientAddr, code: ErrorCode) -> Rejected {
        if self.pay(now, client) {
            Rejected::Answer(code)
        } else {
            Rejected::OverBudget
        }
    }

    pub(crate) fn memory(&self) -> usize {
        self.budgets.memory()
    }
}
