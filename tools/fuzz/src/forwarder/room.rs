//! The room: two publishers, three subscribers, one of them a relay.

use core::net::{IpAddr, Ipv4Addr, SocketAddr};
use core::time::Duration;
use std::collections::{BTreeSet, HashMap};

use forebay_media::srtp::{Inbound, Keys, Master, Outbound, Profile};
use forebay_media::{
    Capacity, Change, Codec, Command, Config, EncodingConfig, Extensions, Forwarder,
    IceCredentials, Keyed, LayerCap, Mid, Mode, Output, Path, PayloadMap, Progress, PublishedCodec,
    RelayedEncoding, Rid, Seeds, SessionConfig, SessionKey, SocketId, Ssrc, SubscriptionConfig,
    SubscriptionKey, TrackConfig, TrackKey, TrackKind, Transport,
};
use forebay_wire::Protocol;
use forebay_wire::clock::{Instant, Now, UnixSeconds};
use forebay_wire::rtcp::Writer;
use forebay_wire::rtp::{self, HeaderWriter};
use forebay_wire::stun::{AttributeType, Builder, Class, Method, TransactionId};

pub(crate) const PUBLISHERS: usize = 2;
pub(crate) const SUBSCRIBERS: usize = 3;
const PEERS: usize = PUBLISHERS + SUBSCRIBERS;
/// The last one is a relay link.
const RELAY: usize = PEERS - 1;
const MEMORY: usize = 1 << 18;

const CODECS: [(u8, Codec); 6] = [
    (96, Codec::Vp8),
    (98, Codec::Vp9),
    (102, Codec::H264),
    (45, Codec::Av1),
    (111, Codec::Opus),
    (120, Codec::Other),
];

struct Peer {
    outbound: Outbound,
    inbound: Inbound,
    indices: HashMap<u32, u64>,
    generation: u8,
    sequence: u16,
    /// Transport-wide numbers it received.
    heard: Vec<(u16, Instant)>,
    /// Source and sequence number of what it received last.
    last: (u32, u16),
}

pub(crate) struct Room {
    pub(crate) forwarder: Forwarder,
    pub(crate) now: Now,
    peers: Vec<Peer>,
    sink: Sink,
    timers: BTreeSet<(Instant, u64)>,
    memory: Vec<u8>,
    used: usize,
    checks: u64,
    /// Rises whenever a subscription may have ended: its SSRCs are used up.
    era: u32,
}

#[derive(Default)]
struct Sink {
    buffer: Vec<u8>,
    sent: Vec<(SocketAddr, Vec<u8>)>,
    room: usize,
}

impl Output for Sink {
    fn reserve(&mut self, len: usize) -> Option<&mut [u8]> {
        assert!(len <= 1500);
        if self.sent.len() >= self.room {
            return None;
        }
        self.buffer.clear();
        self.buffer.resize(len, 0);
        Some(&mut self.buffer)
    }

    fn commit(&mut self, flow: u32, path: &Path, len: usize) {
        assert!(flow < 8);
        self.sent.push((path.remote, self.buffer[..len].to_vec()));
    }
}

fn keys(peer: usize, ours: bool) -> Keys {
    let master = |seed: u8| {
        let mut master = Master::default();
        master.key[..16].fill(seed);
        master.salt[..12].fill(seed);
        master
    };
    let (theirs, mine) = (master(peer as u8), master(peer as u8 | 0x80));
    let (local, remote) = if ours { (mine, theirs) } else { (theirs, mine) };
    Keys {
        profile: Profile::AeadAes128Gcm,
        local,
        remote,
    }
}

fn address(peer: usize) -> SocketAddr {
    SocketAddr::new(IpAddr::V4(Ipv4Addr::new(198, 51, 100, peer as u8)), 4000)
}

fn path(remote: SocketAddr) -> Path {
    Path {
        socket: SocketId(0),
        local: IpAddr::V4(Ipv4Addr::LOCALHOST),
        remote,
    }
}

