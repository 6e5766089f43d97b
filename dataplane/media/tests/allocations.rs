//! Memory is taken at construction and when the owner changes something:
//! media, feedback, checks and timers take none.
#![allow(clippy::unwrap_used)]

mod support;

use core::time::Duration;
use std::alloc::System;

use forebay_media::{Change, Command, Progress};
use forebay_wire::rtcp::{NtpTime, Writer};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

use support::describe::{Media, VP8, VP8_RTX, audio, subscription, video, vp8};
use support::sink::Drain;
use support::{Rig, path};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const SUBSCRIBERS: u16 = 8;
const LAYERS: [&str; 3] = ["q", "h", "f"];

/// Datagrams of 20 ms: sound, three layers with a loss now and then and its
/// retransmission, a sender report and a check.
fn burst(rig: &mut Rig, at: usize, round: u16) -> Vec<Vec<u8>> {
    let browser = &mut rig.browsers[at];
    let mut datagrams = Vec::new();
    let sound = Media::new(1, 111, &[9; 100])
        .at(round, u32::from(round) * 960)
        .named("0", "")
        .with(1, &[0x80 | 30])
        .with(3, &round.to_be_bytes());
    datagrams.push(browser.seal_rtp(&sound.build()));
    for (layer, rid) in LAYERS.iter().enumerate() {
        let ssrc = 10 + layer as u32;
        for piece in 0..4 {
            let sequence = round * 4 + piece;
            let frame = vp8(
                round.is_multiple_of(50),
                piece == 0,
                round,
                round as u8,
                0,
                1000,
            );
            let media = Media::new(ssrc, VP8, &frame)
                .at(sequence, u32::from(round) * 1800)
                .marked(piece == 3)
                .named("1", rid);
            let sealed = browser.seal_rtp(&media.build());
            if sequence % 31 != 7 {
                datagrams.push(sealed);
            }
            if sequence % 31 == 15 {
                let mut payload = (sequence - 8).to_be_bytes().to_vec();
                payload.extend_from_slice(&frame);
                let repair = Media::new(20 + layer as u32, VP8_RTX, &payload)
                    .at(round, u32::from(round - 2) * 1800)
                    .named("1", "")
                    .with(11, rid.as_bytes());
                datagrams.push(browser.seal_rtp(&repair.build()));
            }
        }
    }
    let mut buffer = [0; 128];
    let mut writer = Writer::new(&mut buffer);
    let ntp = NtpTime(u64::from(round) << 32);
    writer
        .sender_report(
            10,
            ntp,
            u32::from(round) * 1800,
            1,
            1,
            &mut core::iter::empty(),
        )
        .unwrap();
    let compound = writer.as_bytes().to_vec();
    datagrams.push(browser.seal_rtcp(&compound));
    datagrams.push(browser.check(true));
    datagrams
}

/// One test only: the counters are the process's.
#[test]
fn a_steady_room_allocates_nothing() {
    let mut rig = Rig::default();
    let publisher = rig.join(1);
    let session = rig.browsers[publisher].key;
    let tracks = [audio(10, session, "0"), video(11, session, "1", &LAYERS)];
    for track in &tracks {
        rig.apply(Change::SetTrack(track.clone()));
    }
    for n in 0..SUBSCRIBERS {
        let at = rig.join(2 + n);
        let session = rig.browsers[at].key;
        for (place, track) in tracks.iter().enumerate() {
            let key = u64::from(n) * 2 + place as u64;
            rig.apply(Change::SetSubscription(subscription(key, track, session)));
        }
    }
    let from = path(rig.browsers[publisher].address);
    let mut memory = vec![0; 1 << 17];
    let mut drain = Drain::default();
    let mut timers: Vec<_> = Vec::with_capacity(1024);
    let mut allocations = 0;
    // A second in which everything is heard for the first time.
    let warm = 60;
    for round in 0..500 {
        let datagrams = burst(&mut rig, publisher, round);
        let now = rig.now;
        let region = Region::new(ALLOCATOR);
        let mut end = 0;
        for datagram in &datagrams {
            let start = end + 64;
            end = start + datagram.len();
            memory[start..end].copy_from_slice(datagram);
            rig.forwarder
                .receive(now, &from, &mut memory, start..end, &mut drain);
        }
        let progress = rig.forwarder.forward(now, &memory, &mut drain);
        assert_eq!(progress, Progress::Done);
        while let Some(command) = rig.forwarder.next_command() {
            if let Command::Arm { token, at } = command {
                timers.push((token, at));
            }
        }
        while let Some(due) = timers.iter().position(|(_, at)| *at <= now.instant) {
            let (token, _) = timers.swap_remove(due);
            rig.forwarder.on_timer(now, token, &mut drain);
        }
        rig.forwarder.report(now, &mut |_| {});
        let change = region.change();
        if round >= warm {
            allocations += change.allocations + change.reallocations;
        }
        rig.now.instant = rig.now.instant + Duration::from_millis(20);
    }
    assert_eq!(allocations, 0);
    let counters = rig.forwarder.counters();
    assert!(counters.received_packets > 500 * 12);
    assert!(counters.forwarded_packets > counters.received_packets);
    assert!(counters.nacked_packets > 0);
    assert!(counters.rtcp_sent > 100);
    assert_eq!(counters.dropped, [0; 10]);
}
