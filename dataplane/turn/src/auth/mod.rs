//! The long-term credential mechanism (RFC 8489 §9.2).

mod credentials;
mod failures;
mod key;
mod nonce;
mod offer;

pub(crate) use credentials::UserTag;
pub use failures::AuthFailures;
pub(crate) use key::{Key, Sealer};

use forebay_wire::NoRoom;
use forebay_wire::clock::{Now, UnixSeconds};
use forebay_wire::stun::{AttributeType, Builder, ErrorCode, Message, Method};

use crate::config::{Config, Credentials, Expiry, Seeds};
use crate::ids::ClientAddr;
use crate::prefix_budget::PrefixBudgets;
use crate::tables::Keyed;

use credentials::{Book, Verified, Who};
use failures::Failure;
use key::{Seal, SealKind};
use nonce::{Features, Nonce, Nonces};
use offer::{Choice, Offer};

/// Checks requests.
pub(crate) struct Authenticator {
    nonces: Nonces,
    offer: Offer,
    book: Book,
    budgets: PrefixBudgets,
    expiry: Expiry,
    failures: AuthFailures,
}

/// A request whose integrity holds and whose nonce is fresh. Cannot be made
/// elsewhere, so whatever asks for one cannot be reached without.
pub(crate) struct Authenticated<'m> {
    who: Who<'m>,
    user: UserTag,
    key: Key,
    until: Option<UnixSeconds>,
    seal: SealKind,
}

impl Authenticated<'_> {
    pub(crate) fn user(&self) -> UserTag {
        self.user
    }

    pub(crate) fn key(&self) -> &Key {
        &self.key
    }

    /// When its username expires.
    pub(crate) fn until(&self) -> Option<UnixSeconds> {
        self.until
    }

    /// What seals an answer once the request is no longer at hand.
    pub(crate) fn sealer(&self) -> Sealer {
        Sealer {
            key: self.key.clone(),
            kind: self.seal,
        }
    }

    /// Seals an answer with the integrity attribute the request had.
    pub(crate) fn seal(&self, answer: &mut Builder<'_>) -> Result<(), NoRoom> {
        self.seal.push(&self.key, answer)
    }
}

/// A request that is not authentic.
pub(crate) enum Rejected {
    /// Answer with this code, paid for from the prefix's budget; for all but
    /// 400 with a challenge.
    Answer(ErrorCode),
    /// The budget is spent.
    OverBudget,
}

/// Key and user of whoever made the state a request concerns.
pub(crate) struct Known<'k> {
    pub(crate) user: UserTag,
    pub(crate) key: &'k Key,
    pub(crate) until: Option<UnixSeconds>,
}

impl Authenticator {
    pub(crate) fn new(config: &Config, seeds: &Seeds, keyed: Keyed) -> Self {
        // A key of its own for user tags, from the same secret.
        let tag_key = seeds.nonce_key.map(|byte| byte ^ 0x5C);
        Self {
            nonces: Nonces::new(seeds.nonce_key, config.lifetimes.nonce),
            offer: Offer::new(&config.algorithms),
            book: Book::new(&config.realm, tag_key, seeds.hash_key),
            budgets: PrefixBudgets::new(config.unauthenticated, keyed),
            expiry: config.expiry,
            failures: AuthFailures::default(),
        }
    }

    pub(crate) fn set_credentials(&mut self, credentials: &Credentials) {
        self.book.replace(credentials);
    }

    pub(crate) fn failures(&self) -> &AuthFailures {
        &self.failures
    }

    /// Pays for one answer to an address that has not proven anything.
    pub(crate) fn pay(&mut self, now: Now, client: ClientAddr) -> bool {
        self.budgets.take(now.instant, client)
    }

    /// Adds NONCE and what it announces. Hashes instead of usernames are asked
    /// for where every user can be found by one.
    pub(crate) fn challenge(
        &self,
        now: Now,
        client: ClientAddr,
        answer: &mut Builder<'_>,
    ) -> Result<(), NoRoom> {
        let mut features = self.offer.features();
        if features != Features::NONE && self.book.knows_every_user() {
            features = features.with(Features::USERNAME_ANONYMITY);
        }
        let nonce = self.nonces.make(now.unix, features, client);
        answer.push(AttributeType::NONCE, nonce.as_bytes())?;
        self.offer.push(answer)
    }

    /// Whom a user's allocations are counted to.
    pub(crate) fn account(&self, from: &Authenticated<'_>) -> UserTag {
        self.book.account(from.who)
    }

