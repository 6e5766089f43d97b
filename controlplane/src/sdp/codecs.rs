//! Codecs as both ends name them.

use forebay_ipc::media::{Codec, PayloadMap, PublishedCodec, TrackKind};
use serde::{Deserialize, Serialize};

use super::attributes::OfferedCodec;

/// A codec with whatever makes two of its kind incompatible; see
/// [`Format::takes`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Format {
    /// Opus, 48 kHz, two channels.
    Opus,
    /// VP8.
    Vp8,
    /// VP9 of this profile, 0–3.
    Vp9(u8),
    /// AV1 of this profile, 0–2.
    Av1(u8),
    /// H.264 by profile_idc and constraint flags that matter, and
    /// packetization mode.
    H264 {
        /// `profile_idc`: 66, 77 or 100.
        profile: u8,
        /// `profile-iop`, 0xe0 for either Baseline (no encoder in use makes
        /// what Constrained Baseline lacks) and 0 for the others.
        constraints: u8,
        /// 0 or 1.
        mode: u8,
    },
}

const BASELINE: u8 = 66;
const MAIN: u8 = 77;
const HIGH: u8 = 100;

impl Format {
    /// What an offered payload type is, if we know it.
    pub(super) fn of(codec: &OfferedCodec) -> Option<Self> {
        let profile = |name: &str| match codec.parameter(name) {
            None => Some(0),
            Some(value) => value.parse().ok(),
        };
        match (codec.name.as_str(), codec.clock_rate) {
            ("opus", 48_000) if codec.channels == 2 => Some(Self::Opus),
            ("vp8", 90_000) => Some(Self::Vp8),
            ("vp9", 90_000) => profile("profile-id").map(Self::Vp9),
            ("av1", 90_000) => profile("profile").map(Self::Av1),
            ("h264", 90_000) => h264(codec),
            _ => None,
        }
    }

    /// Whether a receiver of this format decodes the other. Of H.264 only
    /// packetization counts (RFC 6184 §6.2, §6.3): browsers name Baseline or
    /// Main and decode whatever the parameter sets say, and encoders that know
    /// but High would else be refused.
    pub fn takes(self, other: Self) -> bool {
        match (self, other) {
            (Self::H264 { mode, .. }, Self::H264 { mode: theirs, .. }) => theirs <= mode,
            (ours, theirs) => ours == theirs,
        }
    }

    /// Whether this H.264 is to be preferred to the other: most receivers
    /// decode the lower profile, and fragmented units fit any packet.
    fn is_better(self, other: Self) -> bool {
        match (self, other) {
            (
                Self::H264 { profile, mode, .. },
                Self::H264 {
                    profile: than,
                    mode: other_mode,
                    ..
                },
            ) => (profile, other_mode) < (than, mode),
            _ => false,
        }
    }

    /// Sound or pictures.
    pub fn kind(self) -> TrackKind {
        match self {
            Self::Opus => TrackKind::Audio,
            _ => TrackKind::Video,
        }
    }

    /// As the data plane calls it.
    pub fn codec(self) -> Codec {
        match self {
            Self::Opus => Codec::Opus,
            Self::Vp8 => Codec::Vp8,
            Self::Vp9(_) => Codec::Vp9,
            Self::Av1(_) => Codec::Av1,
            Self::H264 { .. } => Codec::H264,
        }
    }
}

/// RFC 6184 §8.1: `profile-level-id` is Baseline when absent,
/// `packetization-mode` 0.
fn h264(codec: &OfferedCodec) -> Option<Format> {
    let level_id = codec.parameter("profile-level-id").unwrap_or("42000a");
    if level_id.len() != 6 {
        return None;
    }
    let level_id = u32::from_str_radix(level_id, 16).ok()?;
    let (idc, iop) = ((level_id >> 16) as u8, (level_id >> 8) as u8);
    // Main and Extended with constraint_set0 promise to be Baseline.
    let profile = match idc {
        66 => BASELINE,
        77 | 88 if iop & 0x80 != 0 => BASELINE,
        77 => MAIN,
        100 => HIGH,
        _ => return None,
    };
    let mode = match codec.parameter("packetization-mode") {
        None | Some("0") => 0,
        Some("1") => 1,
        _ => return None,
    };
    Some(Format::H264 {
        profile,
        constraints: if profile == BASELINE { 0xe0 } else { 0 },
        mode,
    })
}

/// A payload type we offer to subscribers.
pub(super) struct Row {
    pub(super) accepted: AcceptedCodec,
    pub(super) map: &'static str,
    pub(super) parameters: &'static str,
}

const fn row(
    format: Format,
    payload_type: u8,
    rtx: Option<u8>,
    map: &'static str,
    parameters: &'static str,
) -> Row {
    Row {
        accepted: AcceptedCodec {
            format,
            payload_type,
            rtx,
        },
        map,
        parameters,
    }
}

