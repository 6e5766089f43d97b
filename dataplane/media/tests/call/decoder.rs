//! A decoder that knows from the truth in each packet what it may decode, and
//! checks that a real one could tell as much.

use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use forebay_media::Codec;
use forebay_media::codec::{vp8, vp9};
use forebay_wire::clock::Instant;
use forebay_wire::rtcp::NtpTime;

use super::encoder::Truth;

/// A packet as it came.
#[derive(Clone)]
pub(crate) struct Got {
    pub index: u64,
    pub timestamp: u32,
    pub marker: bool,
    pub payload: Vec<u8>,
    pub descriptor: Option<Vec<u8>>,
    pub at: Instant,
    /// Bytes of the datagram.
    pub size: usize,
}

#[derive(Clone)]
struct Frame {
    pieces: u64,
    of: u8,
    truth: Truth,
    complete: Option<Instant>,
    decoded: bool,
    first_index: u64,
}

pub(crate) struct Decoder {
    codec: Codec,
    /// By index.
    pub packets: BTreeMap<u64, Got>,
    pub fillers: HashSet<u64>,
    /// By encoding, picture, spatial layer.
    frames: BTreeMap<(u8, u32, u8), Frame>,
    decoded: HashSet<(u8, u32, u8)>,
    waiting: Vec<(u8, u32, u8)>,
    /// When pictures were decoded, and their encoding, spatial and temporal
    /// layer.
    pub shown: Vec<(Instant, u8, u8, u8)>,
    began: Instant,
    /// Pairs of reports: wall clock and media clock.
    pub reports: Vec<(Instant, NtpTime, u32)>,
    /// Media clock against capture, milliseconds.
    pub captures: Vec<(u32, u32)>,
}

impl Decoder {
    pub(crate) fn new(codec: Codec, now: Instant) -> Self {
        Self {
            codec,
            packets: BTreeMap::new(),
            fillers: HashSet::new(),
            frames: BTreeMap::new(),
            decoded: HashSet::new(),
            waiting: Vec::new(),
            shown: Vec::new(),
            began: now,
            reports: Vec::new(),
            captures: Vec::new(),
        }
    }

    pub(crate) fn on_report(&mut self, now: Instant, ntp: NtpTime, rtp: u32) {
        self.reports.push((now, ntp, rtp));
    }

    pub(crate) fn filler(&mut self, index: u64) {
        self.fillers.insert(index);
    }

    pub(crate) fn take(&mut self, got: Got) {
        let truth = Truth::read(&got.payload).expect("the truth is never cut off");
        if self.packets.contains_key(&got.index) {
            return;
        }
        let key = (truth.encoding, truth.picture, truth.spatial);
        self.captures.push((got.timestamp, truth.captured));
        let frame = self.frames.entry(key).or_insert_with(|| Frame {
            pieces: 0,
            of: truth.of,
            truth: truth.clone(),
            complete: None,
            decoded: false,
            first_index: got.index,
        });
        frame.pieces |= 1 << truth.at.min(63);
        frame.first_index = frame.first_index.min(got.index);
        if frame.pieces.count_ones() == u32::from(frame.of) && frame.complete.is_none() {
            frame.complete = Some(got.at);
            self.waiting.push(key);
        }
        self.packets.insert(got.index, got);
    }

    /// Decodes what can be decoded.
    pub(crate) fn advance(&mut self, now: Instant) {
        let mut progress = true;
        while progress {
            progress = false;
            let mut left = Vec::new();
            for key in std::mem::take(&mut self.waiting) {
                let frame = self.frames.get_mut(&key).expect("known");
                let (encoding, picture, spatial) = key;
                let ready = frame
                    .truth
                    .needs
                    .iter()
                    .all(|need| self.decoded.contains(&(encoding, *need, spatial)))
                    && (spatial == 0
                        || !frame.truth.keyframe
                        || self.decoded.contains(&(encoding, picture, spatial - 1)));
                if ready {
                    frame.decoded = true;
                    self.decoded.insert(key);
                    self.shown
                        .push((now, encoding, spatial, frame.truth.temporal));
                    progress = true;
                } else if frame
                    .complete
                    .is_some_and(|at| now.since(at) < Duration::from_secs(3))
                {
                    left.push(key);
                }
            }
            self.waiting = left;
        }
    }

    pub(crate) fn stuck(&self, now: Instant) -> Duration {
        let last = self.shown.last().map_or(self.began, |shown| shown.0);
        now.since(last)
    }

