//! ConnectionBind (RFC 6062 §5.4).

use forebay_wire::stun::{ErrorCode, Message, Method};

use crate::ids::PeerConnection;
use crate::server::Server;
use crate::tables::Stage;

use super::Request;

impl Server {
    /// The allocation a ConnectionBind is about: it authenticates the request.
    pub(super) fn binds_to(&self, message: &Message<'_>) -> Option<u32> {
        if message.method() != Method::CONNECTION_BIND {
            return None;
        }
        let connection = self.connections.with_id(message.connection_id()?)?;
        Some(self.connections.get(connection)?.allocation)
    }

    /// Makes the connection the request came over the client's end of a peer's.
    pub(super) fn connection_bind(
        &mut self,
        request: &Request<'_, '_>,
    ) -> Result<PeerConnection, ErrorCode> {
        let message = request.message;
        if message.malformed().is_some()
            || request.allocation.is_some()
            || !self.is_byte_stream(request.tuple)
        {
            return Err(ErrorCode::BAD_REQUEST);
        }
        let slot = message
            .connection_id()
            .and_then(|id| self.connections.with_id(id))
            .ok_or(ErrorCode::BAD_REQUEST)?;
        let Some(found) = self.connections.get_mut(slot) else {
            return Err(ErrorCode::BAD_REQUEST);
        };
        let owner = self.tables.allocations.get(found.allocation);
        if owner.is_none_or(|owner| owner.user != request.from.user()) {
            return Err(ErrorCode::WRONG_CREDENTIALS);
        }
        if found.stage != Stage::Waiting || found.expires <= request.now.instant {
            return Err(ErrorCode::BAD_REQUEST);
        }
        found.stage = Stage::Bound;
        Ok(PeerConnection(slot))
    }
}
