//! Which track an SSRC belongs to (RFC 9143 §9.2, RFC 8852, RFC 4588).

use super::{Hub, Stream};
use crate::ids::{Mid, Rid, Ssrc};
use crate::report::DropReason;
use crate::session::Found;
use crate::tables::{SessionSlot, Slot, StreamSlot, TrackSlot};

/// A place for a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Target {
    pub(super) track: TrackSlot,
    pub(super) encoding: u8,
    pub(super) repair: bool,
}

impl Hub {
    /// The stream of an SSRC that was heard or declared.
    #[inline]
    pub(super) fn stream(&self, session: SessionSlot, ssrc: Ssrc) -> Option<StreamSlot> {
        let hash = Self::stream_hash(self.keyed, session, ssrc);
        let slot = self.stream_index.find(hash, |slot| {
            self.streams
                .get(StreamSlot(slot))
                .is_some_and(|stream| stream.session == session && stream.ssrc == ssrc)
        })?;
        Some(StreamSlot(slot))
    }

    /// Finds out where an unknown SSRC's authenticated packet belongs, and
    /// keeps that for the rest of the session: browsers stop to tell.
    #[cold]
    pub(super) fn identify(
        &mut self,
        session: SessionSlot,
        ssrc: Ssrc,
        payload_type: u8,
        found: &Found<'_>,
    ) -> Result<StreamSlot, DropReason> {
        let target = self
            .target(session, payload_type, found)
            .ok_or(DropReason::UnknownStream)?;
        self.bind(session, ssrc, target)
            .ok_or(DropReason::TooManyStreams)
    }

    fn target(&self, session: SessionSlot, payload_type: u8, found: &Found<'_>) -> Option<Target> {
        let mid = found.mid.and_then(Mid::new);
        let (rid, repaired) = match (found.repaired_rid, found.rid) {
            (Some(rid), _) => (Rid::new(rid), true),
            (None, Some(rid)) => (Rid::new(rid), false),
            (None, None) => (None, false),
        };
        let mut only = None;
        for &slot in &self.sessions.get(session)?.tracks {
            let Some(track) = self.tracks.get(slot) else {
                continue;
            };
            if mid.is_some_and(|mid| mid != track.mid) {
                continue;
            }
            let media = track
                .codecs
                .iter()
                .any(|codec| codec.payload_type == payload_type);
            let repair = track
                .codecs
                .iter()
                .any(|codec| codec.rtx == Some(payload_type));
            if !(repair || media && !repaired) {
                continue;
            }
            let encoding = match rid {
                Some(rid) => track
                    .encodings
                    .iter()
                    .position(|encoding| encoding.rid == Some(rid)),
                None => None,
            };
            // A single encoding needs no name.
            let encoding = match encoding {
                Some(at) => at,
                None if track.encodings.len() == 1 => 0,
                None => continue,
            };
            let target = Target {
                track: slot,
                encoding: encoding as u8,
                repair,
            };
            if only.replace(target).is_some() {
                // Without a mid, two tracks may fit: then none does.
                return None;
            }
        }
        only
    }

    /// Makes an SSRC feed an encoding, in place of whichever did.
    pub(super) fn bind(
        &mut self,
        session: SessionSlot,
        ssrc: Ssrc,
        target: Target,
    ) -> Option<StreamSlot> {
        if let Some(known) = self.stream(session, ssrc) {
            let stream = self.streams.get(known)?;
            if stream.track == target.track
                && stream.encoding == target.encoding
                && stream.repair == target.repair
            {
                return Some(known);
            }
            self.unbind(known);
        }
        let former = self
            .tracks
            .get(target.track)
            .and_then(|track| track.encodings.get(usize::from(target.encoding)))
            .and_then(|encoding| {
                if target.repair {
                    encoding.inflow.rtx_ssrc
                } else {
                    encoding.inflow.ssrc
                }
            });
        if let Some(former) = former.and_then(|ssrc| self.stream(session, ssrc)) {
            self.unbind(former);
        }
        let owner = self.sessions.get(session)?;
        if owner.streams.len() >= owner.most_streams() {
            return None;
        }
        let slot = self.streams.insert(Stream {
            session,
            ssrc,
            track: target.track,
            encoding: target.encoding,
            repair: target.repair,
        })?;
        self.sessions.get_mut(session)?.streams.push(slot);
        let (keyed, streams) = (self.keyed, &self.streams);
        self.stream_index.insert(
            Self::stream_hash(keyed, session, ssrc),
            slot.index() as u32,
            |slot| {
                streams.get(StreamSlot(slot)).map_or(0, |stream| {
                    Self::stream_hash(keyed, stream.session, stream.ssrc)
                })
            },
        );
        let epoch = self.epoch();
        let encoding = self
            .tracks
            .get_mut(target.track)?
            .encodings
            .get_mut(usize::from(target.encoding))?;
        if target.repair {
            encoding.inflow.rtx_ssrc = Some(ssrc);
        } else {
            encoding.inflow.ssrc = Some(ssrc);
            encoding.begin_anew(epoch);
        }
        Some(slot)
    }

    /// Forgets a stream.
    pub(super) fn unbind(&mut self, slot: StreamSlot) {
        let Some(stream) = self.streams.remove(slot) else {
            return;
        };
        let hash = Self::stream_hash(self.keyed, stream.session, stream.ssrc);
        self.stream_index.remove(hash, slot.index() as u32);
        if let Some(session) = self.sessions.get_mut(stream.session) {
            session.streams.retain(|of_session| *of_session != slot);
            session.recent = None;
        }
        if let Some(encoding) = self
            .tracks
            .get_mut(stream.track)
            .and_then(|track| track.encodings.get_mut(usize::from(stream.encoding)))
        {
            let inflow = &mut encoding.inflow;
            let place = if stream.repair {
                &mut inflow.rtx_ssrc
            } else {
                &mut inflow.ssrc
            };
            place.take_if(|ssrc| *ssrc == stream.ssrc);
        }
    }
}
