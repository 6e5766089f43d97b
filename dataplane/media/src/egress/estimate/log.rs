//! What was sent when, by transport-wide sequence number.

use forebay_wire::clock::Instant;

/// Packets remembered: two seconds at 1,000 packets/s.
const PACKETS: usize = 2048;

/// A probe's number; zero is no probe.
pub(crate) type Cluster = u8;

#[derive(Debug, Clone, Copy, Default)]
struct Entry {
    /// Microseconds, wrapping.
    time: u32,
    size: u16,
    cluster: Cluster,
    pending: bool,
}

/// A packet whose fate is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Sent {
    /// Microseconds, wrapping.
    pub(crate) time: u32,
    pub(crate) size: u16,
    pub(crate) cluster: Cluster,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct SendLog {
    entries: Box<[Entry; PACKETS]>,
    next: u64,
}

impl SendLog {
    pub(crate) fn new() -> Self {
        Self {
            entries: Box::new([Entry::default(); PACKETS]),
            next: 0,
        }
    }

    /// The number the next packet carries.
    #[inline]
    pub(crate) fn next(&self) -> u16 {
        self.next as u16
    }

    /// Packets noted so far.
    pub(crate) fn count(&self) -> u64 {
        self.next
    }

    /// Notes the next packet.
    #[inline]
    pub(crate) fn push(&mut self, now: Instant, size: usize, cluster: Cluster) {
        self.entries[self.next as usize % PACKETS] = Entry {
            time: (now.as_nanos() / 1_000) as u32,
            size: size as u16,
            cluster,
            pending: true,
        };
        self.next += 1;
    }

    /// Takes a packet out: once, whatever feedback says again later.
    pub(crate) fn take(&mut self, number: u16) -> Option<Sent> {
        let back = (self.next as u16).wrapping_sub(number);
        if back == 0 || usize::from(back) > PACKETS || u64::from(back) > self.next {
            return None;
        }
        let entry = &mut self.entries[(self.next - u64::from(back)) as usize % PACKETS];
        if !entry.pending {
            return None;
        }
        entry.pending = false;
        Some(Sent {
            time: entry.time,
            size: entry.size,
            cluster: entry.cluster,
        })
    }

    /// As [`take`](Self::take), but it may still be reported as received.
    pub(crate) fn look(&self, number: u16) -> Option<Sent> {
        let back = (self.next as u16).wrapping_sub(number);
        if back == 0 || usize::from(back) > PACKETS || u64::from(back) > self.next {
            return None;
        }
        let entry = &self.entries[(self.next - u64::from(back)) as usize % PACKETS];
        entry.pending.then_some(Sent {
            time: entry.time,
            size: entry.size,
            cluster: entry.cluster,
        })
    }
}
