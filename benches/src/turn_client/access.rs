//! What a client shows to be let in, and the requests it is let in with.

use anyhow::{Context as _, Result};
use hmac::Hmac;
use sha1::Sha1;

use super::message::{
    ALLOCATE, CHANNEL_BIND, CHANNEL_NUMBER, LIFETIME, NONCE, REALM, REFRESH, REQUESTED_TRANSPORT,
    Request, Response, TransactionId, USERNAME, XOR_PEER_ADDRESS,
};
use super::{CHANNEL, Credentials, Flow, LIFETIME_SECONDS, Step};

const UDP_PROTOCOL: [u8; 4] = [17, 0, 0, 0];

/// Credentials, and what a server has said about itself.
pub(super) struct Access {
    credentials: Credentials,
    realm: String,
    key: Option<Hmac<Sha1>>,
    seed: u64,
    issued: u64,
}

impl Access {
    pub(super) fn new(credentials: Credentials) -> Result<Self> {
        Ok(Self {
            credentials,
            realm: String::new(),
            key: None,
            seed: getrandom::u64().context("no randomness")?,
            issued: 0,
        })
    }

    /// The id of a new transaction.
    pub(super) fn transaction(&mut self) -> TransactionId {
        self.issued += 1;
        let mut id = [0; 12];
        id[..4].copy_from_slice(&self.seed.to_be_bytes()[..4]);
        id[4..].copy_from_slice(&self.issued.to_be_bytes());
        id
    }

    /// The request that carries `step` out for `flow`.
    pub(super) fn request(&self, step: Step, id: &TransactionId, flow: &Flow) -> Result<Vec<u8>> {
        let method = match step {
            Step::Allocate => ALLOCATE,
            Step::Bind => CHANNEL_BIND,
            Step::Release => REFRESH,
        };
        let mut request = Request::new(method, id);
        match step {
            Step::Allocate => {
                request.attribute(REQUESTED_TRANSPORT, &UDP_PROTOCOL);
                request.attribute(LIFETIME, &LIFETIME_SECONDS.to_be_bytes());
            }
            Step::Bind => {
                let [high, low] = CHANNEL.to_be_bytes();
                request.attribute(CHANNEL_NUMBER, &[high, low, 0, 0]);
                request.address(XOR_PEER_ADDRESS, flow.peer.context("no peer was set")?);
            }
            Step::Release => request.attribute(LIFETIME, &[0; 4]),
        }
        let authenticated = !flow.nonce.is_empty();
        if authenticated {
            request.attribute(USERNAME, self.credentials.username().as_bytes());
            request.attribute(REALM, self.realm.as_bytes());
            request.attribute(NONCE, &flow.nonce);
        }
        Ok(request.finish(self.key.as_ref().filter(|_| authenticated)))
    }

    /// Takes in what the server wants to see.
    pub(super) fn challenge(&mut self, flow: &mut Flow, response: &Response<'_>) -> Result<()> {
        let nonce = response
            .attribute(NONCE)
            .context("a challenge without a nonce")?;
        nonce.clone_into(&mut flow.nonce);
        if let Some(realm) = response.attribute(REALM) {
            let realm = std::str::from_utf8(realm).context("a realm that is not UTF-8")?;
            if self.key.is_none() || self.realm != realm {
                realm.clone_into(&mut self.realm);
                self.key = Some(self.credentials.key(realm)?);
            }
        }
        Ok(())
    }
}
