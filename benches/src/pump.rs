//! Sending bursts of equal datagrams over many connected sockets in turn.

use std::convert::Infallible;
use std::io::ErrorKind;
use std::net::UdpSocket;
use std::os::fd::AsFd as _;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use nix::sys::socket::{setsockopt, sockopt};

/// Bursts between two looks at the clock.
pub const STRIDE: usize = 8;

/// What was offered.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sent {
    /// Datagrams the kernel took.
    pub datagrams: u64,
    /// Datagrams it refused.
    pub refused: u64,
    /// Time from first to last, seconds.
    pub seconds: f64,
}

/// Calls `stride`, which offers a few bursts, for `duration`: so often that
/// `rate` datagrams per second are offered, or as often as it goes.
///
/// # Errors
/// What `stride` returns.
pub fn paced<E>(
    rate: Option<f64>,
    duration: Duration,
    mut stride: impl FnMut(&mut Sent) -> Result<(), E>,
) -> Result<Sent, E> {
    let mut sent = Sent::default();
    let started = Instant::now();
    loop {
        let elapsed = started.elapsed();
        if elapsed >= duration {
            sent.seconds = elapsed.as_secs_f64();
            return Ok(sent);
        }
        let offered = (sent.datagrams + sent.refused) as f64;
        if rate.is_some_and(|rate| offered >= elapsed.as_secs_f64() * rate) {
            std::hint::spin_loop();
            continue;
        }
        stride(&mut sent)?;
    }
}

/// A way to send: one burst is `burst` copies of one datagram, handed to the
/// kernel in a single call.
pub struct Pump<'a> {
    sockets: &'a [UdpSocket],
    bytes: Vec<u8>,
    burst: u64,
    next: usize,
}

impl<'a> Pump<'a> {
    /// Bursts of `burst` times `datagram`, over `sockets` in turn.
    ///
    /// # Errors
    /// When the kernel cannot segment UDP sends.
    pub fn new(sockets: &'a [UdpSocket], datagram: &[u8], burst: usize) -> Result<Self> {
        let size = i32::try_from(datagram.len())?;
        for socket in sockets {
            setsockopt(&socket.as_fd(), sockopt::UdpGsoSegment, &size)
                .context("the kernel lacks UDP segmentation")?;
        }
        Ok(Self {
            sockets,
            bytes: datagram.repeat(burst),
            burst: burst as u64,
            next: 0,
        })
    }

    /// Sends for `duration`, at `rate` datagrams per second or as fast as it
    /// goes.
    pub fn run(&mut self, rate: Option<f64>, duration: Duration) -> Sent {
        let Ok(sent) = paced(rate, duration, |sent| {
            self.stride(sent);
            Ok::<_, Infallible>(())
        });
        sent
    }

    /// Sends a few bursts.
    pub fn stride(&mut self, sent: &mut Sent) {
        for _ in 0..STRIDE {
            self.burst(sent);
        }
    }

    fn burst(&mut self, sent: &mut Sent) {
        let Some(socket) = self.sockets.get(self.next) else {
            return;
        };
        self.next = (self.next + 1) % self.sockets.len();
        match socket.send(&self.bytes) {
            Ok(_) => sent.datagrams += self.burst,
            Err(error) => {
                // An ICMP error of an earlier packet is reported once and
                // clears; a full buffer is the offered load not being offered.
                debug_assert!(error.kind() != ErrorKind::InvalidInput, "{error}");
                sent.refused += self.burst;
            }
        }
    }
}
