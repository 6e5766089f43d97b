//! A client of RFC 8489 and what it makes of an offer.

use forebay_wire::stun::{AttributeType, Builder, Method};
use hmac::{Hmac, KeyInit, Mac};
use md5::Md5;
use sha2::{Digest, Sha256};

use crate::common::*;
use crate::{MD5, SHA256};

/// The habits of one client.
pub(crate) struct Habits {
    pub(crate) list: Option<Vec<u8>>,
    pub(crate) algorithm: Option<[u8; 4]>,
    pub(crate) sha1: bool,
    pub(crate) sha256: bool,
    pub(crate) hashed: bool,
}

impl Habits {
    /// What RFC 8489 §9.2.5 makes of a challenge that offers both.
    pub(crate) fn proper() -> Self {
        Self {
            list: Some([SHA256, MD5].concat()),
            algorithm: Some(SHA256),
            sha1: false,
            sha256: true,
            hashed: false,
        }
    }

    pub(crate) fn key(&self, client: &Client) -> Vec<u8> {
        let parts = [
            &client.username[..],
            b":",
            REALM.as_bytes(),
            b":",
            &client.password,
        ]
        .concat();
        match self.algorithm {
            Some(SHA256) => Sha256::digest(parts).to_vec(),
            _ => Md5::digest(parts).to_vec(),
        }
    }

    pub(crate) fn request(
        &self,
        client: &mut Client,
        method: Method,
        fill: &dyn Fn(&mut Builder<'_>),
    ) -> Vec<u8> {
        let key = self.key(client);
        let (username, nonce) = (client.username.clone(), client.nonce.clone());
        client.plain(method, &|message| {
            if method == Method::ALLOCATE {
                message
                    .push(AttributeType::REQUESTED_TRANSPORT, &[17, 0, 0, 0])
                    .unwrap();
            }
            fill(message);
            if self.hashed {
                let parts = [&username[..], b":", REALM.as_bytes()].concat();
                message
                    .push(AttributeType::USERHASH, &Sha256::digest(parts))
                    .unwrap();
            } else {
                message.push(AttributeType::USERNAME, &username).unwrap();
            }
            message
                .push(AttributeType::REALM, REALM.as_bytes())
                .unwrap();
            message.push(AttributeType::NONCE, &nonce).unwrap();
            if let Some(list) = &self.list {
                message
                    .push(AttributeType::PASSWORD_ALGORITHMS, list)
                    .unwrap();
            }
            if let Some(algorithm) = &self.algorithm {
                message
                    .push(AttributeType::PASSWORD_ALGORITHM, algorithm)
                    .unwrap();
            }
            if self.sha1 {
                sign(message, &key);
            }
            if self.sha256 {
                let mac = hmac_sha256(&key, message);
                message.push_integrity_sha256(&mac).unwrap();
            }
        })
    }

    /// Sends a request under these habits, holds the answer's integrity
    /// against them and gives the code.
    pub(crate) fn call(&self, world: &mut World, client: &mut Client, method: Method) -> u16 {
        self.call_with(world, client, method, &|_| {})
    }

    pub(crate) fn call_with(
        &self,
        world: &mut World,
        client: &mut Client,
        method: Method,
        fill: &dyn Fn(&mut Builder<'_>),
    ) -> u16 {
        let request = self.request(client, method, fill);
        let answer = client.exchange(world, &request);
        let (view, key) = (answer.view(), self.key(client));
        match (view.integrity(), view.integrity_sha256()) {
            (None, None) => assert!(matches!(answer.code(), 400 | 401 | 438)),
            (Some(seal), None) => {
                assert!(!self.sha256, "answered with SHA-1");
                let covered = [&seal.input.header, seal.input.body].concat();
                assert_eq!(hmac(&key, &covered), *seal.mac);
            }
            (None, Some(seal)) => {
                assert!(self.sha256, "answered with SHA-256");
                assert_eq!(seal.mac.len(), 32);
                let mut mac = Hmac::<Sha256>::new_from_slice(&key).unwrap();
                mac.update(&seal.input.header);
                mac.update(seal.input.body);
                assert_eq!(mac.finalize().into_bytes()[..], *seal.mac);
            }
            (Some(_), Some(_)) => panic!("one of the two in an answer"),
        }
        answer.code()
    }
}

pub(crate) fn hmac_sha256(key: &[u8], message: &Builder<'_>) -> [u8; 32] {
    let input = message.integrity_sha256_input();
    let mut mac = Hmac::<Sha256>::new_from_slice(key).unwrap();
    mac.update(&input.header);
    mac.update(input.body);
    mac.finalize().into_bytes().into()
}
