//! One publisher, many subscribers: rewriting and sealing, without a kernel.

use core::time::Duration;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use forebay_media::srtp::{Keys, Master, Outbound, Profile};
use forebay_media::{
    Capacity, Change, Codec, Config, EncodingConfig, Extensions, Forwarder, Keyed, LayerCap, Mid,
    Mode, Output, Path, PayloadMap, Progress, PublishedCodec, Seeds, SessionConfig, SessionKey,
    SocketId, Ssrc, SubscriptionConfig, SubscriptionKey, TrackConfig, TrackKey, TrackKind,
    Transport,
};
use forebay_wire::clock::{Instant, Now, UnixSeconds};

use crate::cases::Case;

/// Sends into memory of the size a worker lends, over and over.
struct Arena {
    bytes: Box<[u8]>,
    used: usize,
    packets: u64,
}

impl Arena {
    fn new() -> Self {
        Self {
            bytes: vec![0; 1 << 20].into(),
            used: 0,
            packets: 0,
        }
    }
}

impl Output for Arena {
    fn reserve(&mut self, len: usize) -> Option<&mut [u8]> {
        self.bytes.get_mut(self.used..self.used + len)
    }

    fn commit(&mut self, _flow: u32, _path: &Path, len: usize) {
        self.used += len;
        self.packets += 1;
    }
}

fn path(number: u16) -> Path {
    Path {
        socket: SocketId(0),
        local: IpAddr::V4(Ipv4Addr::LOCALHOST),
        remote: SocketAddr::from((Ipv4Addr::new(192, 0, 2, 1), 1000 + number)),
    }
}

fn keys(number: u16) -> Keys {
    let mut local = Master::default();
    local.key[0] = number as u8;
    local.key[1] = (number >> 8) as u8;
    let mut remote = Master::default();
    remote.key[2] = number as u8;
    Keys {
        profile: Profile::AeadAes128Gcm,
        local,
        remote,
    }
}

/// A publisher's frames on their way to `subscribers`.
pub(crate) struct FanOut {
    forwarder: Forwarder,
    outbound: Outbound,
    now: Instant,
    index: u64,
    timestamp: u32,
    burst: usize,
    payload: Vec<u8>,
    memory: Vec<u8>,
    ranges: Vec<core::ops::Range<usize>>,
    arena: Arena,
}

impl FanOut {
    pub(crate) fn make(codec: Codec, burst: usize, payload: usize, subscribers: u16) -> Self {
        let mut forwarder = Forwarder::new(
            Config {
                capacity: Capacity {
                    sessions: 1024,
                    tracks: 16,
                    subscriptions: 1024,
                    cache: 16 << 20,
                },
                mtu: 1200,
                max_bitrate: 10_000_000,
                start_bitrate: 300_000,
            },
            Seeds {
                tables: 1,
                random: 2,
            },
        );
        let now = Instant::from_nanos(1_000_000_000);
        let mut arena = Arena::new();
        let clock = at(now);
        let mut apply = |change| {
            let applied = forwarder.apply(clock, change, &mut arena);
            assert!(applied.is_ok());
        };
        for number in 0..=subscribers {
            apply(Change::SetSession(SessionConfig {
                key: SessionKey(u64::from(number)),
                transport: Transport::Keyed(Keyed {
                    path: path(number),
                    keys: keys(number),
                }),
                extensions: Extensions {
                    mid: Some(4),
                    abs_send_time: Some(2),
                    transport_cc: Some(3),
                    audio_level: Some(1),
                    ..Extensions::default()
                },
                cname: "bench".into(),
                transport_cc: true,
            }));
        }
        let audio = codec == Codec::Opus;
        let mid = Mid::new(b"1").unwrap_or_default();
        apply(Change::SetTrack(TrackConfig {
            key: TrackKey(1),
            session: SessionKey(0),
            mid,
            kind: if audio {
                TrackKind::Audio
            } else {
                TrackKind::Video
            },
            codecs: Box::new([PublishedCodec {
                payload_type: 96,
                codec,
                clock_rate: if audio { 48_000 } else { 90_000 },
                rtx: None,
            }]),
            encodings: Box::new([EncodingConfig {
                rid: None,
                ssrc: Some(Ssrc(7)),
                rtx_ssrc: None,
            }]),
            nack: !audio,
            fir: false,
            muted: false,
        }));
        for number in 1..=subscribers {
            apply(Change::SetSubscription(SubscriptionConfig {
                key: SubscriptionKey(u64::from(number)),
                track: TrackKey(1),
                session: SessionKey(u64::from(number)),
                mid,
                payload_types: Box::new([PayloadMap {
                    from: 96,
                    to: 100,
                    rtx: Some(101),
                }]),
                mode: Mode::Select {
                    ssrc: Ssrc(11),
                    rtx_ssrc: Some(Ssrc(12)),
                },
                cap: LayerCap {
                    spatial: 3,
                    temporal: 3,
                },
                paused: false,
                priority: 1,
            }));
        }
        // What the publisher's keys are to us, seen from its side.
        let ours = keys(0);
        let outbound = Outbound::new(&Keys {
            profile: ours.profile,
            local: ours.remote.clone(),
            remote: ours.local.clone(),
        });
        Self {
            forwarder,
            outbound,
            now,
            index: 100,
            timestamp: 0,
            burst,
            payload: match codec {
                Codec::Vp8 => vp8(payload),
                _ => vec![0x5a; payload],
            },
            memory: Vec::new(),
            ranges: Vec::new(),
            arena,
        }
    }
}