    /// Frames that came whole, were in the middle of the stream, and could not
    /// be decoded.
    pub(crate) fn undecodable(&self) -> Vec<(u8, u32, u8)> {
        let waiting: HashSet<_> = self.waiting.iter().copied().collect();
        self.frames
            .iter()
            .filter(|(key, frame)| {
                frame.complete.is_some() && !frame.decoded && !waiting.contains(*key)
            })
            .map(|(key, _)| *key)
            .collect()
    }

    /// Longest time without a decoded picture after the first.
    pub(crate) fn longest_freeze(&self, from: Instant) -> Duration {
        self.shown
            .windows(2)
            .filter(|pair| pair[0].0 >= from)
            .map(|pair| pair[1].0.since(pair[0].0))
            .max()
            .unwrap_or(Duration::MAX)
    }

    /// Encoding or spatial layer shown most in the last while before `now`.
    pub(crate) fn layer_at(&self, now: Instant, window: Duration) -> Option<u8> {
        let mut counts = [0; 8];
        for (at, encoding, spatial, _) in self.shown.iter().rev() {
            if now.since(*at) > window {
                break;
            }
            counts[usize::from(*encoding.max(spatial)).min(7)] += 1;
        }
        let most = counts.iter().max().copied().filter(|count| *count > 0)?;
        counts
            .iter()
            .position(|count| *count == most)
            .map(|at| at as u8)
    }

    pub(crate) fn encodings_shown(&self) -> Vec<u8> {
        let mut runs: Vec<u8> = Vec::new();
        for (_, encoding, spatial, _) in &self.shown {
            let layer = *encoding.max(spatial);
            if runs.last() != Some(&layer) {
                runs.push(layer);
            }
        }
        runs
    }

    /// What a receiver that knows nothing of the truth relies on, for a
    /// stream of which nothing was lost: numbers without a gap, timestamps
    /// that rise, markers at the end of each picture, picture numbers that
    /// tell frames apart and leave none out.
    pub(crate) fn check_continuity(&self) {
        let mut last: Option<(&Got, Truth)> = None;
        let mut ids: Option<(u16, u8)> = None;
        for (index, got) in &self.packets {
            let truth = Truth::read(&got.payload).expect("truth");
            if let Some((before, before_truth)) = &last {
                let mut expected = before.index + 1;
                while self.fillers.contains(&expected) {
                    expected += 1;
                }
                assert_eq!(*index, expected, "a gap in the numbers");
                let same = (before_truth.encoding, before_truth.picture)
                    == (truth.encoding, truth.picture);
                let ahead = got.timestamp.wrapping_sub(before.timestamp) as i32;
                if same {
                    assert_eq!(ahead, 0, "one picture, two timestamps");
                    assert!(!before.marker, "a marker within a picture");
                } else {
                    assert!(ahead > 0, "timestamps must rise, not by {ahead}");
                    assert!(ahead < 90_000 * 10, "a leap of {ahead}");
                    assert!(
                        before.marker || self.codec == Codec::Opus,
                        "no marker at a picture's end"
                    );
                }
            }
            self.check_picture(got, &truth, last.as_ref().map(|(_, truth)| truth), &mut ids);
            last = Some((got, truth));
        }
    }

    fn check_picture(
        &self,
        got: &Got,
        truth: &Truth,
        before: Option<&Truth>,
        ids: &mut Option<(u16, u8)>,
    ) {
        let (id, base) = match self.codec {
            Codec::Vp8 => {
                let read = vp8::Descriptor::read(&got.payload).expect("a descriptor");
                (
                    read.picture_id.expect("a picture id").value,
                    read.base_index.expect("a base index").value,
                )
            }
            Codec::Vp9 => {
                let read = vp9::Descriptor::read(&got.payload).expect("a descriptor");
                (
                    read.picture_id.expect("a picture id").value,
                    read.base_index.expect("a base index").value,
                )
            }
            _ => return,
        };
        if let (Some((last_id, last_base)), Some(before)) = (*ids, before) {
            let same = (before.encoding, before.picture) == (truth.encoding, truth.picture);
            let step = id.wrapping_sub(last_id) & 0x7fff;
            if same {
                assert_eq!(step, 0, "one picture, two ids");
            } else if self.codec == Codec::Vp8 {
                assert_eq!(step, 1, "a picture id is left out");
            } else {
                assert!((1..10).contains(&step), "picture ids leap by {step}");
            }
            let based = u8::from(!same && truth.temporal == 0);
            assert_eq!(base, last_base.wrapping_add(based), "TL0PICIDX");
        }
        *ids = Some((id, base));
    }
}
