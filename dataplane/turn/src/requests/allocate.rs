//! Allocate (RFC 8656 §7).

use core::time::Duration;

use forebay_wire::NoRoom;
use forebay_wire::clock::Instant;
use forebay_wire::stun::{
    AddressFamily, AttributeType, Builder, ErrorCode, Message, TRANSPORT_TCP, TRANSPORT_UDP,
};

use crate::auth::UserTag;
use crate::command::{Command, Usage};
use crate::config::{Alternate, Quota, RedirectWhen};
use crate::expiry::grant;
use crate::ids::FiveTuple;
use crate::server::{OfferedRelay, Server};
use crate::shared::Full;
use crate::tables::{
    Allocation, Chain, Mobility, OfferedPair, Origin, Relay, Reservation, ReservationToken,
};
use crate::tickets::shard_of;

use super::{Denied, RETRANSMISSION, Request, push_address_error};

/// How long a reserved port is held (RFC 8656 §7.2 recommends 30 seconds).
const RESERVATION: Duration = Duration::from_secs(30);

/// What a client asks for.
enum Wanted {
    /// Any port of a family.
    Any { v6: bool },
    /// An even port.
    Even { v6: bool },
    /// An even port, and the next one held.
    Pair { v6: bool },
    /// A port of each family.
    Both { even: bool },
    /// The port held under a token.
    Reserved(ReservationToken),
    /// A port that listens, of a family.
    Listener { v6: bool },
}

/// What it gets, counted to its account.
struct Given {
    relays: [Option<OfferedRelay>; 2],
    /// The port held.
    above: Option<OfferedRelay>,
    refused: Option<(bool, ErrorCode)>,
    account: u32,
}

impl Given {
    fn one(relay: OfferedRelay, account: u32) -> Self {
        let mut relays = [None; 2];
        relays[Relay::index(relay.relayed.0.is_ipv6())] = Some(relay);
        Self {
            relays,
            above: None,
            refused: None,
            account,
        }
    }
}

impl Server {
    /// The checks of RFC 8656 §7.2 in its order; gives the allocation's slot.
    pub(super) fn allocate(&mut self, request: &Request<'_, '_>) -> Result<u32, Denied> {
        let (now, message) = (request.now.instant, request.message);
        if let Some(slot) = request.allocation {
            return match self.tables.allocations.get(slot) {
                Some(found)
                    if found.origin.transaction == message.transaction_id()
                        && found.user == request.from.user()
                        && now.since(found.origin.at) < RETRANSMISSION =>
                {
                    Ok(slot)
                }
                _ => Err(ErrorCode::ALLOCATION_MISMATCH.into()),
            };
        }
        if message.malformed().is_some() {
            return Err(ErrorCode::BAD_REQUEST.into());
        }
        let (mobility, wanted) = match message.requested_transport() {
            Some(TRANSPORT_UDP) => (self.asked_mobility(message)?, self.wanted(message)?),
            Some(TRANSPORT_TCP) => {
                let v6 = self.wanted_listener(request)?;
                (Mobility::Fixed, Wanted::Listener { v6 })
            }
            Some(_) => return Err(ErrorCode::UNSUPPORTED_TRANSPORT.into()),
            None => return Err(ErrorCode::BAD_REQUEST.into()),
        };
        if self.redirects.is_due(RedirectWhen::Always)
            && let Some(alternate) = self.alternate(request)
        {
            return Err(Denied::Sent(alternate));
        }
        let tcp = matches!(wanted, Wanted::Listener { .. });
        if let Wanted::Reserved(token) = &wanted
            && self.is_elsewhere(request.tuple, shard_of(token))
        {
            return Err(Denied::Elsewhere(shard_of(token)));
        }
        let payer = self.auth.account(&request.from);
        let claims = matches!(wanted, Wanted::Reserved(_));
        let given = match self.give(now, payer, wanted) {
            // A port reserved here is nowhere else.
            Err(ErrorCode::INSUFFICIENT_CAPACITY) if !claims => return Err(self.full(request)),
            given => given?,
        };
        let granted = grant(&self.lifetimes, message.lifetime());
        let expires = now + Duration::from_secs(u64::from(granted));
        let token = given
            .above
            .map(|above| self.reserve(now, payer, given.account, above));
        let slot = self
            .tables
            .add_allocation(Allocation {
                tuple: *request.tuple,
                next: None,
                relays: given.relays.map(|relay| {
                    relay.map(|relay| Relay {
                        socket: relay.socket,
                        relayed: relay.relayed.0,
                        expires,
                        tcp,
                    })
                }),
                expires,
                key: request.from.key().clone(),
                until: request.from.until(),
                user: request.from.user(),
                account: given.account,
                peers_paced: Instant::default(),
                icmp_paced: Instant::default(),
                mobility,
                origin: Origin {
                    transaction: message.transaction_id(),
                    at: now,
                    granted,
                    refused: given.refused,
                    token: token.flatten(),
                },
                usage: Usage::default(),
                permissions: Chain::EMPTY,
                channels: Chain::EMPTY,
            })
            .ok_or(ErrorCode::INSUFFICIENT_CAPACITY)?;
        self.bandwidth.forget(slot);
        if tcp {
            self.connections.open(slot);
        }
        if let Some(relay) = given.relays.into_iter().flatten().next() {
            let username = self.auth.username(&request.from).unwrap_or_default();
            let username = String::from_utf8_lossy(username).into();
            self.commands.push_back(Command::Created {
                allocation: self.id(slot),
                tuple: *request.tuple,
                relayed: relay.relayed,
                local: relay.local,
                tcp,
                username,
            });
        }
        self.arm_allocation(now, slot);
        Ok(slot)
    }

