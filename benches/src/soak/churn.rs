//! Clients that come and go, each in its own way.

use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use rustls::ClientConfig;
use serde::Serialize;

use super::client::{Client, Wish};
use super::link::Transport;
use super::server::PEERS;
use crate::turn_client::Credentials;

/// A held port that nobody claims comes back after so long (RFC 8656 §7.2),
/// and with it the rest of the round.
const RESERVED: Duration = Duration::from_secs(32);
/// Between two clients of a thread.
const PAUSE: Duration = Duration::from_millis(5);

/// What clients did, all threads together.
#[derive(Debug, Default)]
pub(super) struct Counts {
    allocations: [AtomicU64; 3],
    pub(super) moves: AtomicU64,
    pub(super) pairs: AtomicU64,
    pub(super) left_behind: AtomicU64,
    pub(super) resets: AtomicU64,
    pub(super) sent: AtomicU64,
    pub(super) lost: AtomicU64,
    pub(super) failed: AtomicU64,
    pub(super) victims: AtomicU64,
}

/// The same, as it is told.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Churn {
    /// Allocations by transport: UDP, TCP, TLS.
    pub allocations: [u64; 3],
    /// Allocations taken along to another port.
    pub moves: u64,
    /// Pairs of ports, the second claimed by its token or left.
    pub pairs: u64,
    /// Allocations nobody ended.
    pub left_behind: u64,
    /// Connections ended by a reset.
    pub resets: u64,
    /// Packets sent to the echoing peer.
    pub sent: u64,
    /// Packets that did not come back.
    pub lost: u64,
    /// Clients that were refused, or not answered.
    pub failed: u64,
    /// Allocations made to be ended by the operator.
    pub victims: u64,
}

impl Counts {
    pub(super) fn read(&self) -> Churn {
        let of = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Churn {
            allocations: self.allocations.each_ref().map(of),
            moves: of(&self.moves),
            pairs: of(&self.pairs),
            left_behind: of(&self.left_behind),
            resets: of(&self.resets),
            sent: of(&self.sent),
            lost: of(&self.lost),
            failed: of(&self.failed),
            victims: of(&self.victims),
        }
    }
}

pub(super) fn add(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

/// Where clients go, and with what.
#[derive(Clone)]
pub(super) struct Place {
    pub(super) server: SocketAddr,
    pub(super) peer: SocketAddr,
    pub(super) trust: Arc<ClientConfig>,
    pub(super) credentials: Credentials,
}

/// Random numbers for who does what; nothing secret hangs on them.
pub(super) struct Dice(u64);

impl Dice {
    pub(super) fn new() -> Result<Self> {
        Ok(Self(getrandom::u64()? | 1))
    }

    /// Below `sides`.
    pub(super) fn throw(&mut self, sides: u64) -> u64 {
        // xorshift64.
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % sides
    }

    fn one_in(&mut self, sides: u64) -> bool {
        self.throw(sides) == 0
    }

    pub(super) fn bytes(&mut self, length: u64) -> Vec<u8> {
        (0..length).map(|_| self.throw(256) as u8).collect()
    }
}

/// One client after another until then. What goes wrong is told on standard
/// error, the first few times.
pub(super) fn run(
    place: &Place,
    transport: Transport,
    until: Instant,
    counts: &Counts,
) -> Result<()> {
    let mut dice = Dice::new()?;
    while Instant::now() < until {
        if let Err(error) = client(place, transport, until, counts, &mut dice) {
            let before = counts.failed.fetch_add(1, Ordering::Relaxed);
            if before < 5 {
                eprintln!("a client over {}: {error:#}", transport.name());
            }
        }
        thread::sleep(PAUSE);
    }
    Ok(())
}

fn client(
    place: &Place,
    transport: Transport,
    until: Instant,
    counts: &Counts,
    dice: &mut Dice,
) -> Result<()> {
    let connect = || {
        Client::connect(
            transport,
            place.server,
            PEERS.into(),
            &place.trust,
            &place.credentials,
        )
    };
    let mobility = transport == Transport::Udp && dice.one_in(4);
    let pair = !mobility && dice.one_in(8);
    let wish = Wish {
        mobility,
        pair,
        token: None,
    };
    let mut client = connect()?;
    client.allocate(&wish).context("Allocate")?;
    add(&counts.allocations[transport as usize]);
    client.bind(place.peer).context("ChannelBind")?;
    talk(&mut client, counts, dice)?;
    if mobility {
        client.move_on().context("moving")?;
        add(&counts.moves);
        talk(&mut client, counts, dice)?;
    }
    if let Some(token) = client.token.take() {
        add(&counts.pairs);
        let may_stay = Instant::now() + RESERVED < until;
        if !may_stay || !dice.one_in(4) {
            let mut second = connect()?;
            second.allocate(&Wish {
                token: Some(token),
                ..Wish::default()
            })?;
            add(&counts.allocations[transport as usize]);
            second.release()?;
        }
    }
    match dice.throw(10) {
        0..6 => client.release().context("Refresh to 0"),
        6..8 => {
            add(&counts.left_behind);
            client.vanish(false);
            Ok(())
        }
        _ => {
            add(&counts.resets);
            client.vanish(true);
            Ok(())
        }
    }
}

fn talk(client: &mut Client, counts: &Counts, dice: &mut Dice) -> Result<()> {
    for _ in 0..=dice.throw(12) {
        let length = 1 + dice.throw(1200);
        let payload = dice.bytes(length);
        add(&counts.sent);
        if !client.echo(&payload)? {
            add(&counts.lost);
        }
    }
    Ok(())
}

/// Clients that expect to be ended by somebody else at any time.
pub(super) fn victims(place: &Place, until: Instant, counts: &Counts) -> Result<()> {
    let mut dice = Dice::new()?;
    while Instant::now() < until {
        let mut client = Client::connect(
            Transport::Udp,
            place.server,
            PEERS.into(),
            &place.trust,
            &place.credentials,
        )?;
        let pause = Duration::from_millis(200 + dice.throw(1500));
        let made = client.allocate(&Wish::default());
        if made.and_then(|_| client.bind(place.peer)).is_ok() {
            add(&counts.victims);
            thread::sleep(pause);
            // Gone by now, perhaps.
            let _ = client.release();
        }
    }
    Ok(())
}

/// Sends back what comes, until it is over.
pub(super) fn echo(socket: &UdpSocket, over: &AtomicBool) -> Result<()> {
    socket.set_read_timeout(Some(Duration::from_millis(200)))?;
    let mut buffer = [0; 2048];
    while !over.load(Ordering::Relaxed) {
        if let Ok((length, from)) = socket.recv_from(&mut buffer) {
            // A relay that has gone.
            let _ = socket.send_to(&buffer[..length], from);
        }
    }
    Ok(())
}
