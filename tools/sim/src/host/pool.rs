//! The relay sockets of one worker: closed, offered to the shard, or held by
//! an allocation.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use forebay_engine::Shard;
use forebay_turn::{OfferedRelay, RelayedAddr, RelaysHeld, SocketId};

use crate::addresses::Plan;
use crate::random::Random;

pub(crate) struct Pool {
    /// Ports that may be opened, by local relay address.
    ports: BTreeMap<IpAddr, Vec<u16>>,
    ids: Vec<SocketId>,
    open: BTreeMap<SocketId, Socket>,
    /// Sockets kept in the shard's hand per family.
    ready: usize,
}

#[derive(Debug, Clone, Copy)]
struct Socket {
    local: SocketAddr,
    relayed: SocketAddr,
    allocated: bool,
}

impl Pool {
    pub(crate) fn new(plan: &Plan, ports: &[u16], ids: std::ops::Range<u32>, ready: usize) -> Self {
        let ports = plan
            .relays
            .iter()
            .map(|mapping| (mapping.local, ports.to_vec()))
            .collect();
        Self {
            ports,
            ids: ids.map(SocketId).collect(),
            open: BTreeMap::new(),
            ready,
        }
    }

    /// Opens and offers sockets until enough are ready. Returns what was opened.
    pub(crate) fn top_up(
        &mut self,
        plan: &Plan,
        shard: &mut Shard,
        random: &mut Random,
    ) -> Vec<(SocketId, SocketAddr)> {
        let mut opened = Vec::new();
        for mapping in &plan.relays {
            while self.offered(mapping.local.is_ipv6()) < self.ready {
                let ports = self.ports.entry(mapping.local).or_default();
                if ports.is_empty() || self.ids.is_empty() {
                    break;
                }
                let port = ports.swap_remove(random.index(ports.len()));
                let id = self.ids.swap_remove(random.index(self.ids.len()));
                let local = SocketAddr::new(mapping.local, port);
                let relayed = SocketAddr::new(mapping.public, port);
                self.open.insert(
                    id,
                    Socket {
                        local,
                        relayed,
                        allocated: false,
                    },
                );
                if shard
                    .offer_relay(OfferedRelay {
                        socket: id,
                        local,
                        relayed: RelayedAddr(relayed),
                    })
                    .is_err()
                {
                    self.give_back(id);
                    break;
                }
                opened.push((id, local));
            }
        }
        opened
    }

    /// What is in the shard's hand, with the address clients are told.
    pub(crate) fn in_hand(&self) -> impl Iterator<Item = (SocketId, SocketAddr)> {
        self.open
            .iter()
            .filter(|(_, socket)| !socket.allocated)
            .map(|(id, socket)| (*id, socket.relayed))
    }

    /// The socket was given to an allocation.
    pub(crate) fn allocate(&mut self, id: SocketId) -> Result<(), String> {
        match self.open.get_mut(&id) {
            Some(socket) if !socket.allocated => {
                socket.allocated = true;
                Ok(())
            }
            _ => Err(format!("{id:?} was given out, but is not on offer")),
        }
    }

    /// The shard asks to close a socket. Returns where it was bound.
    pub(crate) fn close(&mut self, id: SocketId) -> Result<SocketAddr, String> {
        match self.open.get(&id) {
            Some(socket) if socket.allocated => {
                let local = socket.local;
                self.give_back(id);
                Ok(local)
            }
            _ => Err(format!("asked to close {id:?}, which no allocation holds")),
        }
    }

    /// Offered sockets, as the shard should count them.
    pub(crate) fn held(&self) -> RelaysHeld {
        RelaysHeld {
            v4: self.offered(false),
            v6: self.offered(true),
        }
    }

    pub(crate) fn allocated(&self) -> usize {
        self.open.values().filter(|socket| socket.allocated).count()
    }

    pub(crate) fn local(&self, id: SocketId) -> Option<SocketAddr> {
        self.open.get(&id).map(|socket| socket.local)
    }

    fn offered(&self, ipv6: bool) -> usize {
        self.open
            .values()
            .filter(|socket| !socket.allocated && socket.local.is_ipv6() == ipv6)
            .count()
    }

    fn give_back(&mut self, id: SocketId) {
        if let Some(socket) = self.open.remove(&id) {
            self.ports
                .entry(socket.local.ip())
                .or_default()
                .push(socket.local.port());
            self.ids.push(id);
        }
    }
}
