//! The timer wheel against a binary heap.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;

use forebay_engine::wheel::{Wheel, WheelFull};
use forebay_wire::clock::Instant;
use proptest::prelude::*;

/// The finest tick there is.
const SHIFT: u32 = Wheel::FINEST;
const TICK: u64 = 1 << SHIFT;
/// Somewhere near the end of the clock.
const END: u64 = u64::MAX - (1 << 62) + 12_345;

#[derive(Debug, Clone)]
enum Step {
    /// Arm a timer this far ahead.
    Arm(u64),
    /// Let this much time pass and fire everything due.
    Pass(u64),
}

fn spans() -> impl Strategy<Value = u64> {
    prop_oneof![
        0..4 * TICK,
        0..4000 * TICK,
        (0_u32..61).prop_map(|bit| 1 << bit),
        (0_u64..10_000).prop_map(|n| n * TICK),
    ]
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![3 => spans().prop_map(Step::Arm), 1 => spans().prop_map(Step::Pass)];
    prop::collection::vec(step, 1..200)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn fires_what_a_heap_fires(start in spans(), steps in steps()) {
        let mut wheel = Wheel::new(64, SHIFT);
        let mut model = BinaryHeap::new();
        let mut now = start;
        prop_assert_eq!(wheel.pop_due(Instant::from_nanos(now)), None);
        for (token, step) in (0_u64..).zip(steps) {
            match step {
                Step::Arm(ahead) => {
                    let at = now + ahead;
                    let armed = wheel.arm(token, Instant::from_nanos(at));
                    if model.len() == 64 {
                        prop_assert_eq!(armed, Err(WheelFull));
                    } else {
                        prop_assert_eq!(armed, Ok(()));
                        model.push(Reverse((at, token)));
                    }
                }
                Step::Pass(span) => {
                    now = (now + span).min(END);
                    if let Some(&Reverse((earliest, _))) = model.peek() {
                        let deadline = wheel.next_deadline().expect("timers are armed").as_nanos();
                        prop_assert!(deadline < earliest.saturating_add(TICK));
                    } else {
                        prop_assert_eq!(wheel.next_deadline(), None);
                    }
                    let mut fired = Vec::new();
                    while let Some(token) = wheel.pop_due(Instant::from_nanos(now)) {
                        prop_assert_eq!(wheel.check(), Ok(()));
                        fired.push(token);
                    }
                    fired.sort_unstable();
                    // A tick late is allowed, early is not.
                    let mut due = Vec::new();
                    while let Some(&Reverse((at, token))) = model.peek()
                        && at <= now
                        && at.div_ceil(TICK) <= now / TICK
                    {
                        due.push(token);
                        model.pop();
                    }
                    due.sort_unstable();
                    prop_assert_eq!(fired, due);
                }
            }
            prop_assert_eq!(wheel.check(), Ok(()));
            prop_assert_eq!(wheel.len(), model.len());
        }
    }
}

#[test]
fn fires_in_the_order_of_ticks() {
    let mut wheel = Wheel::new(1000, SHIFT);
    for token in 0..1000_u64 {
        let at = (token * 7919) % 1000;
        wheel
            .arm(at, Instant::from_nanos(at * 3 * TICK))
            .expect("room");
    }
    let fired: Vec<u64> =
        std::iter::from_fn(|| wheel.pop_due(Instant::from_nanos(3000 * TICK))).collect();
    assert_eq!(fired, (0..1000).collect::<Vec<_>>());
}

#[test]
fn a_node_is_free_again_when_its_timer_is_taken() {
    let mut wheel = Wheel::new(1, SHIFT);
    let mut now = Instant::from_nanos(5);
    for token in 0..100 {
        wheel
            .arm(token, now + Duration::from_secs(token))
            .expect("room");
        assert_eq!(wheel.arm(1000, now), Err(WheelFull));
        now = now + Duration::from_secs(token + 1);
        assert_eq!(wheel.pop_due(now), Some(token));
        assert_eq!(wheel.pop_due(now), None);
        assert!(wheel.is_empty());
    }
}

#[test]
fn following_its_own_deadlines_wakes_a_few_times_per_timer() {
    let mut wheel = Wheel::new(1, SHIFT);
    wheel
        .arm(1, Instant::from_nanos(3_600_000_000_000))
        .expect("room");
    let mut wakes = 0;
    loop {
        let deadline = wheel.next_deadline().expect("armed");
        wakes += 1;
        if wheel.pop_due(deadline).is_some() {
            break;
        }
    }
    assert!(wakes <= 7, "{wakes} wake-ups for one timer");
}
