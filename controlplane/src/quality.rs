//! How good a stream is to those who hear or see it: a mean opinion score by
//! an E-model (after ITU-T G.107), with the limits docs/quality.md states.

use std::time::Duration;

use serde::Serialize;

/// What a score is made of.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Conditions {
    /// Share of packets lost after repair, 0–1.
    pub loss: f64,
    /// Interarrival jitter.
    pub jitter: Duration,
    /// Round-trip time; half of it counts as delay.
    pub rtt: Duration,
}

/// Codec-dependent constants of the model: the equipment impairment and the
/// robustness against random loss, percent.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Medium {
    ie: f64,
    bpl: f64,
}

impl Medium {
    /// Opus with in-band repair and concealment.
    pub const AUDIO: Self = Self { ie: 0.0, bpl: 20.0 };
    /// Video with retransmission: what is still lost shows.
    pub const VIDEO: Self = Self { ie: 0.0, bpl: 8.0 };
}

/// Default transmission rating without impairment (G.107 §7.7).
const R0: f64 = 93.2;

/// A mean opinion score between 1.0 and 4.5.
pub fn mos(medium: Medium, conditions: Conditions) -> f64 {
    // A jitter buffer holds about twice the jitter, and encoding, packets and
    // playing take 40 ms.
    let delay =
        conditions.rtt.as_secs_f64() * 500.0 + conditions.jitter.as_secs_f64() * 2_000.0 + 40.0;
    let beyond = (delay - 177.3).max(0.0);
    let delay_impairment = 0.024 * delay + 0.11 * beyond;
    let loss = conditions.loss.clamp(0.0, 1.0) * 100.0;
    let loss_impairment = medium.ie + (95.0 - medium.ie) * loss / (loss + medium.bpl);
    rating_to_mos(R0 - delay_impairment - loss_impairment)
}

/// G.107 annex B.
fn rating_to_mos(rating: f64) -> f64 {
    if rating <= 0.0 {
        1.0
    } else if rating >= 100.0 {
        4.5
    } else {
        (1.0 + 0.035 * rating + rating * (rating - 60.0) * (100.0 - rating) * 7e-6).max(1.0)
    }
}

/// A score in a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Grade {
    /// Nothing arrives.
    Lost,
    /// Below 3.1.
    Poor,
    /// Below 4.0.
    Good,
    /// 4.0 and above.
    Excellent,
}

impl Grade {
    /// The word for a score.
    pub fn of(mos: f64) -> Self {
        if mos >= 4.0 {
            Self::Excellent
        } else if mos >= 3.1 {
            Self::Good
        } else {
            Self::Poor
        }
    }

    /// As a label value.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Lost => "lost",
            Self::Poor => "poor",
            Self::Good => "good",
            Self::Excellent => "excellent",
        }
    }
}

/// One flow's score over time: a report counts, and older ones fade.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Smoothed {
    mos: Option<f64>,
    sum: f64,
    number: u32,
}

/// Weight of the latest report.
const LATEST: f64 = 0.6;

impl Smoothed {
    /// Takes a score in.
    pub fn add(&mut self, mos: f64) {
        self.mos = Some(self.mos.map_or(mos, |old| old + (mos - old) * LATEST));
        self.sum += mos;
        self.number = self.number.saturating_add(1);
    }

    /// The score now.
    pub const fn now(&self) -> Option<f64> {
        self.mos
    }

    /// The mean of all reports.
    pub fn mean(&self) -> Option<f64> {
        (self.number > 0).then(|| self.sum / f64::from(self.number))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(loss: f64, jitter: u64, rtt: u64) -> f64 {
        let conditions = Conditions {
            loss,
            jitter: Duration::from_millis(jitter),
            rtt: Duration::from_millis(rtt),
        };
        mos(Medium::AUDIO, conditions)
    }

    #[test]
    fn a_good_line_is_excellent_and_a_bad_one_is_not() {
        assert!(at(0.0, 0, 20) > 4.3, "{}", at(0.0, 0, 20));
        assert_eq!(Grade::of(at(0.0, 5, 60)), Grade::Excellent);
        assert_eq!(Grade::of(at(0.03, 20, 120)), Grade::Good);
        assert_eq!(Grade::of(at(0.15, 40, 300)), Grade::Poor);
        assert!(at(1.0, 500, 2_000) >= 1.0);
    }

    #[test]
    fn worse_conditions_never_score_higher() {
        let steps = |f: &dyn Fn(u32) -> f64| {
            let scores: Vec<_> = (0..60).map(f).collect();
            assert!(scores.is_sorted_by(|a, b| a >= b), "{scores:?}");
        };
        steps(&|i| at(f64::from(i) / 60.0, 10, 50));
        steps(&|i| at(0.01, u64::from(i) * 10, 50));
        steps(&|i| at(0.01, 10, u64::from(i) * 20));
    }

    #[test]
    fn the_rating_of_the_recommendation_maps_to_its_score() {
        // G.107 table B.1.
        for (rating, expected) in [
            (90.0, 4.34),
            (80.0, 4.03),
            (70.0, 3.60),
            (60.0, 3.10),
            (50.0, 2.58),
        ] {
            assert!((rating_to_mos(rating) - expected).abs() < 0.01, "{rating}");
        }
    }
}
