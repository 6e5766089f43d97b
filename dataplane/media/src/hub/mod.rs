//! Everything of a forwarder but its subscriptions: sessions, tracks, and what
//! arrives for them.

mod changes;
mod checks;
mod feedback;
mod identify;
mod media;
mod quality;
mod reports;
mod runs;
mod timers;

pub(crate) use runs::Runs;
pub(crate) use timers::Due;

use core::hash::Hasher;

use forebay_wire::clock::Now;
use hashbrown::HashTable;

use crate::cache::Cache;
use crate::config::{Config, Seeds};
use crate::ids::Ssrc;
use crate::output::Path;
use crate::queue::Queue;
use crate::report::{Counters, DropReason};
use crate::session::Session;
use crate::tables::{Index, KeyMap, Keyed, SessionSlot, Slab, StreamSlot, TrackSlot, feed_ip};
use crate::track::Track;
use crate::world::World;

/// Streams (SSRCs heard or declared) per track there is room for: media and
/// retransmissions of three encodings, and some.
const STREAMS_PER_TRACK: u32 = 8;
/// Paths per session there is room for on average; a single one may have
/// twice that.
const PATHS_PER_SESSION: usize = 4;

/// See the module.
pub(crate) struct Hub {
    pub(crate) sessions: Slab<SessionSlot, Session>,
    pub(crate) tracks: Slab<TrackSlot, Track>,
    pub(crate) streams: Slab<StreamSlot, Stream>,
    pub(crate) session_keys: KeyMap<SessionSlot>,
    pub(crate) track_keys: KeyMap<TrackSlot>,
    /// Sessions by username fragment.
    fragments: Index,
    /// Streams by session and SSRC.
    stream_index: Index,
    /// Sessions by path.
    paths: HashTable<(Path, SessionSlot)>,
    path_room: usize,
    /// The path of the packet before: packets come in bursts.
    recent: Option<(Path, SessionSlot)>,
    keyed: Keyed,
    random: u64,
    next_epoch: u16,
    pub(crate) cache: Cache,
    pub(crate) queue: Queue,
    pub(crate) counters: Counters,
    pub(crate) runs: Runs,
    /// Encodings whose state egress is to look at again.
    pub(crate) changed: Vec<(TrackSlot, u8)>,
    /// Unauthenticated checks are refused only so often.
    refusals: checks::Refusals,
    /// Where the periodic report goes on.
    report_at: u32,
}

/// One SSRC of one session.
pub(crate) struct Stream {
    pub(crate) session: SessionSlot,
    pub(crate) ssrc: Ssrc,
    pub(crate) track: TrackSlot,
    pub(crate) encoding: u8,
    /// It carries retransmissions (RFC 4588).
    pub(crate) repair: bool,
}

impl Hub {
    pub(crate) fn new(config: &Config, seeds: Seeds) -> Self {
        let capacity = config.capacity;
        let keyed = Keyed::new(seeds.tables);
        let streams = capacity.tracks.saturating_mul(STREAMS_PER_TRACK);
        let path_room = capacity.sessions as usize * PATHS_PER_SESSION;
        Self {
            sessions: Slab::new(capacity.sessions),
            tracks: Slab::new(capacity.tracks),
            streams: Slab::new(streams),
            session_keys: KeyMap::new(capacity.sessions, keyed),
            track_keys: KeyMap::new(capacity.tracks, keyed),
            // A session has two fragments during a restart.
            fragments: Index::new(capacity.sessions as usize * 2),
            stream_index: Index::new(streams as usize),
            paths: HashTable::with_capacity(path_room * 2),
            path_room,
            recent: None,
            keyed,
            random: seeds.random,
            next_epoch: 0,
            cache: Cache::new(capacity.cache),
            queue: Queue::new(capacity.sessions),
            counters: Counters::default(),
            runs: Runs::new(capacity.tracks),
            changed: Vec::with_capacity(64),
            refusals: checks::Refusals::default(),
            report_at: 0,
        }
    }

