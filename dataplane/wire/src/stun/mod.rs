//! STUN messages (RFC 8489) with the attributes of TURN (RFC 8656).
//!
//! [`Message`] is the view of a whole datagram, [`SendIndication`] the one-walk
//! view of the only STUN message that carries media towards a peer,
//! [`Builder`] writes a message in place, and [`data_indication`] writes the
//! header of the only STUN message that carries media towards a client.

mod address;
mod attribute;
mod builder;
pub mod data_indication;
mod header;
mod icmp;
mod integrity;
mod message;
mod send_indication;
mod shape;

pub use attribute::{AttributeType, Attributes};
pub use builder::Builder;
pub use header::{Class, ErrorCode, MAGIC_COOKIE, Method, TransactionId};
pub use icmp::Icmp;
pub use integrity::{Fingerprint, Integrity, IntegrityInput, IntegritySha256};
pub use message::{AddressFamily, Message, TRANSPORT_TCP, TRANSPORT_UDP};
pub use send_indication::SendIndication;
