//! Packets a publisher is asked for again (RFC 4585 §6.2.1).

use core::time::Duration;

use forebay_wire::clock::Instant;

use crate::packet::Sequence;

/// Packets asked for at a time. A longer gap is no loss of packets but of the
/// path: a keyframe heals it.
const MOST: usize = 192;
/// Packets out of order get this long to come by themselves.
const PATIENCE: Duration = Duration::from_millis(12);
/// Nobody waits longer for a picture.
const LATEST: Duration = Duration::from_secs(1);
const MOST_TRIES: u8 = 10;
/// Between two tries, when the round trip is shorter or unknown.
const SHORTEST: Duration = Duration::from_millis(20);
const UNKNOWN: Duration = Duration::from_millis(100);

#[derive(Debug, Clone, Copy)]
struct Entry {
    sequence: u64,
    since: Instant,
    asked: Instant,
    tries: u8,
}

/// What is missing of one stream, lowest number first.
#[derive(Debug, Default)]
pub(crate) struct Missing {
    entries: Vec<Entry>,
}

impl Missing {
    /// Takes its memory; `Default` has room for nothing.
    pub(crate) fn with_room() -> Self {
        Self {
            entries: Vec::with_capacity(MOST),
        }
    }

    /// `count` numbers before this one were skipped. False when that is more
    /// than can be asked for: then nothing is.
    pub(crate) fn skipped(&mut self, now: Instant, before: Sequence, count: u64) -> bool {
        if self.entries.capacity() == 0 {
            return true;
        }
        let room = (MOST - self.entries.len()) as u64;
        if count > room {
            self.entries.clear();
            return false;
        }
        for sequence in before.0 - count..before.0 {
            self.entries.push(Entry {
                sequence,
                since: now,
                asked: now,
                tries: 0,
            });
        }
        true
    }

    /// One came.
    pub(crate) fn arrived(&mut self, sequence: Sequence) {
        if let Ok(at) = self
            .entries
            .binary_search_by_key(&sequence.0, |entry| entry.sequence)
        {
            self.entries.remove(at);
        }
    }

    pub(crate) fn clear(&mut self) {
        self.entries.clear();
    }

    /// Gives up what is too late (whoever cannot go on asks for a keyframe),
    /// and visits what is to be asked for now, in order.
    pub(crate) fn due(&mut self, now: Instant, rtt: Option<Duration>, mut ask: impl FnMut(u16)) {
        let pause = rtt.map_or(UNKNOWN, |rtt| rtt + rtt / 4).max(SHORTEST);
        self.entries
            .retain(|entry| entry.tries < MOST_TRIES && now.since(entry.since) < LATEST);
        for entry in &mut self.entries {
            let wait = if entry.tries == 0 { PATIENCE } else { pause };
            if now.since(entry.asked) >= wait {
                entry.asked = now;
                entry.tries += 1;
                ask(entry.sequence as u16);
            }
        }
    }

    /// Whether something is waited for.
    pub(crate) fn is_waiting(&self) -> bool {
        !self.entries.is_empty()
    }
}
