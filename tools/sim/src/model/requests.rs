//! Holds the answer to a request against what was due, and takes over what a
//! granted request changes.

use std::net::SocketAddr;
use std::time::Duration;

use forebay_turn::Deletion;

use super::auth::{Identity, named_algorithm};
use super::faults::{Effect, Faults, unknown_attributes};
use super::{Allocation, Channel, Goodbye, Model, Relay, Tuple};
use crate::network::Time;
use crate::stun::{Class, Message, attribute, method};

/// What the model has to be told of the host for one request.
pub(crate) struct Context<'a> {
    pub(crate) now: Time,
    pub(crate) unix: u64,
    /// Answers to unauthenticated requests are limited.
    pub(crate) budgeted: bool,
    /// The worker refuses new allocations.
    pub(crate) draining: bool,
    /// Relay sockets in the worker's hand, with the address clients are told.
    pub(crate) offered: &'a [(Relay, SocketAddr)],
}

/// Why the shard is wrong.
type Fault = String;

impl Model {
    /// Holds a STUN message other than a Send indication against the answer
    /// it drew, and takes over what it changed. Returns the relay that a new
    /// allocation was given.
    pub(crate) fn judge(
        &mut self,
        context: &Context<'_>,
        tuple: Tuple,
        datagram: &[u8],
        answer: Option<&[u8]>,
    ) -> Result<Option<Relay>, Fault> {
        let Some(request) = Message::parse(datagram).filter(Message::is_answerable) else {
            return match answer {
                None => Ok(None),
                Some(_) => Err("an answer to what must not be answered".into()),
            };
        };
        if request.method == method::BINDING {
            return self
                .binding(context, tuple, &request, answer)
                .map(|()| None);
        }
        if !matches!(
            request.method,
            method::ALLOCATE
                | method::REFRESH
                | method::CREATE_PERMISSION
                | method::CHANNEL_BIND
                | method::CONNECT
                | method::CONNECTION_BIND
        ) {
            return self
                .refused(context, tuple, &request, answer, &[400, 401], true)
                .map(|()| None);
        }
        match self.identify(context.unix, tuple, &request) {
            Identity::Nobody(codes) => {
                let mut codes = codes.to_vec();
                codes.extend([400, 420]);
                self.refused(context, tuple, &request, answer, &codes, false)?;
                Ok(None)
            }
            Identity::Gone { .. }
                if answer
                    .and_then(Message::parse)
                    .is_some_and(|answer| !answer.has_integrity()) =>
            {
                self.refused(context, tuple, &request, answer, &[401], false)
                    .map(|()| None)
            }
            Identity::Known { username, key } | Identity::Gone { username, key } => {
                self.granted_or_refused(context, tuple, &request, answer, &username, key)
            }
        }
    }

    fn granted_or_refused(
        &mut self,
        context: &Context<'_>,
        tuple: Tuple,
        request: &Message,
        answer: Option<&[u8]>,
        username: &[u8],
        key: Vec<u8>,
    ) -> Result<Option<Relay>, Fault> {
        self.settle_doubt(tuple, request, answer);
        let mut faults = Faults {
            must: unknown_attributes(request),
            may: Vec::new(),
        };
        let effect = match request.method {
            method::ALLOCATE => self.allocate(context, tuple, request, username, &mut faults),
            method::REFRESH => self.refresh(tuple, request, username, &mut faults),
            method::CREATE_PERMISSION => {
                self.create_permission(tuple, request, username, &mut faults)
            }
            // No client here comes over a connection, so none relays TCP.
            method::CONNECT => {
                faults.must.extend([437, 441]);
                Effect::None
            }
            method::CONNECTION_BIND => {
                faults.must.push(400);
                Effect::None
            }
            _ => self.channel_bind(tuple, request, username, &mut faults),
        };
        let Some(bytes) = answer else {
            // Whom no allocation vouches for costs the server a search through
            // its secrets, and pays for that like a stranger.
            let vouched = self
                .allocations
                .get(&tuple)
                .is_some_and(|allocation| allocation.key == key);
            return if vouched {
                Err("no answer to the user of an allocation".into())
            } else {
                self.unpaid(context, "a user").map(|()| None)
            };
        };
        let answer = self.well_formed(request, bytes)?;
        if !answer.is_from(&key) || answer.integrity_kind() != request.integrity_kind() {
            return Err("the answer is not protected as the request was".into());
        }
        match (answer.class, faults.must.is_empty()) {
            (Class::Error, _) => {
                let code = answer.error_code().unwrap_or(0);
                self.remember_nonce(tuple.client, context.unix, &answer);
                if faults.must.contains(&code) || faults.may.contains(&code) {
                    Ok(None)
                } else {
                    Err(format!("answered {code}, expected {faults:?}"))
                }
            }
            (_, true) => self.apply(context, tuple, request, &answer, username, key, effect),
            _ => Err(format!("granted, expected {faults:?}")),
        }
    }

