//! ChannelBind (RFC 8656 §12).

use forebay_wire::clock::Instant;
use forebay_wire::stun::ErrorCode;

use crate::ids::ChannelNumber;
use crate::server::Server;
use crate::tables::{Channel, Link};

use super::Request;

impl Server {
    /// Binds a channel or refreshes it, and its permission with it. A number
    /// and a peer that were bound to each other stay so for five minutes after
    /// the binding expired: bound to anything else they draw 400 until then.
    pub(super) fn channel_bind(&mut self, request: &Request<'_, '_>) -> Result<(), ErrorCode> {
        let slot = self.own_allocation(request)?;
        let message = request.message;
        let number = message.channel_number().and_then(ChannelNumber::new);
        let (None, Some(number), Some(peer)) =
            (message.malformed(), number, message.xor_peer_address())
        else {
            return Err(ErrorCode::BAD_REQUEST);
        };
        let bound = self.tables.channel_numbered(slot, number);
        if bound != self.tables.channel_to(slot, peer) {
            return Err(ErrorCode::BAD_REQUEST);
        }
        // There are no channels over TCP (RFC 6062 §3).
        if self.connections.list(slot).is_some() {
            return Err(ErrorCode::BAD_REQUEST);
        }
        let Some(allocation) = self.tables.allocations.get(slot) else {
            return Err(ErrorCode::ALLOCATION_MISMATCH);
        };
        if allocation.relay(peer.is_ipv6()).is_none() {
            return Err(ErrorCode::PEER_ADDRESS_FAMILY_MISMATCH);
        }
        let full = allocation.channels.len >= u32::from(self.limits.channels_per_allocation);
        let reach = self
            .policy
            .reach(peer.ip())
            .map_err(|_| ErrorCode::FORBIDDEN)?;
        self.policy
            .admit(reach, peer)
            .map_err(|_| ErrorCode::FORBIDDEN)?;

        let channel = match bound {
            Some(channel) => channel,
            None => {
                if full || self.tables.channels.room() == 0 {
                    return Err(ErrorCode::INSUFFICIENT_CAPACITY);
                }
                let permission = match self.tables.permission_of(slot, peer.ip()) {
                    Some(permission) => permission,
                    None if !self.may_open(request.now.instant, slot, 1) => {
                        return Err(ErrorCode::INSUFFICIENT_CAPACITY);
                    }
                    None => self
                        .install(slot, peer.ip(), reach)
                        .ok_or(ErrorCode::INSUFFICIENT_CAPACITY)?,
                };
                self.tables
                    .add_channel(Channel {
                        allocation: slot,
                        number,
                        peer,
                        destination: self.policy.behind(peer),
                        expires: Instant::default(),
                        permission,
                        link: Link::ALONE,
                    })
                    .ok_or(ErrorCode::INSUFFICIENT_CAPACITY)?
            }
        };
        let Some(entry) = self.tables.channels.get_mut(channel) else {
            return Err(ErrorCode::INSUFFICIENT_CAPACITY);
        };
        entry.expires = request.now.instant + self.lifetimes.channel;
        let permission = entry.permission;
        self.arm_channel(channel);
        self.extend_permission(permission, request.now.instant + self.lifetimes.permission);
        Ok(())
    }
}