fn credentials(peer: usize, generation: u8) -> IceCredentials {
    IceCredentials {
        ufrag: format!("frag{peer}g{generation}").into(),
        password: format!("passwordpasswordpass{peer}g{generation}").into(),
    }
}

fn extensions() -> Extensions {
    Extensions {
        mid: Some(4),
        rid: Some(10),
        repaired_rid: Some(11),
        audio_level: Some(1),
        abs_send_time: Some(2),
        transport_cc: Some(3),
        video_orientation: Some(13),
        dependency_descriptor: Some(8),
        playout_delay: Some(5),
        abs_capture_time: Some(9),
    }
}

impl Room {
    pub(crate) fn new() -> Self {
        let config = Config {
            capacity: Capacity {
                sessions: 8,
                tracks: 8,
                subscriptions: 16,
                cache: 1 << 16,
            },
            mtu: 1200,
            max_bitrate: 10_000_000,
            start_bitrate: 2_000_000,
        };
        let seeds = Seeds {
            tables: 1,
            random: 2,
        };
        let mut room = Self {
            forwarder: Forwarder::new(config, seeds),
            now: Now {
                instant: Instant::from_nanos(1 << 40),
                unix: UnixSeconds(1_700_000_000),
            },
            peers: Vec::new(),
            sink: Sink {
                room: usize::MAX,
                ..Sink::default()
            },
            timers: BTreeSet::new(),
            memory: vec![0; MEMORY],
            used: 0,
            checks: 0,
            era: 0,
        };
        for peer in 0..PEERS {
            room.peers.push(fresh(peer, 0));
            room.enter(peer);
        }
        for publisher in 0..PUBLISHERS {
            room.publish(publisher, &[publisher as u8 * 2, 0, 0]);
            room.publish(publisher, &[publisher as u8 * 2 + 1, 3, 2]);
        }
        for subscriber in 0..SUBSCRIBERS {
            for track in 0..4 {
                room.subscribe(subscriber, &[track * 4 + subscriber as u8, track]);
            }
        }
        room
    }

    fn config(&self, peer: usize) -> SessionConfig {
        let transport = if peer == RELAY {
            Transport::Keyed(Keyed {
                path: path(address(peer)),
                keys: keys(peer, true),
            })
        } else {
            Transport::Ice {
                local: credentials(peer, self.peers[peer].generation),
                remote_ufrag: None,
            }
        };
        SessionConfig {
            key: SessionKey(peer as u64),
            transport,
            extensions: extensions(),
            cname: "forebay".into(),
            transport_cc: true,
        }
    }

    fn enter(&mut self, peer: usize) {
        self.apply(Change::SetSession(self.config(peer)));
        if peer != RELAY {
            self.check(peer, true);
            self.apply(Change::SetKeys {
                session: SessionKey(peer as u64),
                keys: keys(peer, true),
            });
        }
    }

    /// A session ends, and begins again: with new keys in real life, so the
    /// peer forgets what it received.
    pub(crate) fn rejoin(&mut self, who: usize) {
        let peer = who % PEERS;
        self.apply(Change::RemoveSession(SessionKey(peer as u64)));
        let generation = self.peers[peer].generation.wrapping_add(1);
        self.peers[peer] = fresh(peer, generation);
        self.enter(peer);
    }

    /// The connection a peer came over is gone.
    pub(crate) fn disconnect(&mut self, who: usize) {
        let gone = path(address(who % PEERS));
        self.forwarder.disconnected(&gone);
        assert!(!self.forwarder.knows(&gone));
    }

    pub(crate) fn restart(&mut self, who: usize, first: u8) {
        let peer = who % RELAY;
        self.peers[peer].generation = first;
        self.apply(Change::SetSession(self.config(peer)));
    }

