//! Encoders that make no pictures, but say in each packet what it needs.

use forebay_media::Codec;

/// The truth about a packet, hidden in its payload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Truth {
    pub encoding: u8,
    pub spatial: u8,
    pub temporal: u8,
    /// Number of the picture in its encoding.
    pub picture: u32,
    pub keyframe: bool,
    /// Pictures (same encoding and spatial layer) it needs.
    pub needs: Vec<u32>,
    /// Its place in the frame, and how many there are.
    pub at: u8,
    pub of: u8,
    /// Milliseconds of capture.
    pub captured: u32,
}

const MAGIC: [u8; 4] = *b"TRUE";

impl Truth {
    pub(crate) fn write(&self, into: &mut Vec<u8>) {
        into.extend_from_slice(&MAGIC);
        into.extend_from_slice(&[
            self.encoding,
            self.spatial,
            self.temporal,
            u8::from(self.keyframe),
            self.at,
            self.of,
            self.needs.len() as u8,
        ]);
        into.extend_from_slice(&self.picture.to_be_bytes());
        into.extend_from_slice(&self.captured.to_be_bytes());
        for need in &self.needs {
            into.extend_from_slice(&need.to_be_bytes());
        }
    }

    pub(crate) fn read(payload: &[u8]) -> Option<Self> {
        let at = payload.windows(4).position(|window| window == MAGIC)?;
        let rest = &payload[at + 4..];
        let number = |at: usize| -> Option<u32> {
            Some(u32::from_be_bytes(rest.get(at..at + 4)?.try_into().ok()?))
        };
        Some(Self {
            encoding: rest[0],
            spatial: rest[1],
            temporal: rest[2],
            keyframe: rest[3] != 0,
            at: rest[4],
            of: rest[5],
            picture: number(7)?,
            captured: number(11)?,
            needs: (0..usize::from(rest[6]))
                .map(|index| number(15 + index * 4))
                .collect::<Option<_>>()?,
        })
    }
}

/// A payload as it goes into one RTP packet.
pub(crate) struct Piece {
    pub payload: Vec<u8>,
    pub marker: bool,
    pub descriptor: Vec<u8>,
}

/// How a track is encoded.
pub(crate) struct Encoder {
    pub codec: Codec,
    /// Bits per second of each encoding.
    pub rates: Vec<u64>,
    /// Temporal layers.
    pub temporal: u8,
    /// Spatial layers in each encoding (VP9).
    pub spatial: u8,
    pub fps: u64,
    /// The next picture that others need comes without its upper spatial
    /// layers and without a marker, as Chromium's sender has it.
    pub cut: bool,
    pub state: Vec<State>,
}

#[derive(Default, Clone)]
pub(crate) struct State {
    picture: u32,
    /// In the pattern of temporal layers.
    phase: u32,
    last: [[Option<u32>; 4]; 4],
    picture_id: u16,
    base: u8,
    key: u8,
    pub wants_keyframe: bool,
    pub keyframes: u32,
}

impl Encoder {
    pub(crate) fn new(codec: Codec, rates: &[u64], temporal: u8, spatial: u8) -> Self {
        let state = (0..rates.len())
            .map(|index| State {
                picture_id: (0x7ff0 + index as u16 * 977) & 0x7fff,
                base: 250_u8.wrapping_add(index as u8 * 3),
                key: (30 + index as u8) & 31,
                wants_keyframe: true,
                ..State::default()
            })
            .collect();
        Self {
            codec,
            rates: rates.to_vec(),
            temporal,
            spatial,
            fps: if codec == Codec::Opus { 50 } else { 30 },
            cut: false,
            state,
        }
    }

