//! A shard that forwards: what does not fit one batch follows in the next.

mod host;

use std::collections::BTreeMap;
use std::net::SocketAddr;

use forebay_engine::{
    MediaConfig, Progress, RxBatch, RxSlot, Shard, ShardConfig, TrafficClass, TxBatch,
};
use forebay_media::srtp::{Inbound, Keys, Master, Outbound, Profile};
use forebay_media::{
    Capacity, Change, Codec, EncodingConfig, Extensions, Keyed, LayerCap, Mid, Mode, Path,
    PayloadMap, PublishedCodec, SessionConfig, SessionKey, Ssrc, SubscriptionConfig,
    SubscriptionKey, TrackConfig, TrackKey, TrackKind, Transport,
};
use forebay_wire::clock::{Instant, Now, UnixSeconds};

/// Behind the two listeners.
const SOCKET: u32 = 2;
const SUBSCRIBERS: u64 = 20;
const PACKETS: u64 = 8;
const PAYLOAD: usize = 1000;

fn remote(session: u64) -> SocketAddr {
    SocketAddr::new(
        "198.51.100.7".parse().expect("an address"),
        4000 + session as u16,
    )
}

fn local() -> std::net::IpAddr {
    "192.0.2.1".parse().expect("an address")
}

fn master(byte: u8) -> Master {
    let mut master = Master::default();
    master.key[..16].fill(byte);
    master.salt[..12].fill(byte);
    master
}

fn keys(session: u64) -> Keys {
    Keys {
        profile: Profile::AeadAes128Gcm,
        local: master(session as u8),
        remote: master(100 + session as u8),
    }
}

/// The same as the other end sees them.
fn theirs(session: u64) -> Keys {
    let Keys {
        profile,
        local,
        remote,
    } = keys(session);
    Keys {
        profile,
        local: remote,
        remote: local,
    }
}

fn shard() -> Shard {
    let media = MediaConfig {
        sockets: 1,
        streams: 0,
        forwarder: forebay_media::Config {
            capacity: Capacity {
                sessions: 32,
                tracks: 4,
                subscriptions: 64,
                cache: 1 << 20,
            },
            mtu: 1200,
            max_bitrate: 50_000_000,
            start_bitrate: 1_000_000,
        },
        seeds: forebay_media::Seeds {
            tables: 1,
            random: 2,
        },
    };
    let config = ShardConfig {
        media: Some(media),
        ..host::config()
    };
    let seeds = forebay_turn::Seeds {
        nonce_key: [7; 16],
        hash_key: 8,
        random: 9,
    };
    Shard::new(config, seeds)
}

fn room(shard: &mut Shard, now: Now, tx: &mut TxBatch) {
    let mid = Mid::new(b"0").expect("a mid");
    let mut changes = Vec::new();
    for session in 0..=SUBSCRIBERS {
        changes.push(Change::SetSession(SessionConfig {
            key: SessionKey(session),
            transport: Transport::Keyed(Keyed {
                path: Path {
                    socket: forebay_media::SocketId(SOCKET),
                    local: local(),
                    remote: remote(session),
                },
                keys: keys(session),
            }),
            extensions: Extensions::default(),
            cname: "room".into(),
            transport_cc: false,
        }));
    }
    changes.push(Change::SetTrack(TrackConfig {
        key: TrackKey(1),
        session: SessionKey(0),
        mid,
        kind: TrackKind::Audio,
        codecs: Box::new([PublishedCodec {
            payload_type: 111,
            codec: Codec::Opus,
            clock_rate: 48_000,
            rtx: None,
        }]),
        encodings: Box::new([EncodingConfig {
            rid: None,
            ssrc: Some(Ssrc(7)),
            rtx_ssrc: None,
        }]),
        nack: false,
        fir: false,
        muted: false,
    }));
    for session in 1..=SUBSCRIBERS {
        changes.push(Change::SetSubscription(SubscriptionConfig {
            key: SubscriptionKey(session),
            track: TrackKey(1),
            session: SessionKey(session),
            mid,
            payload_types: Box::new([PayloadMap {
                from: 111,
                to: 111,
                rtx: None,
            }]),
            mode: Mode::Select {
                ssrc: Ssrc(50),
                rtx_ssrc: None,
            },
            cap: LayerCap {
                spatial: 3,
                temporal: 3,
            },
            paused: false,
            priority: 1,
        }));
    }
    for change in changes {
        assert_eq!(shard.apply(now, change, tx), Ok(()));
    }
}