    pub(crate) fn apply(&mut self, change: Change) {
        if matches!(
            change,
            Change::RemoveSession(_) | Change::RemoveTrack(_) | Change::RemoveSubscription(_)
        ) {
            self.era += 1;
        }
        let _ = self.forwarder.apply(self.now, change, &mut self.sink);
        self.settle();
    }

    /// Key, codec and encodings come from the bytes.
    pub(crate) fn publish(&mut self, publisher: usize, bytes: &[u8]) {
        let byte = |at: usize| bytes.get(at).copied().unwrap_or(0);
        let sound = byte(1) == 0;
        let (payload_type, codec) = if sound {
            CODECS[4]
        } else {
            CODECS[usize::from(byte(1) - 1) % CODECS.len()]
        };
        let simulcast = byte(2) % 4;
        let encodings = (0..=simulcast).map(|layer| EncodingConfig {
            rid: (simulcast > 0).then(|| Rid::new(&[b'a' + layer])).flatten(),
            ssrc: (byte(3) & 1 != 0).then(|| Ssrc(u32::from(byte(0)) * 16 + u32::from(layer))),
            rtx_ssrc: None,
        });
        self.apply(Change::SetTrack(TrackConfig {
            key: TrackKey(u64::from(byte(0) % 8)),
            session: SessionKey(publisher as u64),
            mid: Mid::new(&[b'0' + byte(0) % 8]).expect("a byte"),
            kind: if sound {
                TrackKind::Audio
            } else {
                TrackKind::Video
            },
            codecs: Box::new([PublishedCodec {
                payload_type,
                codec,
                clock_rate: if sound { 48_000 } else { 90_000 },
                rtx: (!sound).then_some(payload_type + 1),
            }]),
            encodings: encodings.collect(),
            nack: !sound,
            fir: byte(3) & 4 != 0,
            muted: byte(3) & 2 != 0,
        }));
    }

    pub(crate) fn subscribe(&mut self, who: usize, bytes: &[u8]) {
        let byte = |at: usize| bytes.get(at).copied().unwrap_or(0);
        let subscriber = PUBLISHERS + who % SUBSCRIBERS;
        let key = u64::from(byte(0) % 16);
        let base = ((self.era + 1) << 12) | (key as u32 * 16);
        let mode = if subscriber == RELAY {
            let encoding = |layer: u32| RelayedEncoding {
                ssrc: Ssrc(base + layer * 2),
                rtx_ssrc: Ssrc(base + layer * 2 + 1),
                wanted: byte(2) >> layer & 1 == 0,
            };
            Mode::Relay((0..=u32::from(byte(3) % 4)).map(encoding).collect())
        } else {
            Mode::Select {
                ssrc: Ssrc(base),
                rtx_ssrc: (byte(2) & 1 == 0).then_some(Ssrc(base + 1)),
            }
        };
        let maps = CODECS.iter().map(|&(from, codec)| PayloadMap {
            from,
            to: from,
            rtx: (codec != Codec::Opus).then_some(from + 1),
        });
        self.apply(Change::SetSubscription(SubscriptionConfig {
            key: SubscriptionKey(key),
            track: TrackKey(u64::from(byte(1) % 8)),
            session: SessionKey(subscriber as u64),
            mid: Mid::new(&[b'a' + byte(0) % 16]).expect("a byte"),
            payload_types: maps.collect(),
            mode,
            cap: LayerCap {
                spatial: 3 - (byte(4) & 3),
                temporal: 3 - (byte(4) >> 2 & 3),
            },
            paused: byte(4) & 16 != 0,
            priority: byte(5),
        }));
    }

