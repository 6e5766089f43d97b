//! No port leaks and none is handed out twice, whatever happens to it.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::collections::HashSet;

use forebay_runtime::worker::relay_ports::RelayPorts;
use forebay_wire::clock::Instant;
use proptest::prelude::*;

#[derive(Debug, Clone)]
enum Step {
    Take(u32),
    TakePair(u32),
    Give(usize),
    GiveForeign(u16),
    SetAside(usize, u64),
    Retry(u64, usize),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => any::<u32>().prop_map(Step::Take),
        2 => any::<u32>().prop_map(Step::TakePair),
        3 => any::<usize>().prop_map(Step::Give),
        1 => any::<u16>().prop_map(Step::GiveForeign),
        1 => (any::<usize>(), 0..100_u64).prop_map(|(which, after)| Step::SetAside(which, after)),
        1 => (0..50_u64, 0..8_usize).prop_map(|(pass, limit)| Step::Retry(pass, limit)),
    ];
    prop::collection::vec(step, 0..400)
}

proptest! {
    #[test]
    fn a_port_is_always_in_exactly_one_place(
        ports in prop::collection::vec(40_000..40_060_u16, 0..60),
        steps in steps(),
    ) {
        let owned: HashSet<u16> = ports.iter().copied().collect();
        let mut pool = RelayPorts::new(&ports);
        let mut taken = Vec::new();
        let mut now = 0;
        for step in steps {
            match step {
                Step::Take(random) => match pool.take(random) {
                    Some(port) => {
                        prop_assert!(owned.contains(&port));
                        prop_assert!(!taken.contains(&port), "{} is out twice", port);
                        taken.push(port);
                    }
                    None => prop_assert_eq!(pool.free(), 0),
                },
                Step::TakePair(random) => match pool.take_pair(random) {
                    Some(even) => {
                        prop_assert!(even.is_multiple_of(2));
                        for port in [even, even + 1] {
                            prop_assert!(owned.contains(&port));
                            prop_assert!(!taken.contains(&port), "{} is out twice", port);
                            taken.push(port);
                        }
                    }
                    None => prop_assert_eq!(pool.free_pairs(), 0),
                },
                Step::Give(which) if !taken.is_empty() => {
                    let port = taken.swap_remove(which % taken.len());
                    pool.give(port);
                    // Giving it back again changes nothing.
                    let free = pool.free();
                    pool.give(port);
                    prop_assert_eq!(pool.free(), free);
                }
                Step::GiveForeign(port) if !taken.contains(&port) => pool.give(port),
                Step::SetAside(which, after) if !taken.is_empty() => {
                    let port = taken.swap_remove(which % taken.len());
                    pool.set_aside(port, Instant::from_nanos(now + after));
                }
                Step::Retry(pass, limit) => {
                    now += pass;
                    pool.retry(Instant::from_nanos(now), limit);
                }
                _ => {}
            }
            prop_assert_eq!(pool.taken(), taken.len());
            prop_assert!(pool.free_pairs() * 2 <= pool.free());
            prop_assert_eq!(pool.free() + pool.taken() + pool.aside(), owned.len());
        }
        // In the end every port can be had again.
        for port in taken.drain(..) {
            pool.give(port);
        }
        pool.retry(Instant::from_nanos(u64::MAX), usize::MAX);
        let pairs = owned.iter().filter(|port| *port % 2 == 0 && owned.contains(&(*port + 1)));
        prop_assert_eq!(pool.free_pairs(), pairs.count());
        let mut all = HashSet::new();
        while let Some(port) = pool.take(0x9E37_79B9) {
            prop_assert!(all.insert(port));
        }
        prop_assert_eq!(all, owned);
    }
}

#[test]
fn every_port_is_about_as_likely() {
    let ports: Vec<u16> = (50_000..50_010).collect();
    let mut seen = [0_u32; 10];
    for round in 0..2_000_u32 {
        let mut pool = RelayPorts::new(&ports[..]);
        let port = pool.take(round.wrapping_mul(0x9E37_79B1)).unwrap();
        seen[usize::from(port - 50_000)] += 1;
    }
    assert!(
        seen.iter().all(|count| (170..230).contains(count)),
        "{seen:?}"
    );
}
