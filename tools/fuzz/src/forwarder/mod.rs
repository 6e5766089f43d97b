//! A room on a forwarder, driven by a script: each step is an operation, a
//! length and that many bytes. Packets are sealed with the right keys, so
//! that every parser behind the decryption is reached. What subscribers get
//! must decrypt, which also proves that no index is ever used twice.

mod room;

use core::time::Duration;

use forebay_media::{Change, SubscriptionKey, TrackKey};

use room::{PUBLISHERS, Room, SUBSCRIBERS};

/// Enough to reach every state; more only takes time.
const MOST_STEPS: usize = 200;

pub(crate) fn run(script: &[u8]) {
    let mut room = Room::new();
    let mut rest = script;
    for _ in 0..MOST_STEPS {
        let Some((&[operation, len], after)) = rest.split_first_chunk::<2>() else {
            break;
        };
        let len = usize::from(len).min(after.len());
        let (bytes, after) = after.split_at(len);
        rest = after;
        step(&mut room, operation, bytes);
    }
    room.flush(usize::MAX);
    room.pass(Duration::from_secs(2));
    room.forwarder.report(room.now, &mut |_| {});
    let counters = room.forwarder.counters();
    assert!(counters.sessions <= 8 && counters.tracks <= 8);
}

fn step(room: &mut Room, operation: u8, bytes: &[u8]) {
    let who = usize::from(operation >> 4);
    let first = bytes.first().copied().unwrap_or(0);
    match operation & 0x0F {
        // Sealed by a publisher, as it is or with a long payload.
        0 => room.rtp(who % PUBLISHERS, bytes, 0),
        1 => room.rtp(who % PUBLISHERS, bytes, 1000),
        2 => room.rtcp(who % PUBLISHERS, bytes),
        3 => room.rtcp(PUBLISHERS + who % SUBSCRIBERS, bytes),
        4 => room.check(who, first & 1 != 0),
        5 => room.datagram(who, bytes),
        6 => room.flush(usize::from(first)),
        7 => room.pass(Duration::from_millis(u64::from(first) * 4)),
        8 => room.subscribe(who, bytes),
        9 if first & 0x80 != 0 => room.disconnect(who),
        9 => {
            let key = SubscriptionKey(u64::from(first % 16));
            room.apply(Change::RemoveSubscription(key));
        }
        10 => room.publish(who % PUBLISHERS, bytes),
        11 => room.apply(Change::RemoveTrack(TrackKey(u64::from(first % 8)))),
        12 => room.restart(who, first),
        13 => {
            // Whole frames of a proper stream, to get going.
            for _ in 0..(first % 8) {
                room.frame(who % PUBLISHERS, bytes);
            }
            room.flush(usize::MAX);
        }
        14 => room.feedback(PUBLISHERS + who % SUBSCRIBERS, bytes),
        _ => room.rejoin(who),
    }
}