    pub(crate) fn check(&mut self, who: usize, nominate: bool) {
        let peer = who % RELAY;
        let ice = credentials(peer, self.peers[peer].generation);
        self.checks += 1;
        let mut id = [0; 12];
        id[..8].copy_from_slice(&self.checks.to_be_bytes());
        let mut buffer = [0; 256];
        let mut message = Builder::new(
            &mut buffer,
            Class::Request,
            Method::BINDING,
            TransactionId(id),
        )
        .expect("room");
        let username = format!("{}:peer", ice.ufrag);
        message
            .push(AttributeType::USERNAME, username.as_bytes())
            .expect("room");
        if nominate {
            message
                .push_empty(AttributeType::USE_CANDIDATE)
                .expect("room");
        }
        let mac = mac(ice.password.as_bytes(), &message.integrity_input());
        message.push_integrity(&mac).expect("room");
        message.push_fingerprint().expect("room");
        let len = message.len();
        self.receive(address(peer), &buffer[..len]);
        self.flush(usize::MAX);
    }

    /// Anything, from anywhere.
    pub(crate) fn datagram(&mut self, who: usize, bytes: &[u8]) {
        self.receive(address(who), bytes);
    }

    /// Seals a packet whose header is as it comes; its payload may be longer.
    pub(crate) fn rtp(&mut self, peer: usize, bytes: &[u8], filler: usize) {
        let mut packet = bytes.to_vec();
        packet.resize(packet.len() + filler, 0x11);
        let Ok(view) = rtp::Packet::parse_protected(&packet) else {
            return;
        };
        let (ssrc, low, header) = (view.ssrc(), view.sequence(), view.header_len());
        let sender = &mut self.peers[peer];
        let last = sender.indices.entry(ssrc).or_insert(u64::from(low));
        let ahead = i64::from(low.wrapping_sub(*last as u16) as i16);
        let Some(index) = last.checked_add_signed(ahead) else {
            return;
        };
        *last = index.max(*last);
        let len = packet.len();
        packet.resize(len + Outbound::RTP_OVERHEAD, 0);
        let Ok(len) = sender.outbound.protect_rtp(&mut packet, header, len, index) else {
            return;
        };
        self.receive(address(peer), &packet[..len]);
    }

    pub(crate) fn rtcp(&mut self, peer: usize, bytes: &[u8]) {
        let mut packet = bytes.to_vec();
        packet.resize(bytes.len() + Outbound::RTCP_OVERHEAD, 0);
        let sealed = self.peers[peer]
            .outbound
            .protect_rtcp(&mut packet, bytes.len());
        if let Ok(len) = sealed {
            self.receive(address(peer), &packet[..len]);
        }
    }

    /// A frame of two packets in three layers; the bytes are their payload.
    pub(crate) fn frame(&mut self, peer: usize, bytes: &[u8]) {
        let sequence = self.peers[peer].sequence;
        self.peers[peer].sequence = sequence.wrapping_add(1);
        for layer in 0..3_u8 {
            let mid = [b'1' + peer as u8 * 2];
            let rid = [b'a' + layer];
            let number = sequence.to_be_bytes();
            let extensions: [(u8, &[u8]); 3] = [(4, &mid), (10, &rid), (3, &number)];
            let mut packet = [0; 64];
            let header = HeaderWriter {
                marker: true,
                padding: false,
                payload_type: 102,
                sequence,
                timestamp: u32::from(sequence) * 3000,
                ssrc: 0x100 + u32::from(layer),
            };
            let len = header.write(&mut packet, &extensions).expect("room");
            let mut packet = packet[..len].to_vec();
            packet.extend_from_slice(bytes.get(1..).unwrap_or_default());
            self.rtp(peer, &packet, 0);
        }
        self.pass(Duration::from_millis(20));
    }

