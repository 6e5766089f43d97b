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

/// What clients speak to the server over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Transport {
    /// Datagrams.
    Udp,
    /// A connection each.
    Tcp,
    /// A connection each, TLS 1.2 with AES-128-GCM, a record per message.
    Tls,
}

impl fmt::Display for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Udp => "UDP",
            Self::Tcp => "TCP",
            Self::Tls => "TLS",
        })
    }
}

/// One kind of load.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
pub struct Row {
    /// What clients speak over.
    pub transport: Transport,
    /// Bytes a peer sends or receives in one datagram.
    pub payload: usize,
    /// Datagrams of one flow in a row.
    pub burst: usize,
    /// Allocations the load goes round over.
    pub allocations: u16,
    /// Which way.
    pub direction: Direction,
}

const DIRECTIONS: [Direction; 2] = [Direction::ClientToPeer, Direction::PeerToClient];
/// Connections at each server: their clients read and write one by one.
const CONNECTIONS: u16 = 100;

/// The rows over UDP that decide, or all, those of one number of allocations
/// together.
#[must_use]
pub fn datagrams(quick: bool) -> Vec<Row> {
    let payloads = &[172, 1200];
    if quick {
        return group(Transport::Udp, 1000, &[1, 8], payloads);
    }
    let mut rows = group(Transport::Udp, 100, &[1, 8], payloads);
    rows.extend(group(Transport::Udp, 1000, &[1, 3, 8], payloads));
    rows
}

/// The rows over TCP and TLS that decide, or all, those of one transport
/// together.
#[must_use]
pub fn streams(quick: bool) -> Vec<Row> {
    let (bursts, payloads): (&[usize], &[usize]) = if quick {
        (&[8], &[1200])
    } else {
        (&[1, 8], &[172, 1200])
    };
    let mut rows = group(Transport::Tcp, CONNECTIONS, bursts, payloads);
    rows.extend(group(Transport::Tls, CONNECTIONS, bursts, payloads));
    rows
}

fn group(transport: Transport, allocations: u16, bursts: &[usize], payloads: &[usize]) -> Vec<Row> {
    let mut rows = Vec::new();
    for &burst in bursts {
        for &payload in payloads {
            for direction in DIRECTIONS {
                rows.push(Row {
                    transport,
                    payload,
                    burst,
                    allocations,
                    direction,
                });
            }
        }
    }
    rows
}
