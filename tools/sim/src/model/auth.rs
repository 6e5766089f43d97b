//! Who a request is from: the long-term credential mechanism of RFC 8489 §9.2
//! with nonces the model merely remembers.

use std::net::SocketAddr;

use forebay_turn::Expiry;

use super::{Model, Tuple};
use crate::accounts;
use crate::network::Time;
use crate::stun::{Message, algorithm, attribute, long_term_key, method, userhash};

/// A nonce a shard has put into an answer.
pub(super) struct Issued {
    client: SocketAddr,
    at_unix: u64,
    /// PASSWORD-ALGORITHMS in that answer.
    offer: Option<Vec<u8>>,
}

/// What a request's credentials are worth.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Identity {
    /// Error codes that may refuse it, before it is looked at any further.
    Nobody(&'static [u16]),
    /// Made by someone who knows the password.
    Known { username: Vec<u8>, key: Vec<u8> },
    /// Made by someone who knew the password when saying goodbye.
    Gone { username: Vec<u8>, key: Vec<u8> },
}

/// The algorithm a request says its key is made with.
pub(super) fn named_algorithm(message: &Message) -> [u8; 4] {
    let named = message.get(attribute::PASSWORD_ALGORITHM);
    named
        .and_then(|value| value.try_into().ok())
        .unwrap_or(algorithm::MD5)
}

impl Model {
    /// Remembers the nonce of an error answer.
    pub(super) fn remember_nonce(&mut self, client: SocketAddr, unix: u64, answer: &Message) {
        if let Some(nonce) = answer.get(attribute::NONCE) {
            self.nonces.insert(
                nonce.to_vec(),
                Issued {
                    client,
                    at_unix: unix,
                    offer: answer
                        .get(attribute::PASSWORD_ALGORITHMS)
                        .map(<[u8]>::to_vec),
                },
            );
        }
    }

    pub(super) fn identify(&self, unix: u64, tuple: Tuple, message: &Message) -> Identity {
        if !message.has_integrity() {
            return Identity::Nobody(&[401]);
        }
        let name = message.get(attribute::USERNAME);
        let hash = message
            .get(attribute::USERHASH)
            .filter(|hash| hash.len() == 32);
        let (true, Some(_), Some(nonce)) = (
            name.is_some() != hash.is_some(),
            message.get(attribute::REALM),
            message.get(attribute::NONCE),
        ) else {
            return Identity::Nobody(&[400]);
        };
        let issued = self
            .nonces
            .get(nonce)
            .filter(|issued| issued.client == tuple.client);
        let fresh =
            issued.is_some_and(|issued| unix < issued.at_unix + self.lifetimes.nonce.as_secs());
        if let Some(codes) = self.bid_down(tuple, message, issued) {
            return Identity::Nobody(codes);
        }
        let Some(username) = name.or_else(|| self.unhashed(tuple, hash?)) else {
            return Identity::Nobody(if fresh { &[401] } else { &[401, 438] });
        };
        let algorithm = named_algorithm(message);
        let allocation = self.allocations.get(&tuple).filter(|allocation| {
            allocation.username == username && allocation.algorithm == algorithm
        });
        let vouched = allocation.filter(|allocation| message.is_from(&allocation.key));
        if vouched.is_some() && self.has_run_out(unix, username) && !says_goodbye(message) {
            return Identity::Nobody(&[401]);
        }
        let mut keys: Vec<Vec<u8>> = vouched
            .map(|allocation| allocation.key.clone())
            .into_iter()
            .collect();
        let passwords = self.accounts.passwords(username, unix);
        keys.extend(
            passwords.iter().map(|password| {
                long_term_key(algorithm, username, &self.realm, password.as_bytes())
            }),
        );
        match (keys.into_iter().find(|key| message.is_from(key)), fresh) {
            (Some(key), true) => Identity::Known {
                username: username.to_vec(),
                key,
            },
            (Some(_), false) => Identity::Nobody(&[438]),
            (None, fresh) => self.repeats_goodbye(tuple, message, username, fresh),
        }
    }

    /// The codes for a request whose PASSWORD-ALGORITHMS and
    /// PASSWORD-ALGORITHM do not go with what its nonce came with.
    fn bid_down(
        &self,
        tuple: Tuple,
        message: &Message,
        issued: Option<&Issued>,
    ) -> Option<&'static [u16]> {
        let list = message.get(attribute::PASSWORD_ALGORITHMS);
        let chosen = message.get(attribute::PASSWORD_ALGORITHM);
        let Some(issued) = issued else {
            let blind = list.is_some() || chosen.is_some() || !self.takes_md5;
            return blind.then_some(&[401, 438]);
        };
        let md5_alone = algorithm::MD5.to_vec();
        let offer = issued.offer.as_ref().unwrap_or(&md5_alone);
        let has = |chosen: &[u8]| offer.chunks(4).any(|entry| entry == chosen);
        let proven = self
            .allocations
            .get(&tuple)
            .is_some_and(|allocation| Some(&allocation.algorithm[..]) == chosen);
        match (list, chosen) {
            (None, None) if has(&algorithm::MD5) => None,
            (None, None) => Some(&[401]),
            (Some(list), Some(chosen)) if list == offer && has(chosen) => None,
            (None, Some(_)) if proven => None,
            _ => Some(&[400]),
        }
    }

    /// Whose hash it is: a static user's, or that of the allocation's user.
    fn unhashed(&self, tuple: Tuple, hash: &[u8]) -> Option<&[u8]> {
        let user = |username: &[u8]| userhash(username, &self.realm) == hash;
        let allocated = self
            .allocations
            .get(&tuple)
            .map(|found| &found.username[..]);
        let gone = self.goodbyes.get(&tuple).map(|found| &found.username[..]);
        allocated
            .filter(|username| user(username))
            .or_else(|| gone.filter(|username| user(username)))
            .or_else(|| self.accounts.hashed(hash, &self.realm))
    }

    fn has_run_out(&self, unix: u64, username: &[u8]) -> bool {
        self.expiry == Expiry::Strict
            && accounts::expiry(username).is_some_and(|expiry| expiry <= unix)
    }

    /// Who deleted an allocation may repeat that request although the password
    /// has run out since; the server may have forgotten, though.
    fn repeats_goodbye(
        &self,
        tuple: Tuple,
        message: &Message,
        username: &[u8],
        fresh: bool,
    ) -> Identity {
        let repeated = message.method == method::REFRESH && !self.allocations.contains_key(&tuple);
        let goodbye = self
            .goodbyes
            .get(&tuple)
            .filter(|goodbye| repeated && goodbye.username == username);
        match goodbye.filter(|goodbye| message.is_from(&goodbye.key)) {
            Some(goodbye) if fresh => Identity::Gone {
                username: username.to_vec(),
                key: goodbye.key.clone(),
            },
            Some(_) => Identity::Nobody(&[401, 438]),
            None if fresh => Identity::Nobody(&[401]),
            None => Identity::Nobody(&[401, 438]),
        }
    }

    /// Forgets nonces nobody can use any more.
    pub(crate) fn forget_nonces(&mut self, now_unix: Time) {
        let lifetime = self.lifetimes.nonce.as_secs();
        self.nonces
            .retain(|_, issued| now_unix <= issued.at_unix + lifetime + 1);
    }
}

fn says_goodbye(message: &Message) -> bool {
    message.method == method::REFRESH && message.u32(attribute::LIFETIME) == Some(0)
}
