//! Network address translators between clients and the server (RFC 4787).

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::net::{IpAddr, SocketAddr};

use crate::random::Random;

/// One NAT with one public address per family it translates.
pub(crate) struct Nat {
    pub(crate) public: Vec<IpAddr>,
    behaviour: Behaviour,
    outbound: BTreeMap<(SocketAddr, Option<SocketAddr>), SocketAddr>,
    inbound: BTreeMap<SocketAddr, Binding>,
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Behaviour {
    /// Every destination is given a mapping of its own ("symmetric").
    pub(crate) mapping_per_destination: bool,
    /// Only what the inside has sent to may answer.
    pub(crate) filtering: bool,
}

struct Binding {
    inside: SocketAddr,
    contacted: Vec<SocketAddr>,
}

impl Nat {
    pub(crate) fn new(public: Vec<IpAddr>, behaviour: Behaviour) -> Self {
        Self {
            public,
            behaviour,
            outbound: BTreeMap::new(),
            inbound: BTreeMap::new(),
        }
    }

    /// The public source of a datagram from the inside.
    pub(crate) fn outbound(
        &mut self,
        inside: SocketAddr,
        destination: SocketAddr,
        random: &mut Random,
    ) -> SocketAddr {
        let key = (
            inside,
            self.behaviour
                .mapping_per_destination
                .then_some(destination),
        );
        let outside = match self.outbound.get(&key) {
            Some(outside) => *outside,
            None => self.open(inside, random),
        };
        self.outbound.insert(key, outside);
        if let Some(binding) = self.inbound.get_mut(&outside)
            && !binding.contacted.contains(&destination)
        {
            binding.contacted.push(destination);
        }
        outside
    }

    /// The inside address a datagram from the outside is let through to.
    pub(crate) fn inbound(
        &self,
        destination: SocketAddr,
        source: SocketAddr,
    ) -> Option<SocketAddr> {
        let binding = self.inbound.get(&destination)?;
        (!self.behaviour.filtering || binding.contacted.contains(&source)).then_some(binding.inside)
    }

    /// Forgets every mapping, as after a reboot: everybody gets new ports.
    pub(crate) fn rebind(&mut self) {
        self.outbound.clear();
        self.inbound.clear();
    }

    fn open(&mut self, inside: SocketAddr, random: &mut Random) -> SocketAddr {
        let ip = self
            .public
            .iter()
            .copied()
            .find(|ip| ip.is_ipv4() == inside.is_ipv4())
            .unwrap_or(self.public[0]);
        loop {
            let outside = SocketAddr::new(ip, random.between(1024, 65_535) as u16);
            if let Entry::Vacant(free) = self.inbound.entry(outside) {
                free.insert(Binding {
                    inside,
                    contacted: Vec::new(),
                });
                return outside;
            }
        }
    }
}
