//! Clients that come back from another address with their ticket (RFC 8016).

use forebay_wire::stun::{AttributeType, ErrorCode, Message, Method};

use crate::server::Server;
use crate::tables::{Mobility, Tables};
use crate::tickets::{TICKET, Ticket};

use super::Request;

/// Where a Refresh with a ticket leads.
pub(super) enum Whither {
    /// The allocation is served at this five-tuple, or will be, already: the
    /// request has been repeated.
    Here,
    /// It moves; the next ticket's serial.
    Away { serial: u16 },
}

impl Server {
    /// The ticket a Refresh holds, if it is one of this host's.
    pub(super) fn ticket(&self, message: &Message<'_>) -> Option<Ticket> {
        if !self.mobility || message.method() != Method::REFRESH {
            return None;
        }
        self.tickets
            .open(message.get(AttributeType::MOBILITY_TICKET)?)
    }

    /// The slot of the allocation a ticket was made for.
    pub(super) fn mobile(&self, ticket: &Ticket) -> Option<u32> {
        let slot = ticket.allocation.slot;
        let found = self.tables.allocations.get(slot)?;
        (ticket.shard == self.shared.shard()
            && self.id(slot) == ticket.allocation
            && found.mobility != Mobility::Fixed)
            .then_some(slot)
    }

    /// The checks of RFC 8016 §3.2 on a Refresh with a ticket. Changes nothing.
    ///
    /// The last ticket is good until the one that was given for it has been
    /// used: the answer with that may have been lost.
    pub(super) fn follow(
        &self,
        request: &Request<'_, '_>,
        ticket: &[u8],
    ) -> Result<(u32, Whither), ErrorCode> {
        if !self.mobility {
            return Err(ErrorCode::MOBILITY_FORBIDDEN);
        }
        let ticket = self.tickets.open(ticket).ok_or(ErrorCode::BAD_REQUEST)?;
        let slot = self.mobile(&ticket).ok_or(ErrorCode::ALLOCATION_MISMATCH)?;
        let Some(found) = self.tables.allocations.get(slot) else {
            return Err(ErrorCode::ALLOCATION_MISMATCH);
        };
        let Mobility::Mobile { serial, moved_by } = found.mobility else {
            return Err(ErrorCode::ALLOCATION_MISMATCH);
        };
        if found.user != request.from.user() {
            return Err(ErrorCode::WRONG_CREDENTIALS);
        }
        let last = ticket.serial.wrapping_add(1) == serial;
        match request.allocation {
            Some(other) if other != slot => Err(ErrorCode::ALLOCATION_MISMATCH),
            Some(_) => {
                let moving = found.next.as_ref() == Some(request.tuple);
                if moved_by == Some(request.message.transaction_id()) || moving && last {
                    Ok((slot, Whither::Here))
                } else {
                    // It is where it was.
                    Err(ErrorCode::BAD_REQUEST)
                }
            }
            None if ticket.serial == serial => {
                let serial = serial.wrapping_add(1);
                Ok((slot, Whither::Away { serial }))
            }
            None if last && found.next.is_some() => Ok((slot, Whither::Away { serial })),
            None => Err(ErrorCode::BAD_REQUEST),
        }
        .and_then(|followed| {
            let away = matches!(followed.1, Whither::Away { .. });
            if away && found.next.is_none() && !self.tables.has_room_to_move() {
                return Err(ErrorCode::INSUFFICIENT_CAPACITY);
            }
            Ok(followed)
        })
    }

    /// Moves an allocation and gives its current ticket. Its old five-tuple is
    /// served until the new one is used.
    pub(super) fn move_to(
        &mut self,
        request: &Request<'_, '_>,
        slot: u32,
        whither: Whither,
    ) -> Option<[u8; TICKET]> {
        if let Whither::Away { serial } = whither {
            self.tables.set_next(slot, *request.tuple);
            let found = self.tables.allocations.get_mut(slot)?;
            found.mobility = Mobility::Mobile {
                serial,
                moved_by: Some(request.message.transaction_id()),
            };
            if Tables::is_detached(&found.tuple) {
                // There is no old one to serve.
                self.tables.complete_move(slot);
            }
        }
        self.current_ticket(slot)
    }

    /// `None` for an allocation that may not move.
    pub(super) fn current_ticket(&self, slot: u32) -> Option<[u8; TICKET]> {
        match self.tables.allocations.get(slot)?.mobility {
            Mobility::Fixed => None,
            Mobility::Mobile { serial, .. } => Some(self.tickets.seal(Ticket {
                shard: self.shared.shard(),
                allocation: self.id(slot),
                serial,
            })),
        }
    }
}