    /// A subscriber acknowledges what it received, but for what the bytes say,
    /// and wants some of it again.
    pub(crate) fn feedback(&mut self, peer: usize, bytes: &[u8]) {
        let mut heard = core::mem::take(&mut self.peers[peer].heard);
        let mut at = 0;
        heard.retain(|_| {
            at += 1;
            let byte = bytes.get(at / 8 % bytes.len().max(1)).copied();
            byte.unwrap_or(0) >> (at % 8) & 1 == 0
        });
        let mut buffer = [0; 1200];
        let mut writer = Writer::new(&mut buffer);
        let _ = writer.transport_cc(1, 0x1000, at as u8, heard.into_iter());
        let (media, last) = self.peers[peer].last;
        let back = u16::from(bytes.first().copied().unwrap_or(0) % 64);
        let first = last.wrapping_sub(back);
        let _ = writer.nack(1, media, (0..=back).map(|n| first.wrapping_add(n)));
        let compound = writer.as_bytes().to_vec();
        self.rtcp(peer, &compound);
    }

    fn receive(&mut self, from: SocketAddr, datagram: &[u8]) {
        if self.used + 64 + datagram.len() > MEMORY {
            self.flush(usize::MAX);
        }
        let start = self.used + 64;
        let end = start + datagram.len();
        self.memory[start..end].copy_from_slice(datagram);
        self.used = end;
        self.forwarder.receive(
            self.now,
            &path(from),
            &mut self.memory,
            start..end,
            &mut self.sink,
        );
        self.settle();
    }

    /// Ends the batch, each transmit batch having this much room.
    pub(crate) fn flush(&mut self, room: usize) {
        self.sink.room = room.max(1);
        let mut progress = Progress::More;
        for _ in 0..100_000 {
            progress = self
                .forwarder
                .forward(self.now, &self.memory, &mut self.sink);
            self.settle();
            if progress == Progress::Done {
                break;
            }
        }
        assert_eq!(progress, Progress::Done, "a batch never ends");
        self.used = 0;
        self.sink.room = usize::MAX;
    }

    pub(crate) fn pass(&mut self, time: Duration) {
        // Sessions end by the clock too.
        self.era += 1;
        self.flush(usize::MAX);
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
    }

    fn settle(&mut self) {
        while let Some(command) = self.forwarder.next_command() {
            if let Command::Arm { token, at } = command {
                assert!(self.timers.iter().all(|(_, armed)| *armed != token));
                self.timers.insert((at, token));
                assert!(self.timers.len() <= self.forwarder.timers());
            }
        }
        for (to, mut datagram) in core::mem::take(&mut self.sink.sent) {
            let Some(peer) = (0..PEERS).find(|peer| address(*peer) == to) else {
                continue;
            };
            let now = self.now.instant;
            let peer = &mut self.peers[peer];
            match Protocol::of(&datagram) {
                Protocol::Rtp => {
                    let view = rtp::Packet::parse_protected(&datagram).expect("a whole header");
                    let header = view.header_len();
                    peer.last = (view.ssrc(), view.sequence());
                    let number = view.extension(3).and_then(|e| e.transport_sequence());
                    if let Some(number) = number {
                        peer.heard.push((number, now));
                    }
                    let opened = peer.inbound.unprotect_rtp(now, &mut datagram, header);
                    let (len, _) = opened.expect("an index of its own");
                    rtp::Packet::parse(&datagram[..len]).expect("a whole packet");
                }
                Protocol::Rtcp => {
                    peer.inbound
                        .unprotect_rtcp(now, &mut datagram)
                        .expect("an index of its own");
                }
                _ => {}
            }
        }
    }
}

fn fresh(peer: usize, generation: u8) -> Peer {
    let keys = keys(peer, false);
    Peer {
        outbound: Outbound::new(&keys),
        inbound: Inbound::new(&keys),
        indices: HashMap::new(),
        generation,
        sequence: 0,
        heard: Vec::new(),
        last: (0, 0),
    }
}

fn mac(password: &[u8], input: &forebay_wire::stun::IntegrityInput<'_>) -> [u8; 20] {
    use hmac::{Hmac, KeyInit, Mac};
    let mut mac = Hmac::<sha1::Sha1>::new_from_slice(password).expect("any length");
    mac.update(&input.header);
    mac.update(input.body);
    mac.finalize().into_bytes().into()
}
