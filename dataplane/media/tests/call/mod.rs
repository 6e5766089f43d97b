//! A call in virtual time: publishers and subscribers on keyed transports,
//! links that delay, lose and limit, and decoders that know what they miss.
#![allow(dead_code)]

pub(crate) mod decoder;
pub(crate) mod encoder;
pub(crate) mod link;
pub(crate) mod publisher;
pub(crate) mod subscriber;

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use forebay_media::srtp::{Keys, Master, Profile};
use forebay_media::{
    Capacity, Change, Command, Config, Event, Extensions, Forwarder, Keyed, LayerCap, Mode, Output,
    Path, PayloadMap, Progress, Seeds, SessionConfig, SessionKey, SocketId, Ssrc,
    SubscriptionConfig, SubscriptionKey, TrackKey, Transport,
};
use forebay_wire::clock::{Instant, Now, UnixSeconds};

use publisher::Publisher;
use subscriber::Subscriber;

pub(crate) const STEP: Duration = Duration::from_millis(1);

/// Pseudo-random numbers, repeatable.
#[derive(Clone)]
pub(crate) struct Dice(pub u64);

impl Dice {
    pub(crate) fn roll(&mut self) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6364136223846793005)
            .wrapping_add(1442695040888963407);
        self.0 >> 33
    }

    /// True in `per_mille` of a thousand cases.
    pub(crate) fn chance(&mut self, per_mille: u64) -> bool {
        self.roll() % 1000 < per_mille
    }
}

/// What leaves in a batch.
#[derive(Default)]
pub(crate) struct Sent {
    pub buffer: Vec<u8>,
    pub datagrams: Vec<(Path, Vec<u8>)>,
    /// Datagrams before `reserve` says no.
    pub room: usize,
}

impl Output for Sent {
    fn reserve(&mut self, len: usize) -> Option<&mut [u8]> {
        if self.datagrams.len() >= self.room {
            return None;
        }
        self.buffer.clear();
        self.buffer.resize(len, 0xa5);
        Some(&mut self.buffer)
    }

    fn commit(&mut self, _flow: u32, path: &Path, len: usize) {
        self.datagrams.push((*path, self.buffer[..len].to_vec()));
    }
}

pub(crate) fn path(number: u16) -> Path {
    Path {
        socket: SocketId(0),
        local: IpAddr::V4(Ipv4Addr::LOCALHOST),
        remote: SocketAddr::from((Ipv4Addr::new(192, 0, 2, 1), 1000 + number)),
    }
}

/// Our keys, and the same seen from the other end.
pub(crate) fn keys(number: u16) -> (Keys, Keys) {
    let master = |byte: u8| {
        let mut master = Master::default();
        master.key[..16].fill(byte);
        master.key[0] = number as u8;
        master.key[1] = (number >> 8) as u8;
        master.salt[..12].fill(byte ^ 0x55);
        master
    };
    let profile = Profile::AeadAes128Gcm;
    let ours = Keys {
        profile,
        local: master(0x11),
        remote: master(0x22),
    };
    let theirs = Keys {
        profile,
        local: ours.remote.clone(),
        remote: ours.local.clone(),
    };
    (ours, theirs)
}

pub(crate) const EXTENSIONS: Extensions = Extensions {
    mid: Some(1),
    rid: None,
    repaired_rid: None,
    audio_level: Some(5),
    abs_send_time: Some(2),
    transport_cc: Some(3),
    video_orientation: Some(4),
    dependency_descriptor: Some(12),
    playout_delay: Some(6),
    abs_capture_time: None,
};

pub(crate) struct Call {
    pub forwarder: Forwarder,
    pub now: Instant,
    pub dice: Dice,
    timers: BTreeMap<(Instant, u64), ()>,
    pub events: Vec<(Instant, Event)>,
    pub publishers: Vec<Publisher>,
    pub subscribers: Vec<Subscriber>,
    memory: Vec<u8>,
    /// Datagrams per batch.
    pub room: usize,
}

impl Call {
    pub(crate) fn new(seed: u64) -> Self {
        let config = Config {
            capacity: Capacity {
                sessions: 64,
                tracks: 32,
                subscriptions: 256,
                cache: 8 << 20,
            },
            mtu: 1200,
            max_bitrate: 10_000_000,
            start_bitrate: 300_000,
        };
        let seeds = Seeds {
            tables: seed,
            random: seed ^ 0x1234_5678,
        };
        Self {
            forwarder: Forwarder::new(config, seeds),
            now: Instant::from_nanos(1_000_000_000),
            dice: Dice(seed),
            timers: BTreeMap::new(),
            events: Vec::new(),
            publishers: Vec::new(),
            subscribers: Vec::new(),
            memory: Vec::new(),
            room: 16,
        }
    }

    pub(crate) fn time(&self) -> Now {
        Now {
            instant: self.now,
            unix: UnixSeconds(self.now.as_nanos() / 1_000_000_000),
        }
    }

    pub(crate) fn apply(&mut self, change: Change) {
        let mut out = Sent {
            room: self.room,
            ..Sent::default()
        };
        let now = self.time();
        self.forwarder
            .apply(now, change, &mut out)
            .expect("the change is sound");
        self.route(out);
        self.fetch();
    }

