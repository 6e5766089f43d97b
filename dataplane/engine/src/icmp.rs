//! ICMP errors of what was sent to peers, told to their clients as Data
//! indications without data (RFC 8656 §11.5).

use core::net::SocketAddr;

use forebay_turn::{PeerAddr, SocketId, Untold};
use forebay_wire::NoRoom;
use forebay_wire::clock::Now;
use forebay_wire::stun::{AttributeType, Builder, Class, Icmp, Method};

use crate::batch::TxBatch;
use crate::counters::DropReason;
use crate::peer::next_transaction;
use crate::shard::Shard;

impl Shard {
    /// A datagram sent from a relay socket to `destination` (port 0 where that
    /// is not known) met with an ICMP error. What its client is told is added
    /// to `tx`. Errors are anybody's to forge: only a few are told.
    #[cold]
    pub fn icmp(
        &mut self,
        now: Now,
        relay: SocketId,
        destination: SocketAddr,
        icmp: Icmp,
        tx: &mut TxBatch,
    ) {
        match self.server.icmp(now, relay, destination, icmp) {
            Err(Untold::Refused) => self.counters.icmp_refused += 1,
            Err(Untold::Limited) => self.counters.icmp_limited += 1,
            Ok(_) if !Self::has_room_for_answer(tx) => {
                self.counters.drop(DropReason::BatchFull, 1);
            }
            Ok((tuple, peer)) => {
                // It fits any answer's buffer.
                if let Ok(len) = self.write_icmp(peer, icmp) {
                    self.counters.icmp_relayed += 1;
                    self.push_answer(&tuple, len, tx);
                }
            }
        }
    }

    fn write_icmp(&mut self, peer: PeerAddr, icmp: Icmp) -> Result<usize, NoRoom> {
        let id = next_transaction(&mut self.transactions);
        let mut message = Builder::new(&mut self.answer, Class::Indication, Method::DATA, id)?;
        message.push_xor_address(AttributeType::XOR_PEER_ADDRESS, peer.0)?;
        message.push(AttributeType::ICMP, &icmp.encode())?;
        Ok(message.len())
    }
}
