//! A forwarder in virtual time, with fake browsers around it.
#![allow(dead_code, clippy::unwrap_used, clippy::panic)]

pub(crate) mod browser;
pub(crate) mod describe;
pub(crate) mod sink;

use core::net::{IpAddr, Ipv4Addr, SocketAddr};
use core::time::Duration;
use std::collections::BTreeSet;

use forebay_media::{
    Capacity, Change, Command, Config, Event, Forwarder, Path, Progress, Refusal, Seeds,
    SessionKey, SocketId,
};
use forebay_wire::clock::{Instant, Now, UnixSeconds};

use browser::Browser;
use sink::Sink;

/// Where the forwarder listens.
pub(crate) const LOCAL: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));

/// The path to a client's address.
pub(crate) fn path(remote: SocketAddr) -> Path {
    Path {
        socket: SocketId(0),
        local: LOCAL,
        remote,
    }
}

/// The address of the `n`-th client.
pub(crate) fn client(n: u16) -> SocketAddr {
    SocketAddr::new(
        IpAddr::V4(Ipv4Addr::new(198, 51, (n >> 8) as u8, n as u8)),
        40_000 + n,
    )
}

/// Room for what tests need.
pub(crate) fn config() -> Config {
    Config {
        capacity: Capacity {
            sessions: 64,
            tracks: 64,
            subscriptions: 256,
            cache: 4 << 20,
        },
        mtu: 1200,
        max_bitrate: 20_000_000,
        start_bitrate: 2_000_000,
    }
}

/// A forwarder and its surroundings.
pub(crate) struct Rig {
    pub(crate) forwarder: Forwarder,
    pub(crate) now: Now,
    pub(crate) sink: Sink,
    timers: BTreeSet<(Instant, u64)>,
    /// Not yet looked at, oldest first.
    pub(crate) events: Vec<Event>,
    /// DTLS datagrams handed out.
    pub(crate) dtls: Vec<(SessionKey, Box<[u8]>)>,
    pub(crate) browsers: Vec<Browser>,
    memory: Vec<u8>,
    used: usize,
}

/// Before each datagram in receive memory.
const HEADROOM: usize = 64;

impl Default for Rig {
    fn default() -> Self {
        Self::new(config())
    }
}

impl Rig {
    pub(crate) fn new(config: Config) -> Self {
        let seeds = Seeds {
            tables: 0x1234_5678,
            random: 0x9abc_def0,
        };
        Self {
            forwarder: Forwarder::new(config, seeds),
            now: Now {
                instant: Instant::from_nanos(1_000_000_000_000),
                unix: UnixSeconds(1_700_000_000),
            },
            sink: Sink::default(),
            timers: BTreeSet::new(),
            events: Vec::new(),
            dtls: Vec::new(),
            browsers: Vec::new(),
            memory: vec![0; 1 << 20],
            used: 0,
        }
    }

    pub(crate) fn try_apply(&mut self, change: Change) -> Result<(), Refusal> {
        let result = self.forwarder.apply(self.now, change, &mut self.sink);
        self.settle();
        result
    }

    pub(crate) fn apply(&mut self, change: Change) {
        self.try_apply(change).unwrap();
    }

    /// Puts a datagram into the present batch.
    pub(crate) fn receive(&mut self, from: SocketAddr, datagram: &[u8]) {
        let start = self.used + HEADROOM;
        let end = start + datagram.len();
        self.memory[start..end].copy_from_slice(datagram);
        self.used = end;
        let path = path(from);
        self.forwarder.receive(
            self.now,
            &path,
            &mut self.memory,
            start..end,
            &mut self.sink,
        );
        if self.used > self.memory.len() - 4096 {
            self.flush();
        }
    }

    /// Ends the batch: forwards, and delivers what was sent.
    pub(crate) fn flush(&mut self) {
        loop {
            let progress = self
                .forwarder
                .forward(self.now, &self.memory, &mut self.sink);
            self.deliver();
            if progress == Progress::Done {
                break;
            }
        }
        self.used = 0;
        self.settle();
    }

    /// Fetches commands and delivers what was sent.
    fn settle(&mut self) {
        while let Some(command) = self.forwarder.next_command() {
            match command {
                Command::Arm { token, at } => {
                    assert!(
                        self.timers.iter().all(|(_, armed)| *armed != token),
                        "a timer is armed twice"
                    );
                    self.timers.insert((at, token));
                    assert!(self.timers.len() <= self.forwarder.timers());
                }
                Command::Dtls {
                    session, datagram, ..
                } => self.dtls.push((session, datagram)),
                Command::Event(event) => self.events.push(event),
            }
        }
        self.deliver();
    }

    fn deliver(&mut self) {
        let now = self.now;
        for sent in self.sink.take() {
            for browser in &mut self.browsers {
                if browser.address == sent.path.remote {
                    browser.deliver(now.instant, &sent.datagram);
                }
            }
        }
    }

    /// Lets time pass, with its timers; none fires more than 4 ms late.
    pub(crate) fn pass(&mut self, time: Duration) {
        let end = self.now.instant + time;
        while let Some(&(at, token)) = self.timers.first()
            && at <= end
        {
            self.timers.pop_first();
            self.now.instant = self.now.instant.max(at);
            self.forwarder.on_timer(self.now, token, &mut self.sink);
            self.settle();
        }
        self.now.instant = end;
        self.settle();
    }

    /// Takes the events that were not looked at.
    pub(crate) fn events(&mut self) -> Vec<Event> {
        core::mem::take(&mut self.events)
    }

    /// Adds a browser whose session is made, checked and keyed.
    pub(crate) fn join(&mut self, n: u16) -> usize {
        let browser = Browser::new(u64::from(n), client(n));
        self.apply(Change::SetSession(browser.session()));
        let at = self.browsers.len();
        self.browsers.push(browser);
        self.check(at, true);
        self.apply(Change::SetKeys {
            session: self.browsers[at].key,
            keys: self.browsers[at].server_keys(),
        });
        at
    }

    /// A browser sends a check from its address.
    pub(crate) fn check(&mut self, at: usize, nominate: bool) {
        let browser = &mut self.browsers[at];
        let (from, datagram) = (browser.address, browser.check(nominate));
        self.receive(from, &datagram);
        self.flush();
    }

    /// A browser sends an RTP packet into the present batch.
    pub(crate) fn rtp(&mut self, at: usize, packet: &[u8]) {
        let browser = &mut self.browsers[at];
        let (from, datagram) = (browser.address, browser.seal_rtp(packet));
        self.receive(from, &datagram);
    }

    /// A browser sends an RTCP compound.
    pub(crate) fn rtcp(&mut self, at: usize, compound: &[u8]) {
        let browser = &mut self.browsers[at];
        let (from, datagram) = (browser.address, browser.seal_rtcp(compound));
        self.receive(from, &datagram);
        self.flush();
    }
}
