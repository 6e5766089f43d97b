//! Runs every target over its corpus, then over mutations of it for a bounded
//! time. A failure prints the target, the corpus file and the round: the
//! generator is seeded with the file's name, so it happens again.

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use forebay_fuzz::{TARGETS, Target};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// How long each target is fed mutations, in parallel test threads: seconds
/// that the environment may set, to search where no libfuzzer is.
fn mutate_for() -> Duration {
    let seconds = std::env::var("FOREBAY_FUZZ_SECONDS");
    Duration::from_secs(seconds.map_or(2, |seconds| seconds.parse().expect("a number")))
}

fn corpus(target: Target) -> Vec<(PathBuf, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("corpus")
        .join(target.name);
    let mut entries: Vec<_> = fs::read_dir(&folder)
        .expect("every target has a corpus folder")
        .map(|entry| entry.expect("readable folder").path())
        .map(|path| (path.clone(), fs::read(path).expect("readable file")))
        .collect();
    entries.sort();
    entries
}

fn run(target: Target, input: &[u8], what: &str) {
    let outcome = catch_unwind(AssertUnwindSafe(|| (target.run)(input)));
    assert!(
        outcome.is_ok(),
        "target {} fails on {what}: {}",
        target.name,
        hex(input)
    );
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn seed(path: &Path) -> u64 {
    let name = path.file_name().unwrap_or_default().as_encoded_bytes();
    name.iter().fold(0xCBF2_9CE4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01B3)
    })
}

/// Flips, overwrites, inserts, removes, repeats or splices, a few times over.
fn mutate(rng: &mut ChaCha8Rng, input: &mut Vec<u8>, other: &[u8]) {
    for _ in 0..rng.random_range(1..=4) {
        if input.is_empty() {
            input.extend(other);
            input.push(rng.random());
        }
        let at = rng.random_range(0..input.len());
        let span = at..(at + rng.random_range(1..=16)).min(input.len());
        match rng.random_range(0..7) {
            0 => input[at] ^= 1 << rng.random_range(0..8),
            1 => {
                input[at] = *[0, 1, 4, 0x7F, 0x80, 0xFF]
                    .get(rng.random_range(0..6))
                    .unwrap_or(&0);
            }
            2 => input.insert(at, rng.random()),
            3 => drop(input.drain(span)),
            4 => {
                let copy = input[span].to_vec();
                input.splice(at..at, copy);
            }
            5 => input.truncate(at),
            _ => {
                let from = rng.random_range(0..=other.len());
                input.truncate(at);
                input.extend(&other[from..]);
            }
        }
    }
    input.truncate(16 * 1024);
}

fn replay(name: &str) {
    let target = *TARGETS
        .iter()
        .find(|target| target.name == name)
        .expect("a target");
    let entries = corpus(target);
    assert!(entries.len() >= 10, "the corpus of {name} is missing");
    for (path, input) in &entries {
        run(target, input, &path.display().to_string());
    }
    let mut generators: Vec<_> = entries
        .iter()
        .map(|(path, _)| ChaCha8Rng::seed_from_u64(seed(path)))
        .collect();
    let start = Instant::now();
    let mut round = 0;
    let time = mutate_for();
    while start.elapsed() < time {
        for ((path, input), rng) in entries.iter().zip(&mut generators) {
            let other = &entries[rng.random_range(0..entries.len())].1;
            let mut mutant = input.clone();
            mutate(rng, &mut mutant, other);
            run(
                target,
                &mutant,
                &format!("{} in round {round}", path.display()),
            );
        }
        round += 1;
    }
    assert!(round > 0);
}

macro_rules! replays {
    ($($name:ident)*) => {
        $(#[test] fn $name() { replay(stringify!($name)); })*

        #[test]
        fn every_target_is_replayed() {
            let listed = [$(stringify!($name)),*];
            assert!(TARGETS.iter().map(|target| target.name).eq(listed));
        }
    };
}

replays!(channel_data codec config demux dtls forwarder framing import_coturn ipc proxy_protocol rtcp rtp sdp send_indication shard srtp stun);