    #[expect(
        clippy::too_many_arguments,
        reason = "one call, and each argument is a different thing"
    )]
    fn apply(
        &mut self,
        context: &Context<'_>,
        tuple: Tuple,
        request: &Message,
        answer: &Message,
        username: &[u8],
        key: Vec<u8>,
        effect: Effect,
    ) -> Result<Option<Relay>, Fault> {
        let now = context.now;
        let answered = answer.u32(attribute::LIFETIME).map(u64::from);
        let until = |lifetime: Duration| now + lifetime.as_nanos() as Time;
        let (permission, channel) = (
            until(self.lifetimes.permission),
            until(self.lifetimes.channel),
        );
        match effect {
            Effect::None => {
                let allocation = self
                    .allocations
                    .get(&tuple)
                    .ok_or("granted without an allocation")?;
                if answer.address(attribute::XOR_RELAYED_ADDRESS) != Some(allocation.relayed) {
                    return Err("a repeated Allocate was given another relayed address".into());
                }
            }
            Effect::Allocate { lifetime, ipv6 } => {
                let relayed = answer
                    .address(attribute::XOR_RELAYED_ADDRESS)
                    .ok_or("no relayed address")?;
                let offered = context
                    .offered
                    .iter()
                    .find(|(_, offered)| *offered == relayed);
                let (relay, _) = offered.ok_or_else(|| format!("{relayed} is no relay in hand"))?;
                if relayed.is_ipv6() != ipv6 {
                    return Err(format!("{relayed} is of the other family"));
                }
                if request.get(attribute::EVEN_PORT).is_some() && !relayed.port().is_multiple_of(2)
                {
                    return Err(format!("{relayed} is not even"));
                }
                if answer.address(attribute::XOR_MAPPED_ADDRESS) != Some(tuple.client) {
                    return Err("the mapped address is not the client's".into());
                }
                if answered != Some(lifetime) {
                    return Err(format!(
                        "lifetime {answered:?} in the answer, {lifetime} is due"
                    ));
                }
                let allocation = Allocation {
                    username: username.to_vec(),
                    key,
                    algorithm: named_algorithm(request),
                    relay: *relay,
                    relayed,
                    expires: until(Duration::from_secs(lifetime)),
                    permissions: Default::default(),
                    channels: Default::default(),
                    usage: Default::default(),
                    origin: (request.transaction, now),
                };
                self.allocations.insert(tuple, allocation);
                self.created.insert(*relay);
                return Ok(Some(*relay));
            }
            Effect::Refresh { lifetime } => {
                if answered != Some(lifetime) {
                    return Err(format!(
                        "lifetime {answered:?} in the answer, {lifetime} is due"
                    ));
                }
                if lifetime == 0 {
                    if self.allocations.contains_key(&tuple) {
                        let username = username.to_vec();
                        let transaction = request.transaction;
                        self.goodbyes.insert(
                            tuple,
                            Goodbye {
                                at: now,
                                transaction,
                                username,
                                key,
                            },
                        );
                    }
                    self.end(tuple, now, Deletion::ClosedByClient);
                } else if let Some(allocation) = self.allocations.get_mut(&tuple) {
                    allocation.expires = until(Duration::from_secs(lifetime));
                }
            }
            Effect::Doubt => {
                if answered != Some(0) {
                    return Err(format!("lifetime {answered:?} in the answer, 0 is due"));
                }
                self.doubtful.insert(tuple);
            }
            Effect::Permit(peers) => {
                if let Some(allocation) = self.allocations.get_mut(&tuple) {
                    allocation
                        .permissions
                        .extend(peers.into_iter().map(|ip| (ip, permission)));
                }
            }
            Effect::Bind(number, peer) => {
                if let Some(allocation) = self.allocations.get_mut(&tuple) {
                    allocation.permissions.insert(peer.ip(), permission);
                    allocation
                        .channels
                        .retain(|_, channel| channel.peer != peer);
                    allocation.channels.insert(
                        number,
                        Channel {
                            peer,
                            expires: channel,
                        },
                    );
                }
            }
        }
        Ok(None)
    }

    /// A later answer on the same five-tuple may tell whether a doubtful
    /// allocation is gone.
    fn settle_doubt(&mut self, tuple: Tuple, request: &Message, answer: Option<&[u8]>) {
        let Some(answer) = answer
            .and_then(Message::parse)
            .filter(|_| self.doubtful.contains(&tuple))
        else {
            return;
        };
        let mismatch = answer.error_code() == Some(437);
        let relayed = answer.address(attribute::XOR_RELAYED_ADDRESS);
        let gone = match request.method {
            method::ALLOCATE => {
                let same = self
                    .allocations
                    .get(&tuple)
                    .map(|allocation| allocation.relayed)
                    == relayed;
                !mismatch && !same
            }
            _ => mismatch,
        };
        if gone {
            self.doubtful.remove(&tuple);
            self.end(tuple, self.now, Deletion::ClosedByClient);
        }
    }

    fn binding(
        &mut self,
        context: &Context<'_>,
        tuple: Tuple,
        request: &Message,
        answer: Option<&[u8]>,
    ) -> Result<(), Fault> {
        let Some(bytes) = answer else {
            return self.unpaid(context, "a Binding request");
        };
        let answer = self.well_formed(request, bytes)?;
        if answer.class == Class::Error {
            return match answer.error_code() {
                Some(420) if !unknown_attributes(request).is_empty() => Ok(()),
                Some(400) => Ok(()),
                code => Err(format!("answered {code:?} to a Binding request")),
            };
        }
        if answer.address(attribute::XOR_MAPPED_ADDRESS) != Some(tuple.client) {
            return Err("the mapped address is not the client's".into());
        }
        Ok(())
    }

    /// A message that must change nothing: silence where allowed, or one of
    /// these errors, small and without a key's protection.
    fn refused(
        &mut self,
        context: &Context<'_>,
        tuple: Tuple,
        request: &Message,
        answer: Option<&[u8]>,
        codes: &[u16],
        may_be_silent: bool,
    ) -> Result<(), Fault> {
        let Some(bytes) = answer else {
            return if may_be_silent {
                Ok(())
            } else {
                self.unpaid(context, &format!("what {codes:?} was due to"))
            };
        };
        if bytes.len() > 100 + self.realm.len() {
            return Err(format!(
                "{} bytes to somebody who proved nothing",
                bytes.len()
            ));
        }
        let answer = self.well_formed(request, bytes)?;
        let code = answer.error_code().unwrap_or(0);
        if answer.class != Class::Error || !codes.contains(&code) {
            return Err(format!(
                "answered {:?} {code}, expected one of {codes:?}",
                answer.class
            ));
        }
        if matches!(code, 401 | 438) {
            if answer.get(attribute::REALM) != Some(self.realm.as_bytes())
                || answer.get(attribute::NONCE).is_none()
            {
                return Err("a challenge without realm or nonce".into());
            }
            self.remember_nonce(tuple.client, context.unix, &answer);
        }
        Ok(())
    }

    /// Silence where an answer is due, unless nobody pays for it.
    fn unpaid(&mut self, context: &Context<'_>, to: &str) -> Result<(), Fault> {
        self.unpaid += 1;
        if context.budgeted {
            Ok(())
        } else {
            Err(format!("no answer to {to}"))
        }
    }

    fn well_formed(&self, request: &Message, answer: &[u8]) -> Result<Message, Fault> {
        let answer = Message::parse(answer).ok_or("the answer does not parse")?;
        if answer.transaction != request.transaction || answer.method != request.method {
            return Err("the answer is to another request".into());
        }
        if !matches!(answer.class, Class::Success | Class::Error) {
            return Err("the answer is no response".into());
        }
        if self.fingerprint && answer.fingerprint() != Some(true) {
            return Err("no right fingerprint in the answer".into());
        }
        Ok(answer)
    }
}