    /// What becomes of a client there is no room for.
    fn full(&mut self, request: &Request<'_, '_>) -> Denied {
        let because = if self.draining {
            RedirectWhen::Draining
        } else {
            RedirectWhen::Full
        };
        if self.redirects.is_due(because)
            && let Some(alternate) = self.alternate(request)
        {
            return Denied::Sent(alternate);
        }
        ErrorCode::INSUFFICIENT_CAPACITY.into()
    }

    fn alternate(&mut self, request: &Request<'_, '_>) -> Option<Alternate> {
        let FiveTuple { socket, client, .. } = *request.tuple;
        self.redirects.next(socket, client.0.is_ipv6())
    }

    /// An empty MOBILITY-TICKET asks for one (RFC 8016 §3.1).
    fn asked_mobility(&self, message: &Message<'_>) -> Result<Mobility, ErrorCode> {
        match message.get(AttributeType::MOBILITY_TICKET) {
            None => Ok(Mobility::Fixed),
            Some(_) if !self.mobility => Err(ErrorCode::MOBILITY_FORBIDDEN),
            Some([]) => Ok(Mobility::Mobile {
                serial: 0,
                moved_by: None,
            }),
            Some(_) => Err(ErrorCode::BAD_REQUEST),
        }
    }

    fn wanted(&self, message: &Message<'_>) -> Result<Wanted, ErrorCode> {
        let (family, additional, even) = (
            message.requested_address_family(),
            message.additional_address_family(),
            message.even_port(),
        );
        if let Some(token) = message.reservation_token() {
            return if (family, additional, even) == (None, None, None) {
                Ok(Wanted::Reserved(*token))
            } else {
                Err(ErrorCode::BAD_REQUEST)
            };
        }
        match (family, additional, even) {
            (None, Some(AddressFamily::V6), None | Some(false)) => {
                return Ok(Wanted::Both {
                    even: even.is_some(),
                });
            }
            (_, Some(_), _) => return Err(ErrorCode::BAD_REQUEST),
            _ => {}
        }
        let v6 = match family {
            None | Some(AddressFamily::V4) => false,
            Some(AddressFamily::V6) => true,
            Some(AddressFamily::Other(_)) => return Err(ErrorCode::ADDRESS_FAMILY_NOT_SUPPORTED),
        };
        if !self.has_relays_of(v6) {
            return Err(ErrorCode::ADDRESS_FAMILY_NOT_SUPPORTED);
        }
        Ok(match even {
            None => Wanted::Any { v6 },
            Some(false) => Wanted::Even { v6 },
            Some(true) => Wanted::Pair { v6 },
        })
    }

    /// Takes what is wanted from the relays in hand and counts it.
    fn give(&mut self, now: Instant, payer: UserTag, wanted: Wanted) -> Result<Given, ErrorCode> {
        if self.draining {
            return Err(ErrorCode::INSUFFICIENT_CAPACITY);
        }
        let mut lacks = [None; 2];
        let (mut count, slots) = match wanted {
            Wanted::Any { .. } | Wanted::Even { .. } | Wanted::Listener { .. } => (1, 1),
            Wanted::Pair { .. } => (2, 2),
            Wanted::Both { even } => {
                lacks = [false, true].map(|v6| self.lacks(v6, even));
                (lacks.iter().filter(|lack| lack.is_none()).count() as u32, 1)
            }
            Wanted::Reserved(token) => {
                return self
                    .claim(now, payer, &token)
                    .ok_or(ErrorCode::INSUFFICIENT_CAPACITY);
            }
        };
        // Told before exhaustion, as who has reached it should not try again.
        let account = match self.open_account(payer, count) {
            Err(code) if matches!(wanted, Wanted::Both { .. }) && count == 2 => {
                lacks[Relay::index(true)] = Some(code);
                count = 1;
                self.open_account(payer, count)
            }
            account => account,
        }?;
        let given = if self.room() < slots {
            None
        } else {
            match wanted {
                Wanted::Any { v6 } => self.relays.take(v6).map(|relay| Given::one(relay, account)),
                Wanted::Even { v6 } => self
                    .relays
                    .take_even(v6)
                    .map(|relay| Given::one(relay, account)),
                Wanted::Pair { v6 } => self.take_pair(v6).map(|pair| Given {
                    above: Some(pair.odd),
                    ..Given::one(pair.even, account)
                }),
                Wanted::Both { even } => self.take_both(lacks, even, account),
                Wanted::Listener { v6 } => self
                    .take_listener(v6)
                    .map(|relay| Given::one(relay, account)),
                Wanted::Reserved(_) => None,
            }
        };
        if given.is_none() {
            self.close_account(account, count);
        }
        given.ok_or(ErrorCode::INSUFFICIENT_CAPACITY)
    }