    pub(crate) fn add_session(&mut self, number: u16) -> SessionKey {
        let key = SessionKey(u64::from(number));
        self.apply(Change::SetSession(SessionConfig {
            key,
            transport: Transport::Keyed(Keyed {
                path: path(number),
                keys: keys(number).0,
            }),
            extensions: EXTENSIONS,
            cname: "forebay".into(),
            transport_cc: true,
        }));
        key
    }

    /// Its index in `publishers`; its session's number is that, too.
    pub(crate) fn add_publisher(&mut self, encoder: encoder::Encoder) -> usize {
        let number = self.publishers.len() as u16;
        let session = self.add_session(number);
        let publisher = Publisher::new(number, encoder, self.now, Dice(self.dice.roll()));
        self.apply(Change::SetTrack(publisher.track(session)));
        self.publishers.push(publisher);
        usize::from(number)
    }

    /// Its index in `subscribers`.
    pub(crate) fn add_subscriber(&mut self, link: link::Link) -> usize {
        let index = self.subscribers.len();
        let number = 100 + index as u16;
        let session = self.add_session(number);
        let dice = Dice(self.dice.roll());
        self.subscribers
            .push(Subscriber::new(number, session, link, self.now, dice));
        index
    }

    pub(crate) fn subscription(&self, subscriber: usize, publisher: usize) -> SubscriptionConfig {
        let codec = self.publishers[publisher].encoder.codec;
        let key = (subscriber * 100 + publisher) as u64;
        SubscriptionConfig {
            key: SubscriptionKey(key),
            track: TrackKey(publisher as u64),
            session: self.subscribers[subscriber].session,
            mid: forebay_media::Mid::new(b"7").expect("short"),
            payload_types: Box::new([PayloadMap {
                from: 96,
                to: 100,
                rtx: (codec != forebay_media::Codec::Opus).then_some(101),
            }]),
            mode: Mode::Select {
                ssrc: Ssrc(5000 + publisher as u32 * 2),
                rtx_ssrc: (codec != forebay_media::Codec::Opus)
                    .then_some(Ssrc(5001 + publisher as u32 * 2)),
            },
            cap: LayerCap {
                spatial: 3,
                temporal: 3,
            },
            paused: false,
            priority: 1,
        }
    }

    pub(crate) fn subscribe(&mut self, subscriber: usize, publisher: usize) {
        let config = self.subscription(subscriber, publisher);
        let codec = self.publishers[publisher].encoder.codec;
        self.subscribers[subscriber].expect(publisher, codec);
        self.apply(Change::SetSubscription(config));
    }

    pub(crate) fn run(&mut self, time: Duration) {
        let end = self.now + time;
        while self.now < end {
            self.step();
        }
    }

    pub(crate) fn run_with(&mut self, time: Duration, mut each: impl FnMut(&mut Self)) {
        let end = self.now + time;
        while self.now < end {
            self.step();
            each(self);
        }
    }

    fn step(&mut self) {
        self.now = self.now + STEP;
        let now = self.now;
        // Whatever has come up to now is one batch.
        let mut arrived = Vec::new();
        for (number, publisher) in self.publishers.iter_mut().enumerate() {
            publisher.step(now, |datagram| {
                arrived.push((path(number as u16), datagram));
            });
        }
        for subscriber in &mut self.subscribers {
            let from = path(subscriber.number);
            subscriber.step(now, |datagram| arrived.push((from, datagram)));
        }
        self.memory.clear();
        let mut ranges = Vec::new();
        for (from, datagram) in arrived {
            let start = self.memory.len() + 64;
            self.memory.resize(start, 0);
            self.memory.extend_from_slice(&datagram);
            ranges.push((from, start..start + datagram.len()));
        }
        let time = self.time();
        let mut out = Sent {
            room: usize::MAX,
            ..Sent::default()
        };
        for (from, range) in ranges {
            self.forwarder
                .receive(time, &from, &mut self.memory, range, &mut out);
        }
        self.route(out);
        loop {
            let mut out = Sent {
                room: self.room,
                ..Sent::default()
            };
            let progress = self.forwarder.forward(time, &self.memory, &mut out);
            self.route(out);
            if progress == Progress::Done {
                break;
            }
        }
        self.fetch();
        while let Some((&(at, token), ())) = self.timers.first_key_value() {
            if at > now {
                break;
            }
            self.timers.remove(&(at, token));
            let mut out = Sent {
                room: usize::MAX,
                ..Sent::default()
            };
            self.forwarder.on_timer(time, token, &mut out);
            self.route(out);
            self.fetch();
        }
    }

    fn fetch(&mut self) {
        while let Some(command) = self.forwarder.next_command() {
            match command {
                Command::Arm { token, at } => {
                    self.timers.insert((at, token), ());
                }
                Command::Event(event) => self.events.push((self.now, event)),
                Command::Dtls { .. } => {}
            }
        }
    }

    fn route(&mut self, out: Sent) {
        for (to, datagram) in out.datagrams {
            let number = to.remote.port() - 1000;
            if let Some(publisher) = self.publishers.get_mut(usize::from(number)) {
                publisher.receive(self.now, datagram);
            } else if let Some(subscriber) = self
                .subscribers
                .get_mut(usize::from(number.wrapping_sub(100)))
            {
                subscriber.link.push(self.now, datagram);
            }
        }
    }
}
