//! What comes from others than the peer: garbage, forged alerts, malformed
//! ClientHellos.

use std::time::Duration;

use forebay_runtime::dtls::News;
use proptest::prelude::*;

use crate::peer::{Meeting, Version, whole};

const SECOND: Duration = Duration::from_secs(1);

/// A fatal handshake_failure in clear (RFC 5246 §7.2).
const ALERT: [u8; 15] = [21, 0xFE, 0xFD, 0, 0, 0, 0, 0, 0, 0, 9, 0, 2, 2, 40];
/// close_notify in clear.
const CLOSE: [u8; 15] = [21, 0xFE, 0xFD, 0, 0, 0, 0, 0, 0, 0, 9, 0, 2, 1, 0];

/// ClientHellos that other servers fall over.
pub(crate) const MALFORMED: [&[u8]; 5] = [
    // A record that promises more than the datagram has.
    &[22, 0xFE, 0xFD, 0, 0, 0, 0, 0, 0, 0, 0, 0xFF, 0xFF, 1],
    // A handshake header alone.
    &[
        22, 0xFE, 0xFD, 0, 0, 0, 0, 0, 0, 0, 0, 0, 12, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
    ],
    // A fragment beyond its message.
    &[
        22, 0xFE, 0xFD, 0, 0, 0, 0, 0, 0, 0, 0, 0, 14, 1, 0, 0, 1, 0, 0, 0xFF, 0xFF, 0xFF, 0, 0, 2,
        0, 0,
    ],
    // A message of 16 MiB.
    &[
        22, 0xFE, 0xFD, 0, 0, 0, 0, 0, 0, 0, 0, 0, 14, 1, 0xFF, 0xFF, 0xFF, 0, 0, 0, 0, 0, 0, 0, 2,
        0, 0,
    ],
    // Cut off within the session id.
    &[
        22, 0xFE, 0xFD, 0, 0, 0, 0, 0, 0, 0, 0, 0, 47, 1, 0, 0, 35, 0, 0, 0, 0, 0, 0, 0, 35, 0xFE,
        0xFD, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 0, 1, 2, 3, 4, 5, 6, 7,
        8, 9, 0, 1, 32,
    ],
];

#[test]
fn a_forged_alert_ends_nothing() {
    for version in [Version::V12, Version::V13] {
        // Before, between and after all datagrams of the handshake.
        for at in 0..12 {
            let mut meeting = Meeting::new(version);
            let mut count = 0;
            let sent = meeting.client.timeout(meeting.now);
            let mut to_ours: Vec<_> = sent;
            while !to_ours.is_empty() {
                let mut to_client = Vec::new();
                for datagram in to_ours.drain(..) {
                    if count == at {
                        for forged in [&ALERT, &CLOSE] {
                            let reaction = meeting.ours.receive(meeting.now, (*forged).into());
                            assert_eq!(reaction.news, []);
                        }
                    }
                    count += 1;
                    let reaction = meeting.ours.receive(meeting.now, datagram);
                    meeting.news.extend(reaction.news);
                    to_client.extend(reaction.datagrams);
                }
                for datagram in to_client {
                    to_ours.extend(meeting.client.receive(meeting.now, &datagram));
                }
            }
            assert!(meeting.succeeded(), "{version:?} {at}");
            for forged in [&ALERT, &CLOSE] {
                let reaction = meeting.ours.receive(meeting.now, (*forged).into());
                assert_eq!(reaction.news, []);
            }
            // And the association still hears its peer.
            meeting.client.dtls.close().expect("connected");
            for datagram in meeting.client.poll() {
                let reaction = meeting.ours.receive(meeting.now, datagram);
                meeting.news.extend(reaction.news);
            }
            assert_eq!(meeting.news.last(), Some(&News::Closed), "{version:?} {at}");
        }
    }
}

/// An alert in front of a good record in one datagram.
#[test]
fn only_the_alert_is_taken_out() {
    let mut meeting = Meeting::new(Version::V12);
    let hello = meeting.client.timeout(meeting.now);
    assert_eq!(hello.len(), 1);
    let datagram = [&ALERT[..], &hello[0], &CLOSE[..]].concat();
    let reaction = meeting.ours.receive(meeting.now, datagram.into());
    assert!(!reaction.datagrams.is_empty());
}

#[test]
fn malformed_hellos_stop_nobody() {
    for version in [Version::V12, Version::V13] {
        let mut meeting = Meeting::new(version);
        for _ in 0..20 {
            for bytes in MALFORMED {
                let reaction = meeting.ours.receive(meeting.now, (*bytes).into());
                assert_eq!(reaction.news, []);
                assert!(reaction.datagrams.is_empty());
            }
        }
        meeting.run(SECOND * 5, whole);
        assert!(meeting.succeeded(), "{version:?} {:?}", meeting.news);
    }
}

#[test]
fn garbage_between_changes_nothing() {
    for version in [Version::V12, Version::V13] {
        let mut meeting = Meeting::new(version);
        let mut to_ours = meeting.client.timeout(meeting.now);
        let mut state = 1_u32;
        while !to_ours.is_empty() {
            let mut to_client = Vec::new();
            for datagram in to_ours.drain(..) {
                for first in [20, 21, 22, 23, 24, 25, 26, 0x2C, 0x2F, 63] {
                    state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                    let mut garbage = vec![first];
                    garbage.extend((0..state % 90).map(|step| (state >> (step % 24)) as u8));
                    let reaction = meeting.ours.receive(meeting.now, garbage.into());
                    assert_eq!(reaction.news, [], "{version:?} {first}");
                }
                let reaction = meeting.ours.receive(meeting.now, datagram);
                meeting.news.extend(reaction.news);
                to_client.extend(reaction.datagrams);
            }
            for datagram in to_client {
                to_ours.extend(meeting.client.receive(meeting.now, &datagram));
            }
        }
        assert!(meeting.succeeded(), "{version:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Whatever is done to a real ClientHello, nothing panics, at most the
    /// handshake fails, and never are there keys.
    #[test]
    fn mutated_hellos(
        edits in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
        cut in any::<prop::sample::Index>(),
        version in proptest::sample::select(vec![Version::V12, Version::V13]),
    ) {
        let mut meeting = Meeting::new(version);
        for datagram in meeting.client.timeout(meeting.now) {
            let mut mutant = datagram.to_vec();
            for (at, value) in &edits {
                let at = at.index(mutant.len());
                mutant[at] = *value;
            }
            let whole = meeting.ours.receive(meeting.now, mutant.clone().into());
            mutant.truncate(cut.index(mutant.len()));
            let short = meeting.ours.receive(meeting.now, mutant.into());
            for news in whole.news.iter().chain(&short.news) {
                prop_assert!(matches!(news, News::Failed(_)));
            }
        }
    }
}
