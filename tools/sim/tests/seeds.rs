//! A few hundred runs of the whole system.

use forebay_sim::{DEFAULT_EVENTS, Failure, Report, run};

/// Seeds of the everyday test run; `cargo run -p forebay-sim` goes on from
/// where these end.
const SEEDS: u64 = 300;

fn run_all(seeds: std::ops::Range<u64>) -> Result<Report, Box<Failure>> {
    let mut total = Report::default();
    for seed in seeds {
        total.add(&run(seed, DEFAULT_EVENTS)?);
    }
    Ok(total)
}

/// No invariant breaks, and the runs are not idle: everything that can happen
/// to a datagram happened to many.
#[test]
fn seeds_hold() {
    let halves = [0..SEEDS / 2, SEEDS / 2..SEEDS];
    let results = std::thread::scope(|scope| {
        halves
            .map(|seeds| scope.spawn(|| run_all(seeds)))
            .map(std::thread::ScopedJoinHandle::join)
    });
    let mut total = Report::default();
    for half in results {
        match half.unwrap() {
            Ok(report) => total.add(&report),
            Err(failure) => panic!("{failure}"),
        }
    }
    assert!(total.relayed > 50 * SEEDS, "{total:?}");
    assert!(total.answered > 50 * SEEDS, "{total:?}");
    assert!(total.coalesced > 10 * SEEDS, "{total:?}");
    assert!(total.received > 1000 * SEEDS, "{total:?}");
    // Bandwidth is not capped in these runs.
    let capped = |reason: &str| reason.ends_with("_bandwidth");
    for (reason, packets) in total.dropped.iter().filter(|(reason, _)| !capped(reason)) {
        assert!(*packets > 0, "nothing was dropped as {reason}");
    }
}

/// A seed replays its run, event by event.
#[test]
fn a_seed_replays() {
    for seed in [1, 17, 42] {
        let first = run(seed, 1000).map_err(|failure| failure.to_string());
        let second = run(seed, 1000).map_err(|failure| failure.to_string());
        assert_eq!(first, second);
    }
}