    fn take_pair(&mut self, v6: bool) -> Option<OfferedPair> {
        match self.reservations.slots.room() {
            0 => None,
            _ => self.relays.take_pair(v6),
        }
    }

    /// One relay of each family that `lacks` nothing; one of both must be.
    fn take_both(
        &mut self,
        lacks: [Option<ErrorCode>; 2],
        even: bool,
        account: u32,
    ) -> Option<Given> {
        let refused = match lacks {
            [None, None] => None,
            [None, Some(code)] => Some((true, code)),
            [Some(code), None] => Some((false, code)),
            [Some(_), Some(_)] => return None,
        };
        let mut take = |v6| match lacks[Relay::index(v6)] {
            None if even => self.relays.take_even(v6),
            None => self.relays.take(v6),
            Some(_) => None,
        };
        Some(Given {
            relays: [take(false), take(true)],
            above: None,
            refused,
            account,
        })
    }

    /// Why there is no relay of a family to be had (RFC 8656 §7.2).
    fn lacks(&self, v6: bool, even: bool) -> Option<ErrorCode> {
        if !self.has_relays_of(v6) {
            Some(ErrorCode::ADDRESS_FAMILY_NOT_SUPPORTED)
        } else if !self.relays.has(v6, even) {
            Some(ErrorCode::INSUFFICIENT_CAPACITY)
        } else {
            None
        }
    }

    fn open_account(&mut self, payer: UserTag, count: u32) -> Result<u32, ErrorCode> {
        let Quota {
            allocations_per_user,
            allocations,
        } = self.quota;
        let opened = self
            .shared
            .accounts()
            .open(payer, count, allocations_per_user, allocations);
        match opened {
            Ok(account) => {
                self.counted += u64::from(count);
                Ok(account)
            }
            Err(Full::User) => Err(ErrorCode::ALLOCATION_QUOTA_REACHED),
            Err(Full::Host) => Err(ErrorCode::INSUFFICIENT_CAPACITY),
        }
    }

    /// Holds a port, which is counted already, and gives its token.
    fn reserve(
        &mut self,
        now: Instant,
        payer: UserTag,
        account: u32,
        relay: OfferedRelay,
    ) -> Option<ReservationToken> {
        let mut token = self.tickets.token(self.shared.shard());
        while self.reservations.find(&token).is_some() {
            token = self.tickets.token(self.shared.shard());
        }
        let slot = self.reservations.add(Reservation {
            token,
            relay,
            user: payer,
            account,
            expires: now + RESERVATION,
        })?;
        self.arm_reservation(slot);
        Some(token)
    }

    /// The port held under a token, for the user it is held for.
    fn claim(&mut self, now: Instant, payer: UserTag, token: &ReservationToken) -> Option<Given> {
        let slot = self.reservations.find(token)?;
        let held = self.reservations.slots.get(slot)?;
        if held.user != payer || held.expires <= now {
            return None;
        }
        let held = self.reservations.remove(slot)?;
        Some(Given::one(held.relay, held.account))
    }

    /// Whether this host has relays of the family at all. While none of either
    /// family is known, both count as merely exhausted.
    pub(super) fn has_relays_of(&self, v6: bool) -> bool {
        let configured = |v6| {
            self.policy
                .relays
                .iter()
                .any(|relay| relay.public.is_ipv6() == v6)
        };
        let has = |v6| configured(v6) || self.relays.has_seen(v6);
        has(v6) || !has(!v6)
    }

    /// The attributes of the success answer, the same for a retransmission.
    pub(super) fn describe(
        &self,
        slot: u32,
        tuple: &FiveTuple,
        answer: &mut Builder<'_>,
    ) -> Result<(), NoRoom> {
        let Some(allocation) = self.tables.allocations.get(slot) else {
            return Ok(());
        };
        for relay in allocation.relays.iter().flatten() {
            answer.push_xor_address(AttributeType::XOR_RELAYED_ADDRESS, relay.relayed)?;
        }
        let origin = &allocation.origin;
        answer.push_u32(AttributeType::LIFETIME, origin.granted)?;
        answer.push_xor_address(AttributeType::XOR_MAPPED_ADDRESS, tuple.client.0)?;
        if let Some(token) = &origin.token {
            answer.push(AttributeType::RESERVATION_TOKEN, token)?;
        }
        if let Some((v6, code)) = origin.refused {
            push_address_error(answer, v6, code)?;
        }
        match self.current_ticket(slot) {
            Some(ticket) => answer.push(AttributeType::MOBILITY_TICKET, &ticket),
            None => Ok(()),
        }
    }
}
