//! Refresh (RFC 8656 §8).

use core::time::Duration;

use forebay_wire::stun::{AddressFamily, ErrorCode};

use crate::command::Deletion;
use crate::expiry::grant;
use crate::server::Server;
use crate::tables::Gone;

use super::{RETRANSMISSION, Request};

impl Server {
    /// Gives the new lifetime in seconds; zero when the allocation was deleted.
    pub(super) fn refresh(&mut self, request: &Request<'_, '_>) -> Result<u32, ErrorCode> {
        let (now, message) = (request.now.instant, request.message);
        if message.lifetime() == Some(0) && self.was_deleted_by(request) {
            return Ok(0);
        }
        let slot = self.own_allocation(request)?;
        if message.malformed().is_some() {
            return Err(ErrorCode::BAD_REQUEST);
        }
        let Some(allocation) = self.tables.allocations.get_mut(slot) else {
            return Err(ErrorCode::ALLOCATION_MISMATCH);
        };
        match (
            message.requested_address_family(),
            allocation.relayed.is_ipv6(),
        ) {
            (None, _) | (Some(AddressFamily::V4), false) | (Some(AddressFamily::V6), true) => {}
            (Some(_), _) => return Err(ErrorCode::PEER_ADDRESS_FAMILY_MISMATCH),
        }
        if message.lifetime() == Some(0) {
            self.deletions.note(Gone {
                tuple: *request.tuple,
                transaction: message.transaction_id(),
                user: request.from.user(),
                key: request.from.key().clone(),
                until: now + RETRANSMISSION,
            });
            self.end(slot, Deletion::ClosedByClient);
            return Ok(0);
        }
        let granted = grant(&self.lifetimes, message.lifetime());
        allocation.expires = now + Duration::from_secs(u64::from(granted));
        self.arm_allocation(now, slot);
        Ok(granted)
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
