//! One client with one allocation at a time, over any transport.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use anyhow::{Context as _, Result, bail};
use hmac::Hmac;
use rustls::ClientConfig;
use sha1::Sha1;

use super::link::{Link, Transport};
use crate::turn_client::message::{
    ALLOCATE, CHANNEL_BIND, CHANNEL_NUMBER, EVEN_PORT, LIFETIME, MOBILITY_TICKET, NONCE, REALM,
    REFRESH, REQUESTED_TRANSPORT, RESERVATION_TOKEN, Request, Response, USERNAME, XOR_PEER_ADDRESS,
    XOR_RELAYED_ADDRESS,
};
use crate::turn_client::{CHANNEL, Credentials, channel_data};

/// Times a datagram is sent before the server counts as silent.
const ATTEMPTS: usize = 5;
/// A server that keeps saying 401 or 438 refuses the credentials.
const CHALLENGES: usize = 6;
const UDP_PROTOCOL: [u8; 4] = [17, 0, 0, 0];
/// EVEN-PORT with the bit that reserves the next one.
const WITH_NEXT: [u8; 1] = [0x80];

/// What is asked for beside an allocation.
#[derive(Clone, Debug, Default)]
pub(super) struct Wish {
    /// A ticket to move with.
    pub(super) mobility: bool,
    /// An even port, and the next one held.
    pub(super) pair: bool,
    /// The port that was held for this token.
    pub(super) token: Option<Vec<u8>>,
}

/// See the module documentation.
pub(super) struct Client {
    link: Link,
    server: SocketAddr,
    local: IpAddr,
    trust: Arc<ClientConfig>,
    credentials: Credentials,
    realm: String,
    nonce: Vec<u8>,
    key: Option<Hmac<Sha1>>,
    ticket: Option<Vec<u8>>,
    /// For the next port, when a pair was asked for.
    pub(super) token: Option<Vec<u8>>,
}

impl Client {
    pub(super) fn connect(
        transport: Transport,
        server: SocketAddr,
        local: IpAddr,
        trust: &Arc<ClientConfig>,
        credentials: &Credentials,
    ) -> Result<Self> {
        Ok(Self {
            link: Link::open(transport, server, local, trust)?,
            server,
            local,
            trust: Arc::clone(trust),
            credentials: credentials.clone(),
            realm: String::new(),
            nonce: Vec::new(),
            key: None,
            ticket: None,
            token: None,
        })
    }

    /// Allocates and gives the relayed address.
    pub(super) fn allocate(&mut self, wish: &Wish) -> Result<SocketAddr> {
        let answer = self.call(ALLOCATE, true, |request| {
            request.attribute(REQUESTED_TRANSPORT, &UDP_PROTOCOL);
            if wish.mobility {
                request.attribute(MOBILITY_TICKET, &[]);
            }
            if wish.pair {
                request.attribute(EVEN_PORT, &WITH_NEXT);
            }
            if let Some(token) = &wish.token {
                request.attribute(RESERVATION_TOKEN, token);
            }
        })?;
        let answer = Response::parse(&answer).context("no answer")?;
        let owned = |kind| answer.attribute(kind).map(<[u8]>::to_vec);
        (self.ticket, self.token) = (owned(MOBILITY_TICKET), owned(RESERVATION_TOKEN));
        answer
            .address(XOR_RELAYED_ADDRESS)
            .context("no relayed address")
    }

    /// Binds the channel, and with it a permission, to a peer.
    pub(super) fn bind(&mut self, peer: SocketAddr) -> Result<()> {
        let [high, low] = CHANNEL.to_be_bytes();
        self.call(CHANNEL_BIND, false, |request| {
            request.attribute(CHANNEL_NUMBER, &[high, low, 0, 0]);
            request.address(XOR_PEER_ADDRESS, peer);
        })
        .map(drop)
    }

    /// Sends a payload to the peer; whether it came back.
    pub(super) fn echo(&mut self, payload: &[u8]) -> Result<bool> {
        let message = channel_data(CHANNEL, payload);
        self.link.send(&message)?;
        for _ in 0..ATTEMPTS {
            while let Some(got) = self.link.receive()? {
                if got.get(..message.len()) == Some(&message[..]) {
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }

    /// Takes the allocation along to another port (RFC 8016).
    pub(super) fn move_on(&mut self) -> Result<()> {
        let ticket = self.ticket.take().context("no ticket was given")?;
        self.change_port()?;
        let answer = self.call(REFRESH, true, |request| {
            request.attribute(MOBILITY_TICKET, &ticket);
        })?;
        let answer = Response::parse(&answer).context("no answer")?;
        self.ticket = answer.attribute(MOBILITY_TICKET).map(<[u8]>::to_vec);
        Ok(())
    }

    /// Ends the allocation in good order.
    pub(super) fn release(mut self) -> Result<()> {
        self.call(REFRESH, false, |request| {
            request.attribute(LIFETIME, &[0; 4]);
        })
        .map(drop)
    }

    /// Goes away without a word, by a reset where there is one.
    pub(super) fn vanish(self, reset: bool) {
        if reset {
            self.link.reset();
        }
    }

    fn change_port(&mut self) -> Result<()> {
        self.link = Link::open(Transport::Udp, self.server, self.local, &self.trust)?;
        self.nonce.clear();
        Ok(())
    }

    /// A request until it succeeds, answering challenges; the answer. With
    /// `any_port`, a port that an earlier client has left an allocation behind
    /// on is given up for another.
    fn call(
        &mut self,
        method: u16,
        any_port: bool,
        fill: impl Fn(&mut Request),
    ) -> Result<Vec<u8>> {
        for _ in 0..CHALLENGES {
            let mut id = [0; 12];
            getrandom::fill(&mut id)?;
            let mut request = Request::new(method, &id);
            fill(&mut request);
            if !self.nonce.is_empty() {
                request.attribute(USERNAME, self.credentials.username().as_bytes());
                request.attribute(REALM, self.realm.as_bytes());
                request.attribute(NONCE, &self.nonce);
            }
            let key = self.key.as_ref().filter(|_| !self.nonce.is_empty());
            let request = request.finish(key);
            let bytes = self.exchange(&request, &id)?;
            let answer = Response::parse(&bytes).context("no answer")?;
            if answer.is_success() {
                return Ok(bytes);
            }
            match answer.error_code() {
                Some(401 | 438) => self.challenge(&answer)?,
                Some(437) if any_port && self.link.is_datagram() => self.change_port()?,
                code => bail!("method {method:#x} is refused with {code:?}"),
            }
        }
        bail!("the credentials are refused")
    }

    fn exchange(&mut self, request: &[u8], id: &[u8; 12]) -> Result<Vec<u8>> {
        let attempts = if self.link.is_datagram() { ATTEMPTS } else { 1 };
        for _ in 0..attempts {
            self.link.send(request)?;
            while let Some(message) = self.link.receive()? {
                if Response::parse(&message).is_some_and(|response| response.answers(id)) {
                    return Ok(message);
                }
            }
        }
        bail!("the server does not answer")
    }

    fn challenge(&mut self, answer: &Response<'_>) -> Result<()> {
        let nonce = answer.attribute(NONCE).context("no nonce")?;
        nonce.clone_into(&mut self.nonce);
        if self.key.is_none() {
            let realm = answer.attribute(REALM).context("no realm")?;
            std::str::from_utf8(realm)?.clone_into(&mut self.realm);
            self.key = Some(self.credentials.key(&self.realm)?);
        }
        Ok(())
    }
}
