//! What clients are given to come back with: mobility tickets (RFC 8016) and
//! reservation tokens (RFC 8656 §18.10). Both name the shard that made them,
//! since a client that comes back from another address may be steered to
//! another shard. Neither can be made or changed without the host's key, and
//! neither gives anything to anybody but the user it was made for.

use core::hash::Hasher;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use forebay_wire::stun::TransactionId;
use siphasher::sip128::{Hasher128, SipHasher24};
use subtle::ConstantTimeEq;

use crate::ids::AllocationId;
use crate::tables::ReservationToken;

/// Bytes of a ticket on the wire: base64 without padding, because coturn's
/// client keeps tickets as C strings of at most 32 bytes.
pub(crate) const TICKET: usize = 32;
/// State and MAC.
const RAW: usize = 24;
const STATE: usize = 12;

/// What a ticket stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ticket {
    pub(crate) shard: u16,
    pub(crate) allocation: AllocationId,
    /// Counts the allocation's tickets.
    pub(crate) serial: u16,
}

/// Makes and reads them.
pub(crate) struct Tickets {
    mac: [u8; 16],
    mask: [u8; 16],
    tokens: [u8; 16],
    connections: [u8; 16],
    made: u64,
}

impl Tickets {
    /// `key` is the host's; `start` differs between shards and restarts.
    pub(crate) fn new(key: [u8; 16], start: u64) -> Self {
        // Keys of their own, from the same secret.
        let derive = |purpose: u8| prf(&key, &[0x74, purpose]).to_be_bytes();
        Self {
            mac: derive(0),
            mask: derive(1),
            tokens: derive(2),
            connections: derive(3),
            made: start,
        }
    }

    /// Synthetic initialisation vector: the MAC over the state masks it.
    pub(crate) fn seal(&self, ticket: Ticket) -> [u8; TICKET] {
        let mut raw = [0; RAW];
        raw[..2].copy_from_slice(&ticket.shard.to_be_bytes());
        raw[2..6].copy_from_slice(&ticket.allocation.slot.to_be_bytes());
        raw[6..10].copy_from_slice(&ticket.allocation.generation.to_be_bytes());
        raw[10..STATE].copy_from_slice(&ticket.serial.to_be_bytes());
        let mac = self.tag(&raw[..STATE]);
        raw[STATE..].copy_from_slice(&mac);
        self.apply_mask(&mut raw);
        let mut sealed = [0; TICKET];
        // 24 bytes are exactly 32 base64 digits.
        let written = STANDARD.encode_slice(raw, &mut sealed);
        debug_assert_eq!(written, Ok(TICKET));
        sealed
    }

    /// `None` for what no shard of this host has made.
    pub(crate) fn open(&self, sealed: &[u8]) -> Option<Ticket> {
        let mut raw = [0; RAW];
        if sealed.len() != TICKET || STANDARD.decode_slice(sealed, &mut raw) != Ok(RAW) {
            return None;
        }
        self.apply_mask(&mut raw);
        if !bool::from(raw[STATE..].ct_eq(&self.tag(&raw[..STATE]))) {
            return None;
        }
        let [a, b, s0, s1, s2, s3, g0, g1, g2, g3, n0, n1, ..] = raw;
        Some(Ticket {
            shard: u16::from_be_bytes([a, b]),
            allocation: AllocationId {
                slot: u32::from_be_bytes([s0, s1, s2, s3]),
                generation: u32::from_be_bytes([g0, g1, g2, g3]),
            },
            serial: u16::from_be_bytes([n0, n1]),
        })
    }

    fn tag(&self, state: &[u8]) -> [u8; RAW - STATE] {
        let mut tag = [0; RAW - STATE];
        tag.copy_from_slice(&prf(&self.mac, state).to_be_bytes()[..RAW - STATE]);
        tag
    }

    fn apply_mask(&self, raw: &mut [u8; RAW]) {
        let mask = prf(&self.mask, &raw[STATE..]).to_be_bytes();
        for (byte, mask) in raw[..STATE].iter_mut().zip(mask) {
            *byte ^= mask;
        }
    }

    /// A token nobody can guess: the shard, then 48 bits that stand for nothing.
    pub(crate) fn token(&mut self, shard: u16) -> ReservationToken {
        self.made = self.made.wrapping_add(1);
        let mut token = prf(&self.tokens, &self.made.to_be_bytes()).to_be_bytes();
        token[..2].copy_from_slice(&shard.to_be_bytes());
        let mut short = ReservationToken::default();
        short.copy_from_slice(&token[..8]);
        short
    }
}

impl Tickets {
    /// A CONNECTION-ID nobody can guess: 32 bits whose remainder names the
    /// shard.
    pub(crate) fn connection(&mut self, (shard, shards): (u16, u16)) -> u32 {
        let shards = u32::from(shards.max(1));
        let whole = self.random() as u32 / shards * shards;
        let id = whole.checked_add(shard.into());
        id.unwrap_or_else(|| whole - shards + u32::from(shard))
    }

    /// The transaction id of an indication.
    pub(crate) fn transaction(&mut self) -> TransactionId {
        let mut id = [0; 12];
        id.copy_from_slice(&self.random().to_be_bytes()[..12]);
        TransactionId(id)
    }

    fn random(&mut self) -> u128 {
        self.made = self.made.wrapping_add(1);
        prf(&self.connections, &self.made.to_be_bytes())
    }
}

/// The shard, of so many, that has given out a CONNECTION-ID (RFC 6062): the
/// client's connection for a peer's data belongs there.
pub fn shard_of_connection(id: u32, shards: u16) -> u16 {
    // Less than `shards`.
    (id % u32::from(shards.max(1))) as u16
}

/// The shard that has made a token.
pub(crate) fn shard_of(token: &ReservationToken) -> u16 {
    u16::from_be_bytes([token[0], token[1]])
}

fn prf(key: &[u8; 16], message: &[u8]) -> u128 {
    let mut hasher = SipHasher24::new_with_key(key);
    hasher.write(message);
    hasher.finish128().as_u128()
}