/// A VP8 payload whose first packet begins a keyframe.
fn vp8(len: usize) -> Vec<u8> {
    let mut payload = vec![0x90, 0xf0, 0x80, 0x01, 9, 0x01, 0, 0, 0, 0x9d, 0x01, 0x2a];
    payload.resize(len, 0x77);
    payload
}

fn at(instant: Instant) -> Now {
    Now {
        instant,
        unix: UnixSeconds(1),
    }
}

impl Case for FanOut {
    fn prepare(&mut self) {
        self.now = self.now + Duration::from_millis(33);
        self.timestamp = self.timestamp.wrapping_add(3_000);
        self.memory.clear();
        self.ranges.clear();
        for packet in 0..self.burst {
            self.index += 1;
            let start = self.memory.len() + 64;
            self.memory.resize(start, 0);
            let marker = packet + 1 == self.burst;
            self.memory
                .extend_from_slice(&[0x80, u8::from(marker) << 7 | 96]);
            self.memory
                .extend_from_slice(&(self.index as u16).to_be_bytes());
            self.memory.extend_from_slice(&self.timestamp.to_be_bytes());
            self.memory.extend_from_slice(&7_u32.to_be_bytes());
            // The last packets of a frame are a byte shorter.
            let len = self.payload.len() - usize::from(packet * 2 >= self.burst && self.burst > 1);
            let from = self.memory.len();
            self.memory.extend_from_slice(&self.payload[..len]);
            if packet > 0 && self.payload[0] == 0x90 {
                self.memory[from] = 0x80;
            }
            let plain = self.memory.len() - start;
            self.memory.resize(self.memory.len() + 16, 0);
            let sealed =
                self.outbound
                    .protect_rtp(&mut self.memory[start..], 12, plain, self.index);
            self.ranges.push(start..start + sealed.unwrap_or(0));
        }
    }

    fn run(&mut self) -> u64 {
        let now = at(self.now);
        let before = self.arena.packets;
        for range in &self.ranges {
            self.forwarder.receive(
                now,
                &path(0),
                &mut self.memory,
                range.clone(),
                &mut self.arena,
            );
        }
        loop {
            self.arena.used = 0;
            let progress = self.forwarder.forward(now, &self.memory, &mut self.arena);
            if progress == Progress::Done {
                break;
            }
        }
        while self.forwarder.next_command().is_some() {}
        self.arena.packets - before
    }
}
