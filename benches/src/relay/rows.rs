//! The rows of the comparison.

use std::fmt;

use clap::ValueEnum;
use serde::Serialize;

/// Which way media flows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Direction {
    /// ChannelData in, plain datagrams out.
    ClientToPeer,
    /// Plain datagrams in, ChannelData out.
    PeerToClient,
}

impl fmt::Display for Direction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ClientToPeer => "client → peer",
            Self::PeerToClient => "peer → client",
        })
    }
}

/// One kind of load.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
pub struct Row {
    /// Bytes a peer sends or receives in one datagram.
    pub payload: usize,
    /// Datagrams of one flow in a row.
    pub burst: usize,
    /// Allocations the load goes round over.
    pub allocations: u16,
    /// Which way.
    pub direction: Direction,
}

/// The rows that decide, or all, those of one number of allocations together.
#[must_use]
pub fn rows(quick: bool) -> Vec<Row> {
    let bursts: &[usize] = if quick { &[1, 8] } else { &[1, 3, 8] };
    let allocations: &[u16] = if quick { &[1000] } else { &[100, 1000] };
    let mut rows = Vec::new();
    for &allocations in allocations {
        for &burst in bursts {
            for payload in [172, 1200] {
                for direction in [Direction::ClientToPeer, Direction::PeerToClient] {
                    rows.push(Row {
                        payload,
                        burst,
                        allocations,
                        direction,
                    });
                }
            }
        }
    }
    rows
}
