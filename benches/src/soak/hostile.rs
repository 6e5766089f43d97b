//! Strangers: bytes that mean nothing, connections that come and break off.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Result;
use serde::Serialize;
use socket2::SockRef;

use super::churn::{Dice, Place, add};
use super::link::{Link, Transport};
use super::server::PEERS;

/// Between two of them.
const PAUSE: Duration = Duration::from_millis(4);
/// How long one that asks waits for an answer.
const PATIENCE: Duration = Duration::from_millis(200);

/// What strangers did.
#[derive(Debug, Default)]
pub(super) struct Counts {
    datagrams: AtomicU64,
    connections: AtomicU64,
    handshakes: AtomicU64,
}

/// The same, as it is told.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Hostile {
    /// Datagrams without meaning, to the TURN and the DTLS port.
    pub datagrams: u64,
    /// TCP connections that said nothing useful, or broke off.
    pub connections: u64,
    /// TLS handshakes followed by a reset.
    pub handshakes: u64,
}

impl Counts {
    pub(super) fn read(&self) -> Hostile {
        let of = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Hostile {
            datagrams: of(&self.datagrams),
            connections: of(&self.connections),
            handshakes: of(&self.handshakes),
        }
    }
}

/// Datagrams, until then.
pub(super) fn datagrams(targets: [SocketAddr; 2], until: Instant, counts: &Counts) -> Result<()> {
    let mut dice = Dice::new()?;
    while Instant::now() < until {
        let socket = UdpSocket::bind((PEERS, 0))?;
        for _ in 0..32 {
            let length = dice.throw(1400);
            let mut bytes = dice.bytes(length);
            let target = targets[dice.throw(2) as usize];
            disguise(&mut bytes, &mut dice);
            // Refused when the port is closed, which the end shows.
            let _ = socket.send_to(&bytes, target);
            add(&counts.datagrams);
            thread::sleep(PAUSE);
        }
    }
    Ok(())
}

/// Makes some of them look like something.
fn disguise(bytes: &mut [u8], dice: &mut Dice) {
    let head: &[u8] = match dice.throw(5) {
        0 => &[0, 1, 0, 0, 0x21, 0x12, 0xA4, 0x42],
        1 => &[0, 3, 0, 8, 0x21, 0x12, 0xA4, 0x42],
        2 => &[0x40, 1, 0, 20],
        // A record that may begin a handshake.
        3 => &[
            22, 0xFE, 0xFD, 0, 0, 0, 0, 0, 0, 0, 1, 0, 80, 1, 0, 0, 68, 0, 0,
        ],
        _ => &[],
    };
    if let Some(place) = bytes.get_mut(..head.len()) {
        place.copy_from_slice(head);
    }
}

/// Connections, until then.
pub(super) fn connections(
    place: &Place,
    tls: SocketAddr,
    until: Instant,
    counts: &Counts,
) -> Result<()> {
    let mut dice = Dice::new()?;
    while Instant::now() < until {
        if dice.throw(4) == 0 {
            // A whole handshake for nothing.
            if let Ok(link) = Link::open(Transport::Tls, tls, PEERS.into(), &place.trust) {
                link.reset();
                add(&counts.handshakes);
            }
        } else {
            let target = [place.server, tls][dice.throw(2) as usize];
            break_off(target, &mut dice);
            add(&counts.connections);
        }
        thread::sleep(PAUSE);
    }
    Ok(())
}

/// Whatever fails is what was meant to.
fn break_off(target: SocketAddr, dice: &mut Dice) {
    let Ok(mut stream) = TcpStream::connect(target) else {
        return;
    };
    let length = dice.throw(600);
    let random = dice.bytes(length);
    let said: &[u8] = match dice.throw(5) {
        0 => b"",
        1 => &random,
        2 => b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        // The beginning of a ClientHello.
        3 => &[0x16, 3, 1, 2, 0, 1, 0, 1, 0xFC, 3, 3],
        // A request cut short.
        _ => &[0, 3, 0, 100, 0x21, 0x12, 0xA4, 0x42, 1, 2],
    };
    let _ = stream.write_all(said);
    match dice.throw(3) {
        0 => drop(SockRef::from(&stream).set_linger(Some(Duration::ZERO))),
        1 => {
            let _ = stream.set_read_timeout(Some(PATIENCE));
            let _ = stream.read(&mut [0; 256]);
        }
        _ => {}
    }
}
