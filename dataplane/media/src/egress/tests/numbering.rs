//! Numbers: no index twice, real losses kept, intended gaps closed, and back.

use std::collections::{HashMap, HashSet};

use proptest::prelude::*;

use crate::egress::numbering::{Numbering, Shifts, Source};
use crate::packet::Sequence;

/// What happens to a packet of the source.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Fate {
    Arrives,
    Lost,
    /// So many packets later.
    Late(u8),
}

fn fate() -> impl Strategy<Value = Fate> {
    prop_oneof![
        8 => Just(Fate::Arrives),
        1 => Just(Fate::Lost),
        1 => (1..12_u8).prop_map(Fate::Late),
    ]
}

/// A frame: packets, and whether its layer is forwarded.
fn frames() -> impl Strategy<Value = Vec<(Vec<Fate>, bool)>> {
    prop::collection::vec(
        (
            prop::collection::vec(fate(), 1..9),
            prop::bool::weighted(0.6),
        ),
        1..60,
    )
}

const SOURCE: Source = Source {
    encoding: 1,
    epoch: 4,
};

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn maps_there_and_back(frames in frames(), random in any::<u32>(), first in 0..1_000_000_u64) {
        // In order of arrival: source number, frame, kept.
        let mut arrivals = Vec::new();
        let mut number = first;
        for (frame, (packets, kept)) in frames.iter().enumerate() {
            for fate in packets {
                number += 1;
                let at = arrivals_key(number, *fate);
                if let Some(at) = at {
                    arrivals.push((at, number, frame as u32, *kept));
                }
            }
        }
        arrivals.sort_by_key(|(at, number, ..)| (*at, *number));
        prop_assume!(!arrivals.is_empty());
        let mut numbering = Numbering::new(random);
        let begin = numbering.next_index();
        prop_assert!(begin < 1 << 15);
        let mut given: HashMap<u64, u64> = HashMap::new();
        let mut indices = HashSet::new();
        let mut started = false;
        let mut highest_kept = None;
        for &(_, number, frame, kept) in &arrivals {
            let sequence = Sequence(number);
            if !started {
                if kept {
                    let place = numbering.begin(SOURCE, sequence, Shifts::default());
                    prop_assert_eq!(place.index, begin);
                    given.insert(number, place.index);
                    indices.insert(place.index);
                    started = true;
                    highest_kept = Some(number);
                }
                continue;
            }
            let place = if !numbering.in_order(sequence) {
                numbering.late(SOURCE, sequence)
            } else if kept {
                highest_kept = Some(number);
                Some(numbering.forward(sequence, Shifts::default()))
            } else {
                numbering.omit(sequence, frame);
                None
            };
            if let Some(place) = place {
                prop_assert!(indices.insert(place.index), "index {} twice", place.index);
                given.insert(number, place.index);
            }
        }
        // Order is kept.
        let mut pairs: Vec<_> = given.iter().collect();
        pairs.sort();
        for pair in pairs.windows(2) {
            prop_assert!(pair[0].1 < pair[1].1);
            // Between neighbours lie no more holes than packets missing.
            let missing = (*pair[0].0 + 1..*pair[1].0).count() as u64;
            prop_assert!(pair[1].1 - pair[0].1 - 1 <= missing);
        }
        // Without a loss nothing but what was forwarded has a number.
        let lossless = frames.iter().all(|(packets, _)| packets.iter().all(|fate| *fate == Fate::Arrives));
        if lossless {
            let mut all: Vec<u64> = indices.into_iter().collect();
            all.sort_unstable();
            prop_assert!(all.windows(2).all(|pair| pair[1] == pair[0] + 1));
        }
        // Every packet sent of late is found again by its number.
        if let Some(highest) = highest_kept {
            for (number, index) in given.iter().filter(|(number, _)| **number + 100 > highest) {
                if let Some(origin) = numbering.origin(*index as u16) {
                    prop_assert_eq!(origin.sequence, Sequence(*number));
                    prop_assert_eq!(origin.source, SOURCE);
                } else {
                    // Forgotten only when many stretches have followed.
                    prop_assert!(frames.len() > 15);
                }
            }
        }
    }

    /// Whatever the source does, no index is given out twice.
    #[test]
    fn no_index_twice(steps in prop::collection::vec((0..6_u8, 0..3000_u64, 0..3_u16), 1..400), random in any::<u32>()) {
        let mut numbering = Numbering::new(random);
        let mut indices = HashSet::new();
        let mut source = Source::default();
        let mut high = 50_000_u64;
        let place = numbering.begin(source, Sequence(high), Shifts::default());
        indices.insert(place.index);
        for (what, by, shift) in steps {
            let shifts = Shifts { picture: shift, ..Shifts::default() };
            let ahead = Sequence(high + 1 + by % 40 + if by > 2900 { 40_000 } else { 0 });
            let index = match what {
                0 | 1 => {
                    high = ahead.0;
                    Some(numbering.forward(ahead, shifts).index)
                }
                2 => {
                    high = ahead.0;
                    numbering.omit(ahead, by as u32 % 5);
                    None
                }
                3 => numbering.late(source, Sequence(high.saturating_sub(by % 1500))).map(|place| place.index),
                4 => Some(numbering.insert()),
                _ => {
                    source = Source { encoding: by as u8 % 3, epoch: by as u16 % 2 };
                    high = 10_000 + by * 7;
                    Some(numbering.begin(source, Sequence(high), shifts).index)
                }
            };
            if let Some(index) = index {
                prop_assert!(indices.insert(index), "index {index} twice");
                prop_assert!(index < numbering.next_index());
            }
        }
    }
}

/// When a packet comes, in tenths of a packet's time.
fn arrivals_key(number: u64, fate: Fate) -> Option<u64> {
    match fate {
        Fate::Arrives => Some(number * 10),
        Fate::Lost => None,
        Fate::Late(by) => Some(number * 10 + u64::from(by) * 10 + 5),
    }
}

#[test]
fn a_hole_too_large_to_be_loss_is_closed() {
    let mut numbering = Numbering::new(9);
    let place = numbering.begin(SOURCE, Sequence(100), Shifts::default());
    let next = numbering.forward(Sequence(40_000), Shifts::default());
    assert_eq!(next.index, place.index + 1);
}

#[test]
fn what_is_too_old_has_no_place() {
    let mut numbering = Numbering::new(9);
    numbering.begin(SOURCE, Sequence(100), Shifts::default());
    numbering.forward(Sequence(102), Shifts::default());
    for number in 103..1_300 {
        numbering.forward(Sequence(number), Shifts::default());
    }
    assert_eq!(numbering.late(SOURCE, Sequence(101)), None);
}
