//! What its owner changes while packets come.

use core::time::Duration;

use forebay_media::{
    Change, DropReason, Event, Keyed, Progress, SessionConfig, SessionKey, Transport,
};

use crate::support::browser::Browser;
use crate::support::describe::{Media, VP8, audio, extensions, subscription, video, vp8};
use crate::support::{Rig, client, path};

fn dropped(rig: &Rig, why: DropReason) -> u64 {
    rig.forwarder.counters().dropped[why as usize]
}

/// A speaker and `listeners` that hear it; their indices.
fn call(rig: &mut Rig, listeners: u16) -> (usize, Vec<usize>) {
    let speaker = rig.join(1);
    let track = audio(10, rig.browsers[speaker].key, "0");
    rig.apply(Change::SetTrack(track.clone()));
    let listeners = (0..listeners).map(|n| {
        let at = rig.join(2 + n);
        let session = rig.browsers[at].key;
        let subscription = subscription(u64::from(n), &track, session);
        rig.apply(Change::SetSubscription(subscription));
        at
    });
    let listeners = listeners.collect();
    (speaker, listeners)
}

fn speak(rig: &mut Rig, at: usize, sequence: u16) {
    let media = Media::new(7, 111, &[3; 60]).at(sequence, u32::from(sequence) * 960);
    rig.rtp(at, &media.named("0", "").build());
}

fn heard(rig: &Rig, at: usize) -> usize {
    rig.browsers[at].rtp.len()
}

#[test]
fn a_small_batch_changes_nothing_but_the_number_of_calls() {
    let mut rig = Rig::default();
    let (speaker, listeners) = call(&mut rig, 5);
    for sequence in 0..7 {
        speak(&mut rig, speaker, sequence);
    }
    rig.sink.room = 2;
    rig.flush();
    for at in &listeners {
        let sequences: Vec<u16> = rig.browsers[*at]
            .rtp
            .iter()
            .map(|(_, packet)| u16::from_be_bytes([packet[2], packet[3]]))
            .collect();
        assert_eq!(sequences.len(), 7);
        for pair in sequences.windows(2) {
            assert_eq!(pair[1], pair[0].wrapping_add(1));
        }
    }
}

#[test]
fn a_muted_track_is_received_and_not_forwarded() {
    let mut rig = Rig::default();
    let (speaker, listeners) = call(&mut rig, 1);
    let mut track = audio(10, rig.browsers[speaker].key, "0");
    track.muted = true;
    rig.apply(Change::SetTrack(track.clone()));
    speak(&mut rig, speaker, 1);
    rig.flush();
    assert_eq!(heard(&rig, listeners[0]), 0);
    assert_eq!(rig.forwarder.counters().received_packets, 1);
    track.muted = false;
    rig.apply(Change::SetTrack(track));
    speak(&mut rig, speaker, 2);
    rig.flush();
    assert_eq!(heard(&rig, listeners[0]), 1);
}

#[test]
fn a_track_that_ends_in_the_middle_of_a_batch_takes_only_its_own_packets() {
    let mut rig = Rig::default();
    let (speaker, listeners) = call(&mut rig, 1);
    let session = rig.browsers[speaker].key;
    let film = video(11, session, "1", &[]);
    rig.apply(Change::SetTrack(film.clone()));
    let picture = vp8(true, true, 1, 1, 0, 200);
    for sequence in 0..3 {
        speak(&mut rig, speaker, sequence);
        let media = Media::new(8, VP8, &picture).at(sequence, 0);
        rig.rtp(speaker, &media.named("1", "").build());
    }
    assert_eq!(rig.forwarder.counters().subscriptions, 1);
    rig.apply(Change::RemoveTrack(film.key));
    rig.apply(Change::SetTrack(video(12, session, "2", &[])));
    rig.flush();
    assert_eq!(heard(&rig, listeners[0]), 3);
    // Even while a batch is being sent, which its owner should not do.
    for sequence in 3..9 {
        speak(&mut rig, speaker, sequence);
    }
    rig.sink.room = 1;
    let memory = vec![0; 1 << 16];
    let progress = rig.forwarder.forward(rig.now, &memory, &mut rig.sink);
    assert_eq!(progress, Progress::More);
    rig.sink.room = usize::MAX;
    rig.apply(Change::RemoveSession(session));
    rig.flush();
    assert_eq!(rig.forwarder.counters().tracks, 0);
    assert_eq!(rig.forwarder.counters().subscriptions, 0);
}

