//! NAT behaviour discovery (RFC 5780): which of the server's four transport
//! addresses of a family a request came to, and which one answers.

use crate::config::{Discovery, Place};
use crate::ids::FiveTuple;

/// CHANGE-REQUEST (RFC 5780 §7.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Change {
    pub(crate) address: bool,
    pub(crate) port: bool,
}

impl Change {
    /// `None` for a value that is none.
    pub(crate) fn parse(value: &[u8]) -> Option<Self> {
        match value {
            [_, _, _, flags] => Some(Self {
                address: flags & 4 != 0,
                port: flags & 2 != 0,
            }),
            _ => None,
        }
    }
}

/// Where a request came to.
#[derive(Clone, Copy)]
pub(crate) struct Arrival<'d> {
    discovery: &'d Discovery,
    address: usize,
    port: usize,
}

impl<'d> Arrival<'d> {
    /// `None` unless it came to one of the four.
    pub(crate) fn of(discoveries: &'d [Discovery], tuple: &FiveTuple) -> Option<Self> {
        discoveries.iter().find_map(|discovery| {
            let places = discovery.places.iter().enumerate();
            places
                .flat_map(|(address, ports)| {
                    let ports = ports.iter().enumerate();
                    ports.map(move |(port, place)| (address, port, place))
                })
                .find(|(.., place)| place.socket == tuple.socket && place.local.ip() == tuple.local)
                .map(|(address, port, _)| Self {
                    discovery,
                    address,
                    port,
                })
        })
    }

    /// Where to answer from.
    pub(crate) fn after(self, change: Change) -> &'d Place {
        let address = self.address ^ usize::from(change.address);
        let port = self.port ^ usize::from(change.port);
        &self.discovery.places[address][port]
    }

    /// The one that differs in both.
    pub(crate) fn other(self) -> &'d Place {
        self.after(Change {
            address: true,
            port: true,
        })
    }
}
