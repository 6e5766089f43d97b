//! The sending side of one session: its bandwidth, and how it is shared.

use forebay_wire::clock::Instant;

use super::StreamSlot;
use super::allocate::{Budget, Claim, Ladder, Rung, Steadiness, allocate};
use super::estimate::Estimator;
use super::resend::Allowance;
use super::select::Target;
use crate::describe::{LayerCap, TrackKind};
use crate::ids::Ssrc;
use crate::track::{MAX_LAYERS, Track};

/// SSRCs a session may be sent under in its life.
pub(super) const MAX_SSRCS: usize = 4096;
/// Bits per second assumed of an encoding before it is measured.
const ASSUMED: [u64; 4] = [150_000, 500_000, 1_500_000, 2_500_000];
/// Bits per second of a sound track at least.
const SOUND: u64 = 40_000;
/// Headers, extensions and repetitions beyond what is measured, percent.
const OVERHEAD: u64 = 106;

/// See the module.
pub(super) struct Sender {
    pub(super) streams: Vec<StreamSlot>,
    pub(super) estimator: Estimator,
    pub(super) steadiness: Steadiness,
    pub(super) allowance: Allowance,
    /// Bytes of media sent.
    pub(super) sent: u64,
    /// Every SSRC ever used: one must not come back with numbers that have
    /// been, under the same keys.
    pub(super) used: Vec<Ssrc>,
    /// Bits per second, as of the last look, and as last told.
    pub(super) estimate: u64,
    pub(super) told_estimate: u64,
    /// When shares were last looked at.
    pub(super) shared: Option<Instant>,
}

impl Sender {
    pub(super) fn new(now: Instant, estimator: Estimator) -> Self {
        Self {
            streams: Vec::new(),
            estimator,
            steadiness: Steadiness::new(),
            allowance: Allowance::new(now),
            sent: 0,
            used: Vec::new(),
            estimate: 0,
            told_estimate: 0,
            shared: None,
        }
    }
}

/// What a track offers within a cap.
pub(super) fn ladder(track: &Track, cap: LayerCap) -> Ladder {
    let mut ladder = Ladder::default();
    if let [only] = track.encodings.as_ref() {
        if only.rates.total() == 0 {
            // Not measured yet: everything, until it is.
            ladder.push(Rung {
                target: Target {
                    encoding: 0,
                    spatial: cap.spatial,
                    temporal: cap.temporal,
                },
                rate: ASSUMED[1],
            });
            return ladder;
        }
        let highest = (0..MAX_LAYERS as u8)
            .rev()
            .find(|&spatial| {
                only.rates.layers[usize::from(spatial)]
                    .iter()
                    .any(|&rate| rate > 0)
            })
            .unwrap_or(0)
            .min(cap.spatial);
        for spatial in 0..=highest {
            rungs(&mut ladder, cap, spatial == 0, |temporal| {
                let target = Target {
                    encoding: 0,
                    spatial,
                    temporal,
                };
                (target, only.rates.up_to(spatial, temporal))
            });
        }
        return ladder;
    }
    let allowed = |index: usize| index <= usize::from(cap.spatial);
    let lowest = track.encodings.iter().position(|encoding| encoding.active);
    for (index, encoding) in track.encodings.iter().enumerate() {
        // Below all that arrive there is nothing, whatever the cap.
        if !encoding.active || !allowed(index) && Some(index) != lowest {
            continue;
        }
        let assumed = if encoding.rates.total() == 0 {
            ASSUMED[index.min(3)]
        } else {
            0
        };
        rungs(&mut ladder, cap, Some(index) == lowest, |temporal| {
            let target = Target {
                encoding: index as u8,
                spatial: MAX_LAYERS as u8 - 1,
                temporal,
            };
            (target, encoding.rates.up_to(u8::MAX, temporal).max(assumed))
        });
    }
    if ladder.rungs().is_empty() {
        // Nothing arrives yet: whatever comes first is right.
        ladder.push(Rung {
            target: Target {
                encoding: 0,
                spatial: MAX_LAYERS as u8 - 1,
                temporal: cap.temporal,
            },
            rate: ASSUMED[0],
        });
    }
    ladder
}

/// The temporal steps of one encoding or spatial layer: all of them at the
/// bottom, further up only the whole.
fn rungs(ladder: &mut Ladder, cap: LayerCap, bottom: bool, measure: impl Fn(u8) -> (Target, u64)) {
    let highest = cap.temporal.min(MAX_LAYERS as u8 - 1);
    let lowest = if bottom { 0 } else { highest };
    for temporal in lowest..=highest {
        let (target, rate) = measure(temporal);
        ladder.push(Rung {
            target,
            rate: rate * OVERHEAD / 100,
        });
    }
}

/// A stream's wish, as far as allocation cares.
pub(super) struct Wish {
    pub(super) stream: StreamSlot,
    pub(super) kind: TrackKind,
    pub(super) ladder: Ladder,
    pub(super) priority: u8,
    pub(super) has: Option<Target>,
}

impl Sender {
    /// Shares the bandwidth anew. Sound is always sent, and first.
    pub(super) fn share(
        &mut self,
        now: Instant,
        wishes: &[Wish],
        mut give: impl FnMut(StreamSlot, Option<Target>),
    ) {
        let mut sound = 0;
        let mut claims = Vec::with_capacity(wishes.len());
        for (index, wish) in wishes.iter().enumerate() {
            match wish.kind {
                TrackKind::Audio => {
                    let top = wish.ladder.rungs().last();
                    sound += top.map_or(0, |rung| rung.rate).clamp(SOUND, 4 * SOUND);
                    give(wish.stream, top.map(|rung| rung.target));
                }
                TrackKind::Video => {
                    let mut claim = Claim::new(wish.ladder, wish.priority, wish.has);
                    claim.index = index as u32;
                    claims.push(claim);
                }
            }
        }
        let budget = Budget {
            rate: self.estimator.estimate(now).saturating_sub(sound),
            measured: self.estimator.heard(),
            lossless: self.estimator.is_lossless(),
        };
        let wanted = allocate(now, budget, &mut claims, &mut self.steadiness);
        for claim in &claims {
            if let Some(wish) = wishes.get(claim.index as usize) {
                give(wish.stream, claim.target());
            }
        }
        self.estimator.set_wanted(wanted.map(|mut wanted| {
            wanted.next += sound;
            wanted.all += sound;
            wanted
        }));
        self.shared = Some(now);
    }
}