#[test]
fn the_same_keys_again_change_nothing() {
    let mut rig = Rig::default();
    let (speaker, listeners) = call(&mut rig, 1);
    for sequence in 0..20 {
        let keys = rig.browsers[listeners[0]].server_keys();
        let session = rig.browsers[listeners[0]].key;
        // Were they new, an index would come twice, and be refused.
        rig.apply(Change::SetKeys { session, keys });
        let keys = rig.browsers[speaker].server_keys();
        let session = rig.browsers[speaker].key;
        rig.apply(Change::SetKeys { session, keys });
        rig.pass(Duration::from_secs(1));
        rig.check(speaker, true);
        rig.check(listeners[0], true);
        speak(&mut rig, speaker, sequence);
        rig.flush();
    }
    assert_eq!(heard(&rig, listeners[0]), 20);
    assert!(rig.browsers[listeners[0]].rtcp.len() > 10);
}

#[test]
fn a_link_needs_no_checks_and_never_expires() {
    let mut rig = Rig::default();
    let far = Browser::new(50, client(50));
    let link = |remote: u16| SessionConfig {
        key: far.key,
        transport: Transport::Keyed(Keyed {
            path: path(client(remote)),
            keys: far.server_keys(),
        }),
        extensions: extensions(),
        cname: "link".into(),
        transport_cc: true,
    };
    rig.apply(Change::SetSession(link(50)));
    let moved = link(51);
    rig.browsers.push(far);
    let track = audio(10, SessionKey(50), "0");
    rig.apply(Change::SetTrack(track.clone()));
    let listener = rig.join(2);
    let session = rig.browsers[listener].key;
    rig.apply(Change::SetSubscription(subscription(1, &track, session)));
    speak(&mut rig, 0, 1);
    rig.flush();
    assert_eq!(heard(&rig, listener), 1);
    for _ in 0..12 {
        rig.pass(Duration::from_secs(10));
        rig.check(listener, true);
    }
    // The far end moved: its old address leads nowhere.
    rig.apply(Change::SetSession(moved));
    speak(&mut rig, 0, 2);
    rig.flush();
    assert_eq!(heard(&rig, listener), 1);
    assert_eq!(dropped(&rig, DropReason::NoSession), 1);
    rig.browsers[0].address = client(51);
    speak(&mut rig, 0, 3);
    rig.flush();
    assert_eq!(heard(&rig, listener), 2);
    let ended = |event: &Event| matches!(event, Event::Ended { .. });
    assert!(!rig.events().iter().any(ended));
}

#[test]
fn an_address_belongs_to_whoever_proved_it_last() {
    let mut rig = Rig::default();
    let (speaker, listeners) = call(&mut rig, 1);
    let newcomer = rig.join(30);
    // A port that a NAT gave to somebody else.
    let address = rig.browsers[speaker].address;
    let datagram = rig.browsers[newcomer].check(true);
    rig.receive(address, &datagram);
    rig.flush();
    speak(&mut rig, speaker, 1);
    rig.flush();
    assert_eq!(dropped(&rig, DropReason::BadTag), 1);
    assert_eq!(heard(&rig, listeners[0]), 0);
    rig.browsers[speaker].address = client(99);
    rig.check(speaker, true);
    speak(&mut rig, speaker, 2);
    rig.flush();
    assert_eq!(heard(&rig, listeners[0]), 1);
}

#[test]
fn tables_that_are_full_refuse() {
    let mut rig = Rig::default();
    for n in 1..=64 {
        rig.join(n);
    }
    let one_more = Browser::new(65, client(65));
    let refused = rig.try_apply(Change::SetSession(one_more.session()));
    assert_eq!(refused, Err(forebay_media::Refusal::Full));
    rig.apply(Change::RemoveSession(SessionKey(3)));
    rig.apply(Change::SetSession(one_more.session()));
    assert_eq!(rig.forwarder.counters().sessions, 64);
}