    /// What egress sees.
    #[inline]
    pub(crate) fn world(&mut self, now: Now) -> World<'_> {
        World {
            now,
            sessions: &mut self.sessions,
            tracks: &mut self.tracks,
            cache: &self.cache,
            queue: &mut self.queue,
            counters: &mut self.counters,
        }
    }

    #[inline]
    pub(crate) fn dropped(&mut self, why: DropReason) {
        self.counters.dropped[why as usize] += 1;
    }

    /// The next of a sequence nobody outside can guess from a few of its
    /// members (SplitMix64 of a secret start).
    fn random(&mut self) -> u64 {
        self.random = self.random.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.random;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A number no encoding's source has had for the last 65,535 of them.
    fn epoch(&mut self) -> u16 {
        self.next_epoch = self.next_epoch.wrapping_add(1);
        self.next_epoch
    }

    fn path_hash(keyed: Keyed, path: &Path) -> u64 {
        keyed.hash(|hasher| {
            feed_ip(hasher, path.remote.ip());
            hasher.write_u32(u32::from(path.remote.port()) | path.socket.0 << 16);
        })
    }

    /// The session that was authenticated on this path.
    #[inline]
    pub(crate) fn session_on(&mut self, path: &Path) -> Option<SessionSlot> {
        if let Some((recent, slot)) = &self.recent
            && recent == path
        {
            return Some(*slot);
        }
        let slot = self.owner_on(path)?;
        self.recent = Some((*path, slot));
        Some(slot)
    }

    /// The same, where nothing is to be remembered.
    pub(crate) fn owner_on(&self, path: &Path) -> Option<SessionSlot> {
        let hash = Self::path_hash(self.keyed, path);
        let (_, slot) = self.paths.find(hash, |(found, _)| found == path)?;
        Some(*slot)
    }

    /// Takes a path that is no more from whoever has it.
    pub(crate) fn forget_path(&mut self, path: &Path) {
        let Some(slot) = self.owner_on(path) else {
            return;
        };
        self.remove_path(path, slot);
        if let Some(session) = self.sessions.get_mut(slot) {
            session.take_path(path);
        }
    }

    /// Maps a path to a session, taking it from any other. False when there
    /// is no room.
    fn add_path(&mut self, path: &Path, slot: SessionSlot) -> bool {
        self.recent = None;
        let keyed = self.keyed;
        let hash = Self::path_hash(keyed, path);
        if let Some((_, owner)) = self.paths.find_mut(hash, |(found, _)| found == path) {
            let former = core::mem::replace(owner, slot);
            if former != slot
                && let Some(session) = self.sessions.get_mut(former)
            {
                session.take_path(path);
            }
            return true;
        }
        if self.paths.len() >= self.path_room {
            return false;
        }
        self.paths.insert_unique(hash, (*path, slot), |(path, _)| {
            Self::path_hash(keyed, path)
        });
        true
    }

    fn remove_path(&mut self, path: &Path, slot: SessionSlot) {
        self.recent = None;
        let hash = Self::path_hash(self.keyed, path);
        if let Ok(entry) = self
            .paths
            .find_entry(hash, |(found, owner)| found == path && *owner == slot)
        {
            entry.remove();
        }
    }

    fn fragment_hash(keyed: Keyed, fragment: &[u8]) -> u64 {
        keyed.hash(|hasher| hasher.write(fragment))
    }

    fn stream_hash(keyed: Keyed, session: SessionSlot, ssrc: Ssrc) -> u64 {
        keyed.hash(|hasher| hasher.write_u64(u64::from(session.0) << 32 | u64::from(ssrc.0)))
    }

    /// Tells egress to look at an encoding again.
    fn note_change(&mut self, track: TrackSlot, encoding: u8) {
        if self.changed.len() < self.changed.capacity() {
            self.changed.push((track, encoding));
        }
    }

    pub(crate) fn memory(&self) -> usize {
        self.sessions.memory()
            + self.tracks.memory()
            + self.streams.memory()
            + self.session_keys.memory()
            + self.track_keys.memory()
            + self.fragments.memory()
            + self.stream_index.memory()
            + self.paths.allocation_size()
            + self.cache.memory()
            + self.queue.memory()
            + self.runs.memory()
    }
}
