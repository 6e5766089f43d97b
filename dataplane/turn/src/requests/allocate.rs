//! Allocate (RFC 8656 §7).

use core::time::Duration;

use forebay_wire::NoRoom;
use forebay_wire::stun::{AddressFamily, AttributeType, Builder, ErrorCode, TRANSPORT_UDP};

use crate::command::{Command, Usage};
use crate::expiry::grant;
use crate::ids::FiveTuple;
use crate::server::Server;
use crate::tables::{Allocation, Chain, Origin};

use super::{RETRANSMISSION, Request, push_address_error};

impl Server {
    /// The checks of RFC 8656 §7.2 in its order; gives the allocation's slot.
    pub(super) fn allocate(&mut self, request: &Request<'_, '_>) -> Result<u32, ErrorCode> {
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
                _ => Err(ErrorCode::ALLOCATION_MISMATCH),
            };
        }
        if message.malformed().is_some() {
            return Err(ErrorCode::BAD_REQUEST);
        }
        match message.requested_transport() {
            Some(TRANSPORT_UDP) => {}
            Some(_) => return Err(ErrorCode::UNSUPPORTED_TRANSPORT),
            None => return Err(ErrorCode::BAD_REQUEST),
        }
        let additional = match (
            message.requested_address_family(),
            message.additional_address_family(),
        ) {
            (None, Some(AddressFamily::V6)) => true,
            (_, Some(_)) => return Err(ErrorCode::BAD_REQUEST),
            (_, None) => false,
        };
        let v6 = match message.requested_address_family() {
            None | Some(AddressFamily::V4) => false,
            Some(AddressFamily::V6) => true,
            Some(AddressFamily::Other(_)) => return Err(ErrorCode::ADDRESS_FAMILY_NOT_SUPPORTED),
        };
        if !self.has_relays_of(v6) {
            return Err(ErrorCode::ADDRESS_FAMILY_NOT_SUPPORTED);
        }
        let payer = self.auth.account(request.from.username());
        if self
            .quota
            .allocations_per_user
            .is_some_and(|most| self.accounts.held(payer) >= most)
        {
            return Err(ErrorCode::ALLOCATION_QUOTA_REACHED);
        }
        if self.draining || self.tables.allocations.room() == 0 {
            return Err(ErrorCode::INSUFFICIENT_CAPACITY);
        }
        // Reserving the next higher port too is not offered.
        let relay = match message.even_port() {
            None => self.relays.take(v6),
            Some(false) => self.relays.take_even(v6),
            Some(true) => None,
        }
        .ok_or(ErrorCode::INSUFFICIENT_CAPACITY)?;
        let account = self
            .accounts
            .open(payer)
            .ok_or(ErrorCode::INSUFFICIENT_CAPACITY)?;
        let granted = grant(&self.lifetimes, message.lifetime());
        let slot = self
            .tables
            .add_allocation(Allocation {
                tuple: *request.tuple,
                relay: relay.socket,
                relayed: relay.relayed.0,
                expires: now + Duration::from_secs(u64::from(granted)),
                key: request.from.key().clone(),
                user: request.from.user(),
                account,
                origin: Origin {
                    transaction: message.transaction_id(),
                    at: now,
                    granted,
                    additional_refused: additional,
                },
                usage: Usage::default(),
                permissions: Chain::EMPTY,
                channels: Chain::EMPTY,
            })
            .ok_or(ErrorCode::INSUFFICIENT_CAPACITY)?;
        self.commands.push_back(Command::Created {
            allocation: self.id(slot),
            tuple: *request.tuple,
            relayed: relay.relayed,
            local: relay.local,
            username: String::from_utf8_lossy(request.from.username()).into(),
        });
        self.arm_allocation(now, slot);
        Ok(slot)
    }

    /// Whether this host has relays of the family at all. While none of either
    /// family is known, both count as merely exhausted.
    fn has_relays_of(&self, v6: bool) -> bool {
        let seen = self.relays.seen();
        let configured = |v6| {
            self.policy
                .relays
                .iter()
                .any(|relay| relay.public.is_ipv6() == v6)
        };
        let has = |v6| configured(v6) || if v6 { seen.v6 } else { seen.v4 };
        has(v6) || !has(!v6)
    }

    /// The attributes of the success answer, the same for a retransmission.
    /// An additional IPv6 address, which we never give, is refused as RFC 8656
    /// §7.2 wants it while the IPv4 one is granted.
    pub(super) fn describe(
        &self,
        slot: u32,
        tuple: &FiveTuple,
        answer: &mut Builder<'_>,
    ) -> Result<(), NoRoom> {
        let Some(allocation) = self.tables.allocations.get(slot) else {
            return Ok(());
        };
        answer.push_xor_address(AttributeType::XOR_RELAYED_ADDRESS, allocation.relayed)?;
        answer.push_u32(AttributeType::LIFETIME, allocation.origin.granted)?;
        answer.push_xor_address(AttributeType::XOR_MAPPED_ADDRESS, tuple.client.0)?;
        if allocation.origin.additional_refused {
            push_address_error(answer, ErrorCode::ADDRESS_FAMILY_NOT_SUPPORTED)?;
        }
        Ok(())
    }
}
