//! One transport.

use crate::transport::Transport;

/// One peer connection or relay link.
pub(crate) struct Session {
    pub(crate) transport: Transport,
}
