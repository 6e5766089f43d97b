//! One round of load where clients have connections.
//!
//! What a client writes is written until its socket is full, so nothing is
//! offered that the server does not take; what comes to clients they read at
//! once, and is counted by its bytes.

use std::net::UdpSocket;
use std::time::Duration;

use anyhow::{Result, bail};
use nix::sys::epoll::EpollTimeout;

use super::rows::{Direction, Row};
use super::target::Sample;
use crate::pump::{Pump, STRIDE, Sent, paced};
use crate::rig::sink::{Beside, Sink as _};
use crate::rig::steering::Steered;
use crate::servers::Server;
use crate::turn_client::streams::StreamSession;
use crate::turn_client::{CHANNEL, channel_data};

/// Nothing is under way when nothing came for this long.
const STILL: u8 = 30;
/// Looks at the connections after a round before it is given up.
const LOOKS: usize = 10_000;

/// What to do, and with what.
pub(super) struct Round<'a> {
    pub(super) server: &'a Server,
    pub(super) peers: &'a [UdpSocket],
    pub(super) row: &'a Row,
    pub(super) rate: Option<f64>,
    pub(super) duration: Duration,
}

impl Round<'_> {
    pub(super) fn run(&self, session: &mut StreamSession) -> Result<Sample> {
        match self.row.direction {
            Direction::ClientToPeer => self.to_peers(session),
            Direction::PeerToClient => self.to_clients(session),
        }
    }

    fn to_peers(&self, session: &mut StreamSession) -> Result<Sample> {
        let burst = self.row.burst;
        let message = message(self.row);
        let sink = Beside::new(self.server.addresses.peers)?;
        let before = self.server.process.cpu_ns()?;
        let sent = paced(self.rate, self.duration, |sent| {
            for _ in 0..STRIDE {
                if session.burst(&message, burst)? {
                    sent.datagrams += burst as u64;
                } else {
                    sent.refused += burst as u64;
                }
            }
            Ok::<_, anyhow::Error>(())
        })?;
        for look in 0.. {
            if session.flush()? {
                break;
            }
            if look == LOOKS {
                bail!("a connection takes nothing any more");
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        let cpu_ns = self.server.process.settled_cpu_ns()? - before;
        let arrived = sink.read(self.row.payload as u64)?;
        Ok(sample(sent, arrived.datagrams, arrived.frames, cpu_ns))
    }

    fn to_clients(&self, session: &mut StreamSession) -> Result<Sample> {
        let _steered = Steered::new()?;
        let mut pump = Pump::new(self.peers, &vec![0x5a; self.row.payload], self.row.burst)?;
        let before = self.server.process.cpu_ns()?;
        let mut bytes = 0;
        let sent = paced(self.rate, self.duration, |sent| {
            pump.stride(sent);
            bytes += session.drain(EpollTimeout::ZERO)?;
            Ok::<_, anyhow::Error>(())
        })?;
        for look in 0.. {
            match session.drain(EpollTimeout::from(STILL))? {
                0 => break,
                more => bytes += more,
            }
            if look == LOOKS {
                bail!("the connections do not fall silent");
            }
        }
        let cpu_ns = self.server.process.settled_cpu_ns()? - before;
        let each = message(self.row).len() as u64;
        if !bytes.is_multiple_of(each) {
            bail!("{bytes} bytes are not all messages of {each} bytes");
        }
        Ok(sample(sent, bytes / each, 0, cpu_ns))
    }
}

/// A message as it lies in a stream: padded (RFC 8656 §12.5).
fn message(row: &Row) -> Vec<u8> {
    let mut message = channel_data(CHANNEL, &vec![0x5a; row.payload]);
    message.resize(message.len().next_multiple_of(4), 0);
    message
}

fn sample(sent: Sent, arrived: u64, frames: u64, cpu_ns: u64) -> Sample {
    Sample {
        sent: sent.datagrams,
        arrived,
        frames,
        cpu_ns,
        seconds: sent.seconds.max(cpu_ns as f64 / 1e9),
    }
}