    /// One picture of an encoding.
    pub(crate) fn encode(&mut self, encoding: usize, captured: u32) -> Vec<Piece> {
        let pattern: &[u8] = match self.temporal {
            3 => &[0, 2, 1, 2],
            2 => &[0, 1],
            _ => &[0],
        };
        let (codec, spatial_layers) = (self.codec, self.spatial);
        let bytes = (self.rates[encoding] / 8 / self.fps) as usize;
        let state = &mut self.state[encoding];
        let keyframe = codec != Codec::Opus && core::mem::take(&mut state.wants_keyframe);
        if keyframe {
            state.phase = 0;
            state.keyframes += 1;
            state.key = (state.key + 1) & 31;
        }
        let temporal = pattern[state.phase as usize % pattern.len()];
        let cut = self.cut && temporal == 0 && !keyframe;
        self.cut &= !cut;
        // The first of a layer in the pattern needs nothing of its own layer.
        let synced = state.phase as usize % pattern.len() < 3;
        state.phase += 1;
        state.picture += 1;
        state.picture_id = (state.picture_id + 1) & 0x7fff;
        if temporal == 0 {
            state.base = state.base.wrapping_add(1);
        }
        let mut pieces = Vec::new();
        for spatial in 0..if cut { 1 } else { spatial_layers } {
            let share = bytes * (1 << (2 * spatial)) / ((1 << (2 * spatial_layers)) / 3).max(1);
            let share = if spatial_layers == 1 { bytes } else { share };
            let share = if keyframe { share * 3 } else { share };
            let count = share.div_ceil(1100).max(1);
            let last = &mut state.last[usize::from(spatial)];
            let mut needs = Vec::new();
            if !keyframe && codec != Codec::Opus {
                needs.extend(last[0]);
                if temporal > 0 && !synced {
                    needs.extend(last[1..=usize::from(temporal)].iter().flatten());
                }
            }
            last[usize::from(temporal)] = Some(state.picture);
            if keyframe {
                *last = [Some(state.picture), None, None, None];
            }
            for at in 0..count {
                let truth = Truth {
                    encoding: encoding as u8,
                    spatial,
                    temporal,
                    picture: state.picture,
                    keyframe,
                    needs: needs.clone(),
                    at: at as u8,
                    of: count as u8,
                    captured,
                };
                let (first, last) = (at == 0, at + 1 == count);
                let mut payload = Vec::new();
                match codec {
                    Codec::Vp8 => vp8(state, temporal, synced, keyframe, first, &mut payload),
                    Codec::Vp9 => {
                        let flags = Vp9 {
                            spatial,
                            layers: spatial_layers,
                            keyframe,
                            first,
                            last,
                        };
                        // Upper layers may begin after a picture of the lowest one.
                        vp9(state, temporal, temporal == 0, &flags, &mut payload);
                    }
                    Codec::H264 => h264(keyframe, first, last, &mut payload),
                    Codec::Av1 => av1(keyframe, first, last, &mut payload),
                    _ => {}
                }
                truth.write(&mut payload);
                let size = share / count + usize::from(at < share % count);
                payload.resize(payload.len().max(size), 0x5a);
                if codec == Codec::H264 && keyframe && first {
                    let slice = (payload.len() - 13) as u16;
                    payload[11..13].copy_from_slice(&slice.to_be_bytes());
                }
                let descriptor = if codec == Codec::Av1 {
                    let start = u8::from(first) << 7 | u8::from(last) << 6;
                    descriptor(state.picture as u16, temporal, start, keyframe && first)
                } else {
                    Vec::new()
                };
                pieces.push(Piece {
                    payload,
                    marker: last && !cut && spatial + 1 == spatial_layers,
                    descriptor,
                });
            }
        }
        pieces
    }
}

fn vp8(state: &State, temporal: u8, synced: bool, key: bool, first: bool, into: &mut Vec<u8>) {
    into.push(0x80 | u8::from(first) << 4);
    into.push(0xf0);
    into.extend_from_slice(&(state.picture_id | 0x8000).to_be_bytes());
    into.push(state.base);
    let synced = synced && temporal > 0;
    into.push(temporal << 6 | u8::from(synced) << 5 | state.key);
    into.push(if first { u8::from(!key) } else { 0x77 });
    into.extend_from_slice(&[0, 0, 0x9d, 0x01, 0x2a, 0x80, 0x02, 0x68, 0x01]);
}