/// Everything offered to subscribers, always under the same numbers so that
/// they do not depend on who publishes.
pub(super) const ROWS: [Row; 5] = [
    row(
        Format::Opus,
        111,
        None,
        "opus/48000/2",
        "minptime=10;useinbandfec=1;stereo=1;sprop-stereo=1",
    ),
    row(Format::Vp8, 96, Some(97), "VP8/90000", ""),
    row(Format::Vp9(0), 98, Some(99), "VP9/90000", "profile-id=0"),
    row(
        Format::H264 {
            profile: BASELINE,
            constraints: 0xe0,
            mode: 1,
        },
        102,
        Some(103),
        "H264/90000",
        "level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f",
    ),
    row(
        Format::Av1(0),
        45,
        Some(46),
        "AV1/90000",
        "level-idx=5;profile=0;tier=0",
    ),
];

/// A codec by name, for configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum VideoCodec {
    /// VP8.
    Vp8,
    /// VP9, profile 0.
    Vp9,
    /// H.264 up to High.
    H264,
    /// AV1, profile 0.
    Av1,
}

impl VideoCodec {
    fn is(self, format: Format) -> bool {
        matches!(
            (self, format),
            (Self::Vp8, Format::Vp8)
                | (Self::Vp9, Format::Vp9(_))
                | (Self::H264, Format::H264 { .. })
                | (Self::Av1, Format::Av1(_))
        )
    }
}

/// Which video codecs a publisher may use. Sound is Opus.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CodecPolicy {
    /// Those it may use, 1–4, each once.
    pub video: Vec<VideoCodec>,
    /// Whether the order of `video` decides what is preferred; else the
    /// offer's order does, which is what `setCodecPreferences` sets.
    #[serde(default)]
    pub ordered: bool,
}

impl Default for CodecPolicy {
    fn default() -> Self {
        Self {
            video: vec![
                VideoCodec::Vp8,
                VideoCodec::Vp9,
                VideoCodec::H264,
                VideoCodec::Av1,
            ],
            ordered: false,
        }
    }
}

impl CodecPolicy {
    /// Whether it names codecs, and none of them twice.
    pub fn is_sound(&self) -> bool {
        let repeated = |place| self.video[..place].contains(&self.video[place]);
        !self.video.is_empty() && !(0..self.video.len()).any(repeated)
    }

    /// Place in the order of preference; `None`: not allowed.
    fn rank(&self, format: Format) -> Option<usize> {
        if format.kind() == TrackKind::Audio {
            return Some(0);
        }
        let place = self.video.iter().position(|codec| codec.is(format))?;
        Some(if self.ordered { place } else { 0 })
    }
}

/// A payload type that will be used, where it stands in the offer, and its
/// format.
#[derive(Debug, Clone, Copy)]
pub(super) struct Chosen<'a> {
    pub(super) offered: &'a OfferedCodec,
    pub(super) rtx: Option<&'a OfferedCodec>,
    pub(super) format: Format,
}

/// What is kept of a section's payload types, the preferred one first: those
/// at least one of our subscribers' formats takes.
pub(super) fn choose<'a>(
    offered: &'a [OfferedCodec],
    kind: TrackKind,
    policy: &CodecPolicy,
) -> Vec<Chosen<'a>> {
    let mut chosen: Vec<(usize, Chosen<'a>)> = offered
        .iter()
        .filter_map(|codec| {
            let format = Format::of(codec).filter(|format| format.kind() == kind)?;
            if !ROWS.iter().any(|row| row.accepted.format.takes(format)) {
                return None;
            }
            let rtx = offered.iter().find(|rtx| {
                rtx.name == "rtx"
                    && rtx.clock_rate == codec.clock_rate
                    && rtx.parameter("apt").and_then(|apt| apt.parse().ok())
                        == Some(codec.payload_type)
            });
            let chosen = Chosen {
                offered: codec,
                rtx,
                format,
            };
            Some((policy.rank(format)?, chosen))
        })
        .collect();
    chosen.sort_by_key(|(rank, _)| *rank);
    let mut kept: Vec<Chosen<'a>> = Vec::new();
    for (_, next) in chosen {
        // Browsers list H.264 in every profile and packetization mode; an
        // entry each would push others out.
        let alike = kept
            .iter_mut()
            .find(|k| k.format.codec() == next.format.codec());
        match alike {
            Some(alike) if next.format.is_better(alike.format) => *alike = next,
            Some(_) => {}
            None => kept.push(next),
        }
    }
    kept
}

/// What a publisher may send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NegotiatedCodec {
    /// For the data plane.
    pub published: PublishedCodec,
    /// For matching it with subscribers.
    pub format: Format,
}

/// What a subscriber takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct AcceptedCodec {
    /// Which.
    pub format: Format,
    /// Its payload type there.
    pub payload_type: u8,
    /// Payload type of retransmissions there.
    pub rtx: Option<u8>,
}

/// What becomes of a publisher's payload types at a subscriber; empty when it
/// can decode none of them.
pub fn payload_map(published: &[NegotiatedCodec], accepted: &[AcceptedCodec]) -> Vec<PayloadMap> {
    published
        .iter()
        .filter_map(|codec| {
            let fit = accepted
                .iter()
                .find(|a| a.format == codec.format)
                .or_else(|| accepted.iter().find(|a| a.format.takes(codec.format)))?;
            Some(PayloadMap {
                from: codec.published.payload_type,
                to: fit.payload_type,
                rtx: fit.rtx,
            })
        })
        .collect()
}
