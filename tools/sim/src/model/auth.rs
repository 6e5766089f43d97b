//! Who a request is from: the long-term credential mechanism of RFC 8489 §9.2
//! with nonces the model merely remembers.

use std::net::SocketAddr;

use super::{Model, Tuple};
use crate::network::Time;
use crate::stun::{Message, attribute, long_term_key, method};

/// A nonce a shard has put into an answer.
pub(super) struct Issued {
    client: SocketAddr,
    at_unix: u64,
}

/// What a request's credentials are worth.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Identity {
    /// Error codes that may refuse it, before it is looked at any further.
    Nobody(&'static [u16]),
    /// Made by someone who knows the password.
    Known { username: Vec<u8>, key: [u8; 16] },
    /// Made by someone who knew the password when saying goodbye.
    Gone { username: Vec<u8>, key: [u8; 16] },
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
                },
            );
        }
    }

    pub(super) fn identify(&self, unix: u64, tuple: Tuple, message: &Message) -> Identity {
        if !message.has_integrity() {
            return Identity::Nobody(&[401]);
        }
        let (Some(username), Some(_), Some(nonce)) = (
            message.get(attribute::USERNAME),
            message.get(attribute::REALM),
            message.get(attribute::NONCE),
        ) else {
            return Identity::Nobody(&[400]);
        };
        let fresh = self.nonces.get(nonce).is_some_and(|issued| {
            issued.client == tuple.client && unix < issued.at_unix + self.lifetimes.nonce.as_secs()
        });
        let allocation = self
            .allocations
            .get(&tuple)
            .filter(|allocation| allocation.username == username);
        let mut keys: Vec<[u8; 16]> = allocation
            .map(|allocation| allocation.key)
            .into_iter()
            .collect();
        let passwords = self.accounts.passwords(username, unix);
        keys.extend(
            passwords
                .iter()
                .map(|password| long_term_key(username, &self.realm, password.as_bytes())),
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
                key: goodbye.key,
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