struct Vp9 {
    spatial: u8,
    layers: u8,
    keyframe: bool,
    first: bool,
    last: bool,
}

fn vp9(state: &State, temporal: u8, synced: bool, flags: &Vp9, into: &mut Vec<u8>) {
    // I, P, L, not F: layers and TL0PICIDX; spatial layers only within key
    // pictures (K-SVC).
    into.push(
        0x80 | u8::from(!flags.keyframe) << 6
            | 0x20
            | u8::from(flags.first) << 3
            | u8::from(flags.last) << 2
            | u8::from(flags.spatial + 1 < flags.layers),
    );
    into.extend_from_slice(&(state.picture_id | 0x8000).to_be_bytes());
    let above = flags.keyframe && flags.spatial > 0;
    into.push(temporal << 5 | u8::from(synced) << 4 | flags.spatial << 1 | u8::from(above));
    into.push(state.base);
}

fn h264(keyframe: bool, first: bool, last: bool, into: &mut Vec<u8>) {
    if keyframe && first {
        // SPS, PPS and the start of the IDR slice in one aggregate; the
        // slice's length is filled in once it is known.
        into.extend_from_slice(&[0x78, 0, 4, 0x67, 0x42, 0xe0, 0x1f, 0, 2, 0x68, 0xce]);
        into.extend_from_slice(&[0, 0, 0x65, 0x88]);
    } else {
        let kind = if keyframe { 5 } else { 1 };
        into.extend_from_slice(&[
            0x7c,
            u8::from(first) << 7 | u8::from(last) << 6 | kind,
            if first { 0x88 } else { 0x11 },
        ]);
    }
}

fn av1(keyframe: bool, first: bool, last: bool, into: &mut Vec<u8>) {
    // One OBU element without a length: a sequence header, or a frame.
    let new = keyframe && first;
    into.push(u8::from(!first) << 7 | u8::from(!last) << 6 | 0x10 | u8::from(new) << 3);
    if first {
        into.push(if new { 0x08 } else { 0x30 });
    }
}

/// A dependency descriptor of a stream of one spatial and two temporal layers.
fn descriptor(number: u16, temporal: u8, flags: u8, structure: bool) -> Vec<u8> {
    let mut bits = Bits::default();
    bits.put(u32::from(flags >> 7), 1);
    bits.put(u32::from(flags >> 6 & 1), 1);
    // Templates: 0 key, 1 base, 2 upper.
    let template = if structure {
        0
    } else {
        1 + u32::from(temporal.min(1))
    };
    bits.put(template, 6);
    bits.put(u32::from(number), 16);
    if !structure {
        return bits.bytes;
    }
    // Structure follows, no active targets, nothing custom.
    bits.put(0b10000, 5);
    bits.put(0, 6); // template id offset
    bits.put(1, 5); // two decode targets
    // Layers: 0 → 0 (same), 0 → 1 (next temporal), end.
    bits.put(0, 2);
    bits.put(1, 2);
    bits.put(3, 2);
    // Indications per template: S S, S R?, - D.
    for indications in [[2, 2], [2, 2], [0, 1]] {
        for indication in indications {
            bits.put(indication, 2);
        }
    }
    // Frame differences: none; 2; 1.
    bits.put(0, 1);
    bits.put(1, 1);
    bits.put(1, 4);
    bits.put(0, 1);
    bits.put(1, 1);
    bits.put(0, 4);
    bits.put(0, 1);
    // No chains: ns(targets + 1) of zero in two bits at most.
    bits.put(0, 1);
    // No resolutions.
    bits.put(0, 1);
    bits.bytes
}

#[derive(Default)]
struct Bits {
    bytes: Vec<u8>,
    used: usize,
}

impl Bits {
    fn put(&mut self, value: u32, count: usize) {
        for bit in (0..count).rev() {
            if self.used.is_multiple_of(8) {
                self.bytes.push(0);
            }
            let last = self.bytes.len() - 1;
            self.bytes[last] |= ((value >> bit & 1) as u8) << (7 - self.used % 8);
            self.used += 1;
        }
    }
}
