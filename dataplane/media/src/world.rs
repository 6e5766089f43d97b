//! What egress may look at and touch during a call.

use forebay_wire::clock::Now;

use crate::cache::Cache;
use crate::queue::Queue;
use crate::report::Counters;
use crate::session::Session;
use crate::tables::{SessionSlot, Slab, TrackSlot};
use crate::track::Track;
use crate::transport::Transport;

/// Everything of a forwarder but its subscriptions.
pub(crate) struct World<'a> {
    pub(crate) now: Now,
    pub(crate) sessions: &'a mut Slab<SessionSlot, Session>,
    pub(crate) tracks: &'a mut Slab<TrackSlot, Track>,
    pub(crate) cache: &'a Cache,
    pub(crate) queue: &'a mut Queue,
    pub(crate) counters: &'a mut Counters,
}

impl World<'_> {
    /// The way to a session.
    #[inline]
    pub(crate) fn transport(&mut self, session: SessionSlot) -> Option<&mut Transport> {
        Some(&mut self.sessions.get_mut(session)?.transport)
    }

    /// Wants a keyframe of this encoding. Asked for as often as allowed until
    /// one begins; may be called on every packet.
    #[inline]
    pub(crate) fn request_keyframe(&mut self, track: TrackSlot, encoding: u8) {
        let Some(found) = self.tracks.get_mut(track) else {
            return;
        };
        let session = found.session;
        if let Some(encoding) = found.encodings.get_mut(usize::from(encoding))
            && !encoding.keyframe_wanted
        {
            encoding.keyframe_wanted = true;
            self.queue
                .arm(session, crate::queue::Timer::Repair, self.now.instant);
        }
    }
}
