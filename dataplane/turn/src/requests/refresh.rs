//! Refresh (RFC 8656 §8).

use core::time::Duration;

use forebay_wire::NoRoom;
use forebay_wire::stun::{AddressFamily, AttributeType, Builder, ErrorCode};

use crate::command::Deletion;
use crate::expiry::grant;
use crate::server::Server;
use crate::tables::{Gone, Relay};
use crate::tickets::TICKET;

use super::{RETRANSMISSION, Request};

/// A granted Refresh.
pub(super) struct Refreshed {
    /// The new lifetime in seconds; zero when it was a deletion.
    lifetime: u32,
    /// What the client moves with next (RFC 8016).
    ticket: Option<[u8; TICKET]>,
}

impl Refreshed {
    pub(super) fn describe(&self, answer: &mut Builder<'_>) -> Result<(), NoRoom> {
        answer.push_u32(AttributeType::LIFETIME, self.lifetime)?;
        match &self.ticket {
            Some(ticket) => answer.push(AttributeType::MOBILITY_TICKET, ticket),
            None => Ok(()),
        }
    }
}

impl Server {
    /// Refreshes or deletes an allocation, or with REQUESTED-ADDRESS-FAMILY one
    /// of its two relayed addresses (RFC 8656 §8.2).
    pub(super) fn refresh(&mut self, request: &Request<'_, '_>) -> Result<Refreshed, ErrorCode> {
        let (now, message) = (request.now.instant, request.message);
        let deletion = message.lifetime() == Some(0);
        if deletion && self.was_deleted_by(request) {
            return Ok(Refreshed {
                lifetime: 0,
                ticket: None,
            });
        }
        let (slot, whither) = match message.get(AttributeType::MOBILITY_TICKET) {
            Some(ticket) => {
                let (slot, whither) = self.follow(request, ticket)?;
                (slot, Some(whither))
            }
            None => (self.own_allocation(request)?, None),
        };
        if message.malformed().is_some() {
            return Err(ErrorCode::BAD_REQUEST);
        }
        let Some(allocation) = self.tables.allocations.get(slot) else {
            return Err(ErrorCode::ALLOCATION_MISMATCH);
        };
        let family = match message.requested_address_family() {
            None => None,
            Some(AddressFamily::V4) if allocation.relay(false).is_some() => Some(false),
            Some(AddressFamily::V6) if allocation.relay(true).is_some() => Some(true),
            Some(_) => return Err(ErrorCode::PEER_ADDRESS_FAMILY_MISMATCH),
        };
        if deletion {
            self.deletions.note(Gone {
                tuple: *request.tuple,
                transaction: message.transaction_id(),
                user: request.from.user(),
                key: request.from.key().clone(),
                until: now + RETRANSMISSION,
            });
            match family {
                Some(v6) if allocation.width() > 1 => {
                    self.end_relay(slot, v6);
                }
                _ => self.end(slot, Deletion::ClosedByClient),
            }
            return Ok(Refreshed {
                lifetime: 0,
                ticket: None,
            });
        }
        let granted = grant(&self.lifetimes, message.lifetime());
        let expires = now + Duration::from_secs(u64::from(granted));
        if let Some(allocation) = self.tables.allocations.get_mut(slot) {
            for v6 in [false, true] {
                if family.is_none_or(|only| only == v6)
                    && let Some(relay) = &mut allocation.relays[Relay::index(v6)]
                {
                    relay.expires = expires;
                }
            }
            let relays = allocation.relays.iter().flatten();
            allocation.expires = relays.map(|relay| relay.expires).max().unwrap_or(expires);
        }
        self.arm_allocation(now, slot);
        Ok(Refreshed {
            lifetime: granted,
            ticket: whither.and_then(|whither| self.move_to(request, slot, whither)),
        })
    }

    /// Whether this very request has deleted an allocation already: if so it
    /// must not delete the one that has taken its place.
    fn was_deleted_by(&self, request: &Request<'_, '_>) -> bool {
        self.deletions
            .find(request.now.instant, request.tuple)
            .is_some_and(|gone| {
                gone.transaction == request.message.transaction_id()
                    && gone.user == request.from.user()
            })
    }
}
