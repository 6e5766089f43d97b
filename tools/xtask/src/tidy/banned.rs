//! Calls that compile but break a promise of the crate they stand in. Test
//! code is free of these rules.

use super::Finding;
use super::source::Source;

/// Crates that know no clock, socket, thread, logger or allocator of packets.
const SANS_IO: &[&str] = &[
    "dataplane/wire/",
    "dataplane/turn/",
    "dataplane/engine/",
    "dataplane/media/",
];
/// Libraries: what they say goes through their caller or the log.
const LIBRARIES: &[&str] = &["dataplane/", "!dataplane/daemon/"];
/// Processes that must outlive any input.
const SERVERS: &[&str] = &["dataplane/", "turnd/", "controlplane/"];
/// Everything but the one crate that may.
const SAFE: &[&str] = &["", "!dataplane/sys/"];

struct Ban {
    pattern: &'static str,
    /// Path prefixes; one that starts with `!` takes away.
    places: &'static [&'static str],
    in_tests: bool,
    why: &'static str,
}

const fn ban(pattern: &'static str, places: &'static [&'static str], why: &'static str) -> Ban {
    Ban {
        pattern,
        places,
        in_tests: false,
        why,
    }
}

const TIME: &str = "time is an argument here (`Now`), taken once per batch by the worker";
const IO: &str = "this crate is sans-IO: the shell does it and hands in the result";
const PANIC: &str = "no input may end the process: return an error or drop and count";
const SAY: &str = "a library does not own the terminal: return it or use tracing";
const UNSAFE: &str = "unsafe lives in dataplane/sys alone, behind a safe interface";

const BANS: &[Ban] = &[
    Ban {
        in_tests: true,
        ..ban("unsafe", SAFE, UNSAFE)
    },
    Ban {
        in_tests: true,
        ..ban("dbg!", &[""], "debugging output is not for committing")
    },
    ban("todo!", &[""], "half of a thing does not land"),
    ban("unimplemented!", &[""], "half of a thing does not land"),
    ban("println!", LIBRARIES, SAY),
    ban("print!", LIBRARIES, SAY),
    ban("eprintln!", LIBRARIES, SAY),
    ban("eprint!", LIBRARIES, SAY),
    ban(".unwrap()", SERVERS, PANIC),
    ban(".expect(", SERVERS, PANIC),
    ban("panic!", SERVERS, PANIC),
    ban("unreachable!", SERVERS, PANIC),
    ban("Instant::now", SANS_IO, TIME),
    ban("SystemTime", SANS_IO, TIME),
    ban("std::time::Instant", SANS_IO, TIME),
    ban("thread::", SANS_IO, IO),
    ban("std::fs", SANS_IO, IO),
    ban("std::env", SANS_IO, IO),
    ban("std::io", SANS_IO, IO),
    ban("UdpSocket", SANS_IO, IO),
    ban(
        "tracing::",
        SANS_IO,
        "noise on the packet path is a counter, and rare events are commands",
    ),
    ban(
        "Mutex",
        SANS_IO,
        "a shard belongs to one core: nothing here is shared",
    ),
    ban(
        "RandomState",
        SANS_IO,
        "randomness enters at construction, or runs cannot be repeated",
    ),
];

/// Banned calls in one file.
pub fn check(source: &Source) -> Vec<Finding> {
    let tests = test_modules(source);
    let mut findings = Vec::new();
    for ban in BANS.iter().filter(|ban| applies(ban.places, &source.path)) {
        if source.is_test() && !ban.in_tests {
            continue;
        }
        for at in source.words(ban.pattern) {
            if ban.in_tests || !tests.iter().any(|range| range.contains(&at)) {
                findings.push(Finding {
                    path: source.path.clone(),
                    line: source.line(at),
                    message: format!("`{}`: {}", ban.pattern, ban.why),
                });
            }
        }
    }
    findings
}

fn applies(places: &[&str], path: &str) -> bool {
    places.iter().any(|place| path.starts_with(place))
        && !places
            .iter()
            .any(|place| place.strip_prefix('!').is_some_and(|p| path.starts_with(p)))
}

fn test_modules(source: &Source) -> Vec<std::ops::Range<usize>> {
    let marks = source.code.match_indices("#[cfg(test)]");
    marks
        .map(|(at, mark)| source.item(at + mark.len()))
        .collect()
}
