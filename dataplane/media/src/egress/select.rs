//! Which packets of a track one subscriber gets.

use forebay_wire::clock::Instant;

use super::numbering::Source;
use crate::describe::Codec;
use crate::packet::Packet;

/// So long a stream that never shows a keyframe (an encrypted payload without
/// a dependency descriptor) is waited for before it is sent as it comes.
const KEYFRAME_PATIENCE: core::time::Duration = core::time::Duration::from_secs(3);

/// What a subscriber is to get.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Target {
    /// Place in the track's encodings.
    pub(crate) encoding: u8,
    /// Highest spatial layer within the encoding.
    pub(crate) spatial: u8,
    /// Highest temporal layer.
    pub(crate) temporal: u8,
}

/// What to do with a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// It belongs to a source that is not forwarded.
    Skip,
    /// It is older than what was seen: it has a place if one was kept.
    Late,
    /// It belongs to a layer that is left out.
    Omit,
    /// It is next.
    Forward,
    /// It begins a source: the first packet of a keyframe.
    Switch,
}

/// The layers one subscription gets, and is to get.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Selector {
    /// Keyframes mean nothing (sound, unknown codecs).
    free: bool,
    current: Option<Source>,
    target: Option<Target>,
    spatial: u8,
    temporal: u8,
    /// Timestamp of the picture last seen of the current source.
    picture: u32,
    /// Since when there is a target but no source.
    waiting: Option<Instant>,
}

impl Selector {
    pub(crate) fn new(free: bool) -> Self {
        Self {
            free,
            current: None,
            target: None,
            spatial: 0,
            temporal: 0,
            picture: 0,
            waiting: None,
        }
    }

    /// What is forwarded now.
    pub(crate) fn current(&self) -> Option<Target> {
        self.current.map(|source| Target {
            encoding: source.encoding,
            spatial: self.spatial,
            temporal: self.temporal,
        })
    }

    /// The source being forwarded.
    #[inline]
    pub(crate) fn source(&self) -> Option<Source> {
        self.current
    }

    /// The highest spatial layer being forwarded.
    #[inline]
    pub(crate) fn spatial(&self) -> u8 {
        self.spatial
    }

    pub(crate) fn target(&self) -> Option<Target> {
        self.target
    }

    /// Changes what is to be forwarded. Nothing at all is immediate; all else
    /// happens where a decoder can follow.
    pub(crate) fn set_target(&mut self, now: Instant, target: Option<Target>) {
        self.target = target;
        if target.is_none() {
            self.current = None;
            self.waiting = None;
        } else if self.current.is_none() && self.waiting.is_none() {
            self.waiting = Some(now);
        }
    }

    /// The encoding of which a keyframe is needed to reach the target.
    /// `epoch`: which source feeds an encoding now.
    #[inline]
    pub(crate) fn needs_keyframe(&self, epoch: impl Fn(u8) -> Option<u16>) -> Option<u8> {
        let target = self.target.filter(|_| !self.free)?;
        let reached = self.current.is_some_and(|source| {
            source.encoding == target.encoding
                && epoch(source.encoding) == Some(source.epoch)
                && self.spatial >= target.spatial
        });
        (!reached).then_some(target.encoding)
    }

    /// Whether packets of this source can mean anything now.
    #[inline]
    pub(crate) fn listens(&self, encoding: u8) -> bool {
        self.target
            .is_some_and(|target| target.encoding == encoding)
            || self
                .current
                .is_some_and(|source| source.encoding == encoding)
    }

    /// Decides. `in_order`: above all seen of the current source.
    #[inline]
    pub(crate) fn step(
        &mut self,
        now: Instant,
        codec: Codec,
        packet: &Packet,
        in_order: impl FnOnce() -> bool,
    ) -> Step {
        let source = Source {
            encoding: packet.encoding,
            epoch: packet.epoch,
        };
        if self.current == Some(source) {
            if !in_order() {
                return Step::Late;
            }
            return self.go_on(codec, packet);
        }
        let Some(target) = self.target else {
            return Step::Skip;
        };
        // The current encoding coming from another source is a switch, too.
        if target.encoding == packet.encoding && self.may_begin(now, packet) {
            self.current = Some(source);
            self.waiting = None;
            self.spatial = target.spatial;
            self.temporal = target.temporal;
            self.picture = packet.timestamp;
            return Step::Switch;
        }
        if packet.recovered {
            Step::Late
        } else {
            Step::Skip
        }
    }

    fn may_begin(&self, now: Instant, packet: &Packet) -> bool {
        let frame = &packet.frame;
        self.free
            || frame.keyframe && frame.start && frame.spatial == 0
            || !frame.keyframe
                && self
                    .waiting
                    .is_some_and(|since| now.since(since) >= KEYFRAME_PATIENCE)
    }

    #[inline]
    fn go_on(&mut self, codec: Codec, packet: &Packet) -> Step {
        let frame = &packet.frame;
        if packet.timestamp != self.picture {
            self.picture = packet.timestamp;
            if let (Some(target), Some(source)) = (self.target, self.current) {
                if source.encoding == target.encoding {
                    self.follow(codec, packet, target);
                } else if source.encoding > target.encoding {
                    // Too much for the path until the lower one's keyframe
                    // comes: as little as possible.
                    self.temporal = 0;
                }
            }
        }
        if frame.temporal > self.temporal || frame.spatial > self.spatial {
            Step::Omit
        } else {
            Step::Forward
        }
    }

    /// Comes nearer to the target at the first packet of a picture.
    #[inline]
    fn follow(&mut self, codec: Codec, packet: &Packet, target: Target) {
        let frame = &packet.frame;
        if frame.keyframe && frame.start && frame.spatial == 0 {
            self.spatial = target.spatial;
            self.temporal = target.temporal;
            return;
        }
        self.spatial = self.spatial.min(target.spatial);
        self.temporal = self.temporal.min(target.temporal);
        if self.temporal < target.temporal && frame.switch_up {
            if frame.temporal == self.temporal + 1 {
                self.temporal += 1;
            } else if codec == Codec::Vp9 && frame.temporal <= self.temporal {
                // RFC 9628 §4.2, U: nothing later of a higher layer depends on
                // what came before this picture.
                self.temporal = target.temporal;
            }
        }
    }
}