    /// The username; `None` where it is known by its hash alone, as that of a
    /// REST user may be who has an allocation.
    pub(crate) fn username<'a>(&'a self, from: &'a Authenticated<'_>) -> Option<&'a [u8]> {
        self.book.name(from.who)
    }

    /// The checks of RFC 8489 §9.2.4 in its order. `known` is tried before the
    /// credentials: who made an allocation keeps it when the secret is
    /// withdrawn and, where expiry is lenient, when the username's passes.
    pub(crate) fn check<'m>(
        &mut self,
        now: Now,
        client: ClientAddr,
        message: &Message<'m>,
        known: Option<Known<'_>>,
    ) -> Result<Authenticated<'m>, Rejected> {
        let Some(seal) = Seal::of(message) else {
            return Err(self.reject(now, client, ErrorCode::UNAUTHENTICATED));
        };
        let who = match (message.username(), message.userhash()) {
            (Some(name), None) => Some(Who::Name(name)),
            (None, Some(hash)) => Some(Who::Hash(hash)),
            _ => None,
        };
        let (Some(who), Some(_), Some(nonce)) = (who, message.realm(), message.nonce()) else {
            return Err(self.reject(now, client, ErrorCode::BAD_REQUEST));
        };
        let nonce = self.nonces.check(now.unix, client, nonce);
        // Nothing but an authentic nonce shows that the source address is not
        // forged; without one, the answer is paid for before any hashing.
        if nonce == Nonce::Foreign && !self.pay(now, client) {
            return Err(Rejected::OverBudget);
        }
        let proven = known.as_ref().map(|known| known.key.algorithm());
        let algorithm = match (self.offer.choice(message, proven), nonce) {
            (Choice::Use(algorithm), _) => algorithm,
            // Which list came with it nobody can tell.
            (Choice::BidDown, Nonce::Foreign) => {
                return Err(Rejected::Answer(ErrorCode::STALE_NONCE));
            }
            (Choice::BidDown, _) => {
                return Err(self.reject(now, client, ErrorCode::BAD_REQUEST));
            }
            (Choice::Unsupported, Nonce::Foreign) => {
                return Err(Rejected::Answer(ErrorCode::UNAUTHENTICATED));
            }
            (Choice::Unsupported, _) => {
                return Err(self.reject(now, client, ErrorCode::UNAUTHENTICATED));
            }
        };
        let user = self.book.tag(&self.book.userhash(who));
        let known = known.filter(|known| {
            known.user == user && known.key.algorithm() == algorithm && known.key.verifies(&seal)
        });
        let verified = match known {
            Some(known) => self.still_good(now, message, &known),
            // Guessing costs a MAC per secret, and more for a long message: it
            // ends when the failures cannot be answered any more.
            None if nonce != Nonce::Foreign && !self.budgets.has(now.instant, client) => {
                return Err(Rejected::OverBudget);
            }
            None => self.book.verify(now.unix, who, algorithm, &seal),
        };
        if let Err(failure) = verified {
            self.failures.note(client, failure);
        }
        match (verified, nonce) {
            (Ok(Verified { key, until }), Nonce::Fresh) => Ok(Authenticated {
                who,
                user,
                key,
                until,
                seal: seal.kind(),
            }),
            (Ok(_), Nonce::Foreign) => Err(Rejected::Answer(ErrorCode::STALE_NONCE)),
            (Err(_), Nonce::Foreign) => Err(Rejected::Answer(ErrorCode::UNAUTHENTICATED)),
            (Ok(_), Nonce::Stale) => Err(self.reject(now, client, ErrorCode::STALE_NONCE)),
            (Err(_), _) => Err(self.reject(now, client, ErrorCode::UNAUTHENTICATED)),
        }
    }

    /// Where expiry is strict, an expired username is good for saying goodbye
    /// and nothing else.
    fn still_good(
        &self,
        now: Now,
        message: &Message<'_>,
        known: &Known<'_>,
    ) -> Result<Verified, Failure> {
        let goodbye = message.method() == Method::REFRESH && message.lifetime() == Some(0);
        match known.until.filter(|until| *until <= now.unix) {
            Some(until) if self.expiry == Expiry::Strict && !goodbye => Err(Failure::Expired {
                ago: now.unix.0 - until.0,
            }),
            _ => Ok(Verified {
                key: known.key.clone(),
                until: known.until,
            }),
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
