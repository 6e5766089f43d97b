//! Timestamps over switches: strictly rising, true to capture where sender
//! reports tell, never far from arrival.

use core::time::Duration;

use forebay_wire::clock::Instant;
use proptest::prelude::*;

use crate::egress::clock::{Clock, Reference};
use crate::track::SenderReport;

const RATE: u32 = 90_000;

fn at(millis: u64) -> Instant {
    Instant::from_nanos(1_000_000_000 + millis * 1_000_000)
}

/// A layer's clock: its offset, and the report of a capture time.
fn reference(offset: u32, reported: u64, skew: i64) -> Reference {
    let ntp = ((3_900_000_000_u64 * 1_000) as i64 + reported as i64 + skew) as u64;
    Reference {
        report: Some(SenderReport {
            ntp: ((ntp / 1_000) << 32) | (((ntp % 1_000) << 32) / 1_000),
            rtp: offset.wrapping_add(reported as u32 * 90),
            received: at(reported + 20),
        }),
        rate: RATE,
    }
}

proptest! {
    #[test]
    fn rise_and_stay_true(
        offsets in prop::collection::vec(any::<u32>(), 3),
        reported in prop::collection::vec(0..1_000_u64, 3),
        switches in prop::collection::vec((0..3_usize, 1..2_000_u64), 1..30),
        reports in any::<bool>(),
    ) {
        let references: Vec<Reference> = (0..3)
            .map(|index| {
                let mut found = reference(offsets[index], reported[index], 0);
                if !reports {
                    found.report = None;
                }
                found
            })
            .collect();
        let mut clock = Clock::new(12_345);
        let mut current = None;
        let mut now = 1_000;
        let mut last: Option<u32> = None;
        let mut truth: Option<u32> = None;
        for (layer, stay) in switches {
            let begin = now;
            let stamp = |millis: u64| offsets[layer].wrapping_add(millis as u32 * 90);
            let shift = clock.switch(
                at(now + 20),
                stamp(now),
                current.map(|layer: usize| references[layer]),
                references[layer],
            );
            current = Some(layer);
            while now < begin + stay {
                let out = stamp(now).wrapping_add(shift);
                if let Some(last) = last {
                    let ahead = out.wrapping_sub(last) as i32;
                    prop_assert!(ahead > 0, "not rising: {ahead}");
                }
                // One clock for all layers: capture and timestamp differ by a
                // constant, but for a tick each switch.
                let base = out.wrapping_sub(now as u32 * 90);
                let first = *truth.get_or_insert(base);
                let error = (base.wrapping_sub(first) as i32).unsigned_abs();
                prop_assert!(error < 90 * 5, "off by {error} ticks");
                clock.sent(at(now + 20), out);
                last = Some(out);
                now += 33;
            }
        }
    }
}

#[test]
fn reports_that_contradict_arrival_are_not_believed() {
    let mut clock = Clock::new(0);
    let first = reference(1_000, 500, 0);
    let second = reference(77_000, 500, 60_000);
    clock.switch(at(1_000), 1_000 + 90_000, None, first);
    clock.sent(at(1_000), 0);
    let shift = clock.switch(at(1_100), 77_000 + 99_000, Some(first), second);
    let out = (77_000_u32 + 99_000).wrapping_add(shift);
    assert_eq!(out, 9_000, "by arrival");
    assert_eq!(clock.shift(), shift);
    assert_eq!(clock.last().map(|(last, _)| last), Some(9_000));
    let _ = Duration::ZERO;
}