/// The publisher's packets as one merged slot.
fn packets(memory: &mut [u8]) -> RxSlot {
    let outbound = Outbound::new(&theirs(0));
    let start = RxBatch::HEADROOM;
    let mut at = start;
    for number in 0..PACKETS {
        let packet = &mut memory[at..];
        packet[..12].fill(0);
        packet[..2].copy_from_slice(&[0x80, 111]);
        packet[2..4].copy_from_slice(&(number as u16).to_be_bytes());
        packet[4..8].copy_from_slice(&(number as u32 * 960).to_be_bytes());
        packet[11] = 7;
        packet[12..12 + PAYLOAD].fill(number as u8);
        at += outbound
            .protect_rtp(packet, 12, 12 + PAYLOAD, number)
            .expect("sealed");
    }
    RxSlot {
        socket: forebay_turn::SocketId(SOCKET),
        source: remote(0),
        local: local(),
        start: start as u32,
        len: (at - start) as u32,
        segment: (12 + PAYLOAD + 16) as u16,
        headroom: RxBatch::HEADROOM as u16,
        class: TrafficClass(0),
    }
}

#[test]
fn a_fan_out_larger_than_the_batch_goes_on_in_the_next() {
    for (written, batches) in [(1 << 20, 1..=1), (40_000, 4..=8), (1_500, 160..=170)] {
        let mut shard = shard();
        let now = Now {
            instant: Instant::from_nanos(1_000_000_000),
            unix: UnixSeconds(1),
        };
        let mut tx = TxBatch::with_capacity(256, 256, written);
        room(&mut shard, now, &mut tx);
        let mut memory = vec![0; 1 << 16];
        let slot = packets(&mut memory);
        let mut inbound: BTreeMap<SocketAddr, (u64, Inbound)> = (1..=SUBSCRIBERS)
            .map(|session| (remote(session), (0, Inbound::new(&theirs(session)))))
            .collect();
        let mut rx = RxBatch {
            memory: &mut memory,
            slots: &[slot],
        };
        let mut progress = shard.handle(now, &mut rx, &mut tx);
        let mut count = 1;
        loop {
            assert_eq!(tx.check(1 << 16), Ok(()));
            for transmit in &tx.transmits {
                let whole: Vec<u8> = tx
                    .pieces_of(transmit)
                    .flat_map(|piece| &tx.headers[piece.start as usize..][..piece.len as usize])
                    .copied()
                    .collect();
                let segment = transmit.segment.map_or(whole.len(), usize::from);
                let (heard, inbound) = inbound.get_mut(&transmit.destination).expect("known");
                for packet in whole.chunks(segment) {
                    let mut packet = packet.to_vec();
                    let (len, _) = inbound
                        .unprotect_rtp(now.instant, &mut packet, 12)
                        .expect("authentic");
                    assert_eq!(packet[12..len], [*heard as u8; PAYLOAD]);
                    *heard += 1;
                }
            }
            if progress == Progress::Done {
                break;
            }
            progress = shard.resume(now, &memory, &mut tx);
            count += 1;
            assert!(count < 1000, "it never ends");
        }
        assert!(inbound.values().all(|(heard, _)| *heard == PACKETS));
        assert!(batches.contains(&count), "{count} batches of {written}");
        let counters = shard.media_counters().expect("it forwards");
        assert_eq!(counters.forwarded_packets, SUBSCRIBERS * PACKETS);
        assert_eq!(counters.dropped.iter().sum::<u64>(), 0);
        if count == 1 {
            // A frame to a subscriber is one send.
            assert_eq!(shard.counters().media_transmits, SUBSCRIBERS);
        }
        assert_eq!(shard.check(), Ok(()));
    }
}
