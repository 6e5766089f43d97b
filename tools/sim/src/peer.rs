//! Peers: hosts without TURN that relayed packets go to and come from.

use std::net::SocketAddr;

use crate::network::Packet;
use crate::random::Random;

pub(crate) struct Peer {
    pub(crate) address: SocketAddr,
    echo_percent: f64,
    /// Relayed addresses that sent something lately.
    correspondents: Vec<SocketAddr>,
}

impl Peer {
    const CORRESPONDENTS: usize = 4;

    pub(crate) fn new(address: SocketAddr, random: &mut Random) -> Self {
        Self {
            address,
            echo_percent: *random.pick(&[0.0, 50.0, 100.0]),
            correspondents: Vec::new(),
        }
    }

    /// Takes a datagram; may echo it.
    pub(crate) fn receive(&mut self, packet: Packet, random: &mut Random) -> Option<Packet> {
        if !self.correspondents.contains(&packet.source) {
            self.correspondents.truncate(Self::CORRESPONDENTS - 1);
            self.correspondents.insert(0, packet.source);
        }
        let echo = Packet {
            source: packet.destination,
            destination: packet.source,
            ..packet
        };
        random.percent(self.echo_percent).then_some(echo)
    }

    /// Talks unasked: to who wrote before, or to a relay somebody told about.
    /// Sometimes from a port, or an address, that nobody expects.
    pub(crate) fn talk(&self, known_relays: &[SocketAddr], random: &mut Random) -> Vec<Packet> {
        let mut to = self.correspondents.clone();
        to.extend(
            known_relays
                .iter()
                .filter(|relay| relay.is_ipv6() == self.address.is_ipv6()),
        );
        if to.is_empty() {
            return Vec::new();
        }
        let destination = *random.pick(&to);
        let mut source = self.address;
        if random.percent(10.0) {
            source.set_port(random.between(1, 65_535) as u16);
        }
        let size = random.between(0, 1300) as usize;
        let count = random.skewed(1, 30) as usize;
        let mut packets = Vec::new();
        for at in 0..count {
            let last = at + 1 == count && random.percent(50.0);
            let mut bytes = vec![
                0;
                if last {
                    random.between(0, size as u64) as usize
                } else {
                    size
                }
            ];
            random.fill(&mut bytes);
            let ecn = if random.percent(3.0) { 3 } else { 0 };
            packets.push(Packet {
                source,
                destination,
                ecn,
                bytes,
            });
        }
        packets
    }
}
