//! Header extensions (RFC 8285) we know.

use forebay_ipc::media::{Extensions, TrackKind};

use super::attributes::{Direction, OfferedExtension};

/// Which end of the connection sends media to the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sender {
    /// The peer publishes.
    Peer,
    /// We send to a subscriber.
    Us,
}

/// One of them.
pub(super) struct Known {
    pub(super) uri: &'static str,
    /// Its id in our own offers.
    pub(super) id: u8,
    audio: bool,
    video: bool,
    /// Of use when the peer sends, and when we send.
    from_peer: bool,
    from_us: bool,
    field: fn(&mut Extensions) -> &mut u8,
}

impl Known {
    pub(super) fn concerns(&self, kind: TrackKind, sender: Sender) -> bool {
        let kind = match kind {
            TrackKind::Audio => self.audio,
            TrackKind::Video => self.video,
        };
        kind && match sender {
            Sender::Peer => self.from_peer,
            Sender::Us => self.from_us,
        }
    }
}

/// All of them. Send times serve the receiver's estimate of bandwidth: as a
/// receiver we answer transport-wide feedback instead, so publishers need not
/// spend bytes on them.
pub(super) const KNOWN: [Known; 10] = [
    Known {
        uri: "urn:ietf:params:rtp-hdrext:ssrc-audio-level",
        id: 1,
        audio: true,
        video: false,
        from_peer: true,
        from_us: true,
        field: |e| &mut e.audio_level,
    },
    Known {
        uri: "http://www.webrtc.org/experiments/rtp-hdrext/abs-send-time",
        id: 2,
        audio: true,
        video: true,
        from_peer: false,
        from_us: true,
        field: |e| &mut e.abs_send_time,
    },
    Known {
        uri: TRANSPORT_CC,
        id: 3,
        audio: true,
        video: true,
        from_peer: true,
        from_us: true,
        field: |e| &mut e.transport_cc,
    },
    Known {
        uri: "urn:ietf:params:rtp-hdrext:sdes:mid",
        id: 4,
        audio: true,
        video: true,
        from_peer: true,
        from_us: true,
        field: |e| &mut e.mid,
    },
    Known {
        uri: "http://www.webrtc.org/experiments/rtp-hdrext/playout-delay",
        id: 5,
        audio: false,
        video: true,
        from_peer: true,
        from_us: true,
        field: |e| &mut e.playout_delay,
    },
    Known {
        uri: "urn:3gpp:video-orientation",
        id: 6,
        audio: false,
        video: true,
        from_peer: true,
        from_us: true,
        field: |e| &mut e.video_orientation,
    },
    Known {
        uri: "https://aomediacodec.github.io/av1-rtp-spec/#dependency-descriptor-rtp-header-extension",
        id: 7,
        audio: false,
        video: true,
        from_peer: true,
        from_us: true,
        field: |e| &mut e.dependency_descriptor,
    },
    Known {
        uri: "http://www.webrtc.org/experiments/rtp-hdrext/abs-capture-time",
        id: 8,
        audio: true,
        video: true,
        from_peer: true,
        from_us: true,
        field: |e| &mut e.abs_capture_time,
    },
    Known {
        uri: RID,
        id: 9,
        audio: false,
        video: true,
        from_peer: true,
        from_us: false,
        field: |e| &mut e.rid,
    },
    Known {
        uri: "urn:ietf:params:rtp-hdrext:sdes:repaired-rtp-stream-id",
        id: 10,
        audio: false,
        video: true,
        from_peer: true,
        from_us: false,
        field: |e| &mut e.repaired_rid,
    },
];

pub(super) const TRANSPORT_CC: &str =
    "http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01";
pub(super) const RID: &str = "urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id";

/// Takes what we can use of a section's extensions; the lines of the answer
/// (the value of `extmap`). In a BUNDLE group an id means one thing (RFC 9143
/// §9.2), and we keep one id per extension: what contradicts an earlier
/// section is left out.
pub(super) fn accept(
    offered: &[OfferedExtension],
    kind: TrackKind,
    sender: Sender,
    agreed: &mut Extensions,
) -> Vec<String> {
    let mut lines = Vec::new();
    let mut seen: Vec<u8> = Vec::new();
    for extension in offered {
        let Some(known) = KNOWN
            .iter()
            .find(|known| known.uri == extension.uri && known.concerns(kind, sender))
        else {
            continue;
        };
        let flows = match sender {
            Sender::Peer => extension.way().sends(),
            Sender::Us => extension.way().receives(),
        };
        if !flows || seen.contains(&extension.id) {
            continue;
        }
        let other = KNOWN
            .iter()
            .any(|k| k.uri != known.uri && *(k.field)(agreed) == extension.id);
        let field = (known.field)(agreed);
        if other || (*field != 0 && *field != extension.id) {
            continue;
        }
        *field = extension.id;
        seen.push(extension.id);
        lines.push(match extension.direction.map(Direction::mirrored) {
            None => format!("{} {}", extension.id, extension.uri),
            Some(way) => format!("{}/{} {}", extension.id, way.as_str(), extension.uri),
        });
    }
    lines
}

/// Those of our own offers that the answer kept.
pub(super) fn kept(answered: &[OfferedExtension], agreed: &mut Extensions) {
    for extension in answered {
        let known = KNOWN
            .iter()
            .find(|known| known.uri == extension.uri && known.id == extension.id && known.from_us);
        if let Some(known) = known
            && extension.way().receives()
        {
            *(known.field)(agreed) = extension.id;
        }
    }
}
