//! The first message each way.

use minicbor::{Decode, Encode};

use crate::bounded::Text;
use crate::limits;

/// What a connection may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Encode, Decode)]
#[cbor(index_only)]
pub enum Role {
    /// Sends commands. The data plane admits one at a time.
    #[n(0)]
    Controller,
    /// Only reads.
    #[n(1)]
    Observer,
    /// Reads, drains, reloads and ends single allocations: a person at the
    /// host. Any number, beside a controller.
    #[n(2)]
    Operator,
}

/// Opens a connection. Later versions only add fields behind these, so that a
/// version mismatch can be told from garbage.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Hello {
    /// [`VERSION`](crate::VERSION) of the sender.
    #[n(0)]
    pub version: u16,
    /// What the sender wants to be.
    #[n(1)]
    pub role: Role,
    /// Name and version of the sender's software.
    #[n(2)]
    pub software: Text<{ limits::NAME }>,
    /// Whether the snapshot shall list the allocations, and later ones be told.
    #[n(3)]
    pub allocations: bool,
}

/// Names one run of a data plane: random at start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Encode, Decode)]
#[cbor(transparent)]
pub struct BootId(#[cbor(n(0), with = "minicbor::bytes")] pub [u8; 16]);

/// Admits a connection.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Welcome {
    /// [`VERSION`](crate::VERSION) of the data plane.
    #[n(0)]
    pub version: u16,
    /// Name and version of the data plane's software.
    #[n(1)]
    pub software: Text<{ limits::NAME }>,
    /// Tells a restarted data plane from the one known before.
    #[n(2)]
    pub boot: BootId,
    /// When it started, seconds since the Unix epoch.
    #[n(3)]
    pub started_at: u64,
    /// Its realm, fixed for its life.
    #[n(4)]
    pub realm: Text<{ limits::REALM }>,
}

/// Refuses a connection; the data plane closes after it.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Rejected {
    /// Why.
    #[n(0)]
    pub reason: RejectionReason,
    /// The same for people.
    #[n(1)]
    pub text: Text<{ limits::SENTENCE }>,
    /// [`VERSION`](crate::VERSION) of the data plane.
    #[n(2)]
    pub version: u16,
}

/// Why a connection is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Encode, Decode)]
#[cbor(index_only)]
pub enum RejectionReason {
    /// Another protocol version.
    #[n(0)]
    Version,
    /// Another controller is connected.
    #[n(1)]
    ControllerPresent,
    /// Too many observers.
    #[n(2)]
    TooManyObservers,
    /// The peer's user may not connect.
    #[n(3)]
    Forbidden,
}
