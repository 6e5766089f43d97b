//! What challenges offer beyond MD5 and SHA-1, and what requests make of it.

use forebay_wire::NoRoom;
use forebay_wire::stun::{AttributeType, Builder, Message};

use crate::config::PasswordAlgorithm;

use super::nonce::Features;

/// Bytes of an algorithm without parameters (RFC 8489 §14.11).
const ENTRY: usize = 4;
/// How many algorithms there are (RFC 8489 §18.5).
const ALGORITHMS: usize = 2;

/// The password algorithms on offer, as PASSWORD-ALGORITHMS lists them.
pub(super) struct Offer {
    list: [u8; ENTRY * ALGORITHMS],
    len: usize,
}

/// What the attributes of a request choose.
pub(super) enum Choice {
    Use(PasswordAlgorithm),
    /// A client of RFC 5389, and MD5 is not on offer.
    Unsupported,
    /// Not what was offered: somebody on the way has changed the offer or the
    /// choice.
    BidDown,
}

impl Offer {
    /// In order of preference; none is MD5 alone.
    pub(super) fn new(preferred: &[PasswordAlgorithm]) -> Self {
        let mut offer = Self {
            list: [0; ENTRY * ALGORITHMS],
            len: 0,
        };
        let preferred = match preferred {
            [] => &[PasswordAlgorithm::Md5],
            preferred => preferred,
        };
        for algorithm in preferred {
            if !offer.has(*algorithm) {
                offer.list[offer.len..offer.len + ENTRY].copy_from_slice(&encode(*algorithm));
                offer.len += ENTRY;
            }
        }
        offer
    }

    fn entries(&self) -> impl Iterator<Item = PasswordAlgorithm> + '_ {
        self.list().chunks_exact(ENTRY).filter_map(decode)
    }

    fn list(&self) -> &[u8] {
        &self.list[..self.len]
    }

    fn has(&self, algorithm: PasswordAlgorithm) -> bool {
        self.entries().any(|entry| entry == algorithm)
    }

    /// MD5 alone is what servers have that know of no other: it is not listed,
    /// and a challenge stays small.
    fn is_listed(&self) -> bool {
        self.entries().any(|entry| entry != PasswordAlgorithm::Md5)
    }

    pub(super) fn features(&self) -> Features {
        match self.is_listed() {
            true => Features::PASSWORD_ALGORITHMS,
            false => Features::NONE,
        }
    }

    pub(super) fn push(&self, answer: &mut Builder<'_>) -> Result<(), NoRoom> {
        match self.is_listed() {
            true => answer.push(AttributeType::PASSWORD_ALGORITHMS, self.list()),
            false => Ok(()),
        }
    }

    /// The checks of RFC 8489 §9.2.4 on a request. One that names an algorithm
    /// has to repeat the list; whoever has an allocation made with a key of
    /// `proven` has done so before, and §9.2.3.2 asks no more of it than the
    /// algorithm.
    pub(super) fn choice(
        &self,
        message: &Message<'_>,
        proven: Option<PasswordAlgorithm>,
    ) -> Choice {
        let list = message.get(AttributeType::PASSWORD_ALGORITHMS);
        let chosen = message.get(AttributeType::PASSWORD_ALGORITHM);
        match (list, chosen) {
            (None, None) if self.has(PasswordAlgorithm::Md5) => Choice::Use(PasswordAlgorithm::Md5),
            (None, None) => Choice::Unsupported,
            (list, Some(chosen)) => match decode(chosen).filter(|chosen| self.has(*chosen)) {
                Some(chosen) if list == Some(self.list()) => Choice::Use(chosen),
                Some(chosen) if list.is_none() && proven == Some(chosen) => Choice::Use(chosen),
                _ => Choice::BidDown,
            },
            (Some(_), None) => Choice::BidDown,
        }
    }
}

const fn encode(algorithm: PasswordAlgorithm) -> [u8; ENTRY] {
    match algorithm {
        PasswordAlgorithm::Md5 => [0, 1, 0, 0],
        PasswordAlgorithm::Sha256 => [0, 2, 0, 0],
    }
}

const fn decode(entry: &[u8]) -> Option<PasswordAlgorithm> {
    match entry {
        [0, 1, 0, 0] => Some(PasswordAlgorithm::Md5),
        [0, 2, 0, 0] => Some(PasswordAlgorithm::Sha256),
        _ => None,
    }
}
