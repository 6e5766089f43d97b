//! What a client's first message says about which worker its connection belongs
//! to: one that takes up a peer's connection (RFC 6062) belongs where that is.

use forebay_wire::stun::{Message, Method};

/// What is known of it so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum First {
    /// It may be a ConnectionBind, and is not there as a whole.
    Incomplete,
    /// A ConnectionBind with this CONNECTION-ID.
    Bind(u32),
    /// Any other: every worker will do.
    Other,
}

/// The longest ConnectionBind worth waiting for: username, realm and nonce at
/// their longest.
const LONGEST: usize = 20 + 4 * 4 + 508 + 763 + 763 + 256;

impl First {
    /// Looks at what a stream begins with.
    pub(super) fn of(bytes: &[u8]) -> Self {
        let len = match bytes {
            [] | [0x00] | [0x00, 0x0B] | [0x00, 0x0B, _] => return Self::Incomplete,
            [0x00, 0x0B, high, low, ..] => 20 + usize::from(u16::from_be_bytes([*high, *low])),
            _ => return Self::Other,
        };
        let Some(message) = bytes.get(..len) else {
            return if len <= LONGEST {
                Self::Incomplete
            } else {
                Self::Other
            };
        };
        let id = Message::parse(message)
            .ok()
            .filter(|message| message.method() == Method::CONNECTION_BIND)
            .and_then(|message| message.connection_id());
        id.map_or(Self::Other, Self::Bind)
    }
}

#[cfg(test)]
mod tests {
    use forebay_wire::stun::{AttributeType, Builder, Class, TransactionId};

    use super::*;

    fn message(method: Method, id: Option<u32>) -> Vec<u8> {
        let mut bytes = vec![0; 64];
        let Ok(mut builder) =
            Builder::new(&mut bytes, Class::Request, method, TransactionId([7; 12]))
        else {
            return Vec::new();
        };
        if let Some(id) = id {
            let _ = builder.push_u32(AttributeType::CONNECTION_ID, id);
        }
        let len = builder.len();
        bytes.truncate(len);
        bytes
    }

    #[test]
    fn a_connection_bind_is_told_however_it_is_cut() {
        let mut bytes = message(Method::CONNECTION_BIND, Some(0xDEAD_BEEF));
        for end in 0..bytes.len() {
            assert_eq!(First::of(&bytes[..end]), First::Incomplete, "{end}");
        }
        assert_eq!(First::of(&bytes), First::Bind(0xDEAD_BEEF));
        bytes.extend_from_slice(b"what the peer gets");
        assert_eq!(First::of(&bytes), First::Bind(0xDEAD_BEEF));
    }

    #[test]
    fn every_other_is_told_at_once() {
        assert_eq!(
            First::of(&message(Method::ALLOCATE, None)[..2]),
            First::Other
        );
        assert_eq!(
            First::of(&message(Method::CONNECTION_BIND, None)),
            First::Other
        );
        assert_eq!(First::of(&[0x01, 0x01]), First::Other);
        assert_eq!(
            First::of(&[0x00, 0x0B, 0xFF, 0xFC]),
            First::Other,
            "too long"
        );
        assert_eq!(First::of(&[]), First::Incomplete);
    }
}
