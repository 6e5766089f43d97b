//! Complete handshakes, with loss and reordering.

use std::time::Duration;

use forebay_media::srtp::Profile;
use forebay_runtime::dtls::{Failure, News};

use crate::peer::{Fate, Meeting, Version, whole};

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn every_version() {
    for version in [Version::V12, Version::V13, Version::Auto] {
        let mut meeting = Meeting::new(version);
        meeting.run(SECOND, whole);
        assert!(meeting.succeeded(), "{version:?} {:?}", meeting.news);
        assert!(meeting.largest <= 1200);
        // Though the client likes AEAD_AES_256_GCM better.
        let profile = meeting.keys().map(|keys| keys.profile);
        assert_eq!(profile, Some(Profile::AeadAes128Gcm), "{version:?}");
    }
}

#[test]
fn a_client_hello_in_pieces() {
    for version in [Version::V12, Version::V13, Version::Auto] {
        for mtu in [150, 200, 300] {
            let mut meeting = Meeting::with(version, mtu, Some);
            // Every piece overtakes the one before it.
            meeting.run(SECOND * 20, |_| Fate::Late(1));
            assert!(meeting.succeeded(), "{version:?} {mtu} {:?}", meeting.news);
        }
    }
}

#[test]
fn any_single_loss() {
    for version in [Version::V12, Version::V13] {
        for lost in 0..12 {
            let mut meeting = Meeting::new(version);
            meeting.run(SECOND * 20, |number| {
                if number == lost {
                    Fate::Lost
                } else {
                    Fate::Arrives
                }
            });
            assert!(
                meeting.succeeded(),
                "{version:?} without {lost}: {:?}",
                meeting.news
            );
        }
    }
}

#[test]
fn a_bad_path() {
    for version in [Version::V12, Version::V13] {
        for seed in 0..40_u64 {
            let mut state = seed;
            let mut meeting = Meeting::new(version);
            meeting.run(SECOND * 25, |number| {
                state = state
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(1_442_695_040_888_963_407);
                match state >> 60 {
                    // A quarter is lost, at first.
                    0..4 if number < 40 => Fate::Lost,
                    4..6 => Fate::Twice,
                    6..8 => Fate::Late(1 + (state >> 32) as usize % 3),
                    _ => Fate::Arrives,
                }
            });
            assert!(
                meeting.succeeded(),
                "{version:?} seed {seed}: {:?}",
                meeting.news
            );
        }
    }
}

#[test]
fn keys_wait_for_the_announced_certificate() {
    for version in [Version::V12, Version::V13] {
        let mut meeting = Meeting::with(version, 1200, |_| None);
        meeting.run(SECOND, whole);
        assert!(meeting.client.connected);
        assert_eq!(meeting.news, []);
        let reaction = meeting
            .ours
            .announce(meeting.now, meeting.client.fingerprint);
        meeting.take(reaction, &mut whole);
        assert!(meeting.succeeded(), "{version:?}");
    }
}

#[test]
fn another_certificate_gets_no_keys() {
    for version in [Version::V12, Version::V13] {
        let mut meeting = Meeting::with(version, 1200, |_| Some([7; 32]));
        meeting.run(SECOND, whole);
        assert_eq!(meeting.news, [News::Failed(Failure::Fingerprint)]);

        let mut meeting = Meeting::with(version, 1200, |_| None);
        meeting.run(SECOND, whole);
        let reaction = meeting.ours.announce(meeting.now, [7; 32]);
        assert_eq!(reaction.news, [News::Failed(Failure::Fingerprint)]);
        assert!(reaction.datagrams.is_empty());
    }
}

#[test]
fn a_silent_peer_is_given_up_after_thirty_seconds() {
    for version in [Version::V12, Version::V13] {
        // Only the first flight arrives.
        let mut meeting = Meeting::new(version);
        let hello = meeting.client.timeout(meeting.now);
        for datagram in hello {
            let reaction = meeting.ours.receive(meeting.now, datagram);
            assert_eq!(reaction.news, []);
        }
        let start = meeting.now;
        let mut retransmitted = 0;
        let mut news = Vec::new();
        while let Some(at) = meeting.ours.deadline() {
            assert!(news.is_empty());
            assert!(at <= start + SECOND * 31, "{version:?}");
            let reaction = meeting.ours.timeout(at);
            retransmitted += usize::from(!reaction.datagrams.is_empty());
            news.extend(reaction.news);
        }
        assert_eq!(news, [News::Failed(Failure::Timeout)]);
        assert!((5..=9).contains(&retransmitted), "{retransmitted}");
    }
}

#[test]
fn the_peer_closes() {
    for version in [Version::V12, Version::V13] {
        let mut meeting = Meeting::new(version);
        meeting.run(SECOND, whole);
        assert!(meeting.succeeded());
        meeting.client.dtls.close().expect("connected");
        let sent = meeting.client.poll();
        meeting.sent_by_client(sent, &mut whole);
        meeting.run(SECOND, whole);
        assert_eq!(meeting.news.len(), 2);
        assert_eq!(meeting.news[1], News::Closed, "{version:?}");
    }
}
