//! Who speaks: by the smoothed levels the data plane reports, with hysteresis
//! so that a cough does not turn every screen.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::rooms::ids::ParticipantId;
use crate::rooms::message::SpeakerInfo;

/// −dBov; quieter is not speaking.
const QUIET: u8 = 50;
/// A level counts for this long after its report.
const LASTS: Duration = Duration::from_millis(1_500);
/// How much louder somebody must be to take over, dB.
const LOUDER: u8 = 6;
/// How long somebody must have been loudest to take over from one who speaks.
const TAKES: Duration = Duration::from_millis(600);
/// How long the active speaker stays after falling silent, unless another
/// speaks.
const STAYS: Duration = Duration::from_secs(3);
/// Between two reports of levels.
const EVERY: Duration = Duration::from_millis(300);

#[derive(Debug, Clone, Copy)]
struct Voice {
    level: u8,
    heard: Instant,
}

/// A room's speakers.
#[derive(Debug, Default)]
pub(super) struct Speakers {
    voices: BTreeMap<ParticipantId, Voice>,
    active: Option<ParticipantId>,
    /// When the active one last spoke.
    spoke: Option<Instant>,
    challenger: Option<(ParticipantId, Instant)>,
    reported: Option<Instant>,
    changed: bool,
}

impl Speakers {
    /// The active speaker.
    pub(super) const fn active(&self) -> Option<ParticipantId> {
        self.active
    }

    /// Everybody who speaks.
    pub(super) fn all(&self) -> impl Iterator<Item = ParticipantId> {
        self.voices.keys().copied()
    }

    /// Whether somebody speaks.
    pub(super) fn speaks(&self, who: ParticipantId) -> bool {
        self.voices.contains_key(&who)
    }

    /// A level was reported.
    pub(super) fn hear(&mut self, now: Instant, who: ParticipantId, level: u8, voice: bool) {
        if voice && level < QUIET {
            let fresh = self
                .voices
                .insert(who, Voice { level, heard: now })
                .is_none_or(|old| old.level.abs_diff(level) >= 3);
            self.changed |= fresh;
        } else if self.voices.remove(&who).is_some() {
            self.changed = true;
        }
    }

    /// Somebody left or was muted.
    pub(super) fn forget(&mut self, who: ParticipantId) {
        self.changed |= self.voices.remove(&who).is_some();
        if self.active == Some(who) {
            self.active = None;
            self.changed = true;
        }
    }

    /// Decides. Whether the active speaker changed, and whether there is
    /// anything to tell.
    pub(super) fn decide(&mut self, now: Instant) -> (bool, bool) {
        let before = self.voices.len();
        self.voices
            .retain(|_, voice| now.saturating_duration_since(voice.heard) < LASTS);
        self.changed |= self.voices.len() != before;
        let former = self.active;
        let loudest = self
            .voices
            .iter()
            .min_by_key(|(_, voice)| voice.level)
            .map(|(who, voice)| (*who, voice.level));
        let current = self.active.and_then(|who| self.voices.get(&who));
        if current.is_some() {
            self.spoke = Some(now);
        }
        match (loudest, current) {
            (Some((who, _)), _) if Some(who) == self.active => self.challenger = None,
            // Nobody to take over from.
            (Some((who, _)), None) => {
                self.active = Some(who);
                self.challenger = None;
            }
            (Some((who, level)), Some(current)) => {
                if level.saturating_add(LOUDER) > current.level {
                    self.challenger = None;
                } else {
                    let since = match self.challenger {
                        Some((same, since)) if same == who => since,
                        _ => now,
                    };
                    self.challenger = Some((who, since));
                    if now.saturating_duration_since(since) >= TAKES {
                        self.active = Some(who);
                        self.challenger = None;
                    }
                }
            }
            (None, _) => {
                self.challenger = None;
                let silent = self
                    .spoke
                    .is_none_or(|spoke| now.saturating_duration_since(spoke) > STAYS);
                if silent {
                    self.active = None;
                }
            }
        }
        let turned = former != self.active;
        let due = self
            .reported
            .is_none_or(|at| now.saturating_duration_since(at) >= EVERY);
        let tell = turned || self.changed && due;
        if tell {
            self.reported = Some(now);
            self.changed = false;
        }
        if turned {
            self.spoke = Some(now);
        }
        (turned, tell)
    }

    /// Who speaks, loudest first.
    pub(super) fn infos(&self) -> Vec<SpeakerInfo> {
        let mut infos: Vec<_> = self
            .voices
            .iter()
            .map(|(who, voice)| SpeakerInfo {
                participant: *who,
                level: voice.level,
            })
            .collect();
        infos.sort_by_key(|info| (info.level, info.participant));
        infos.truncate(16);
        infos
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ADA: ParticipantId = ParticipantId(1);
    const BOB: ParticipantId = ParticipantId(2);

    fn at(start: Instant, ms: u64) -> Instant {
        start + Duration::from_millis(ms)
    }

    #[test]
    fn the_first_voice_is_active_and_a_cough_does_not_take_over() {
        let start = Instant::now();
        let mut speakers = Speakers::default();
        speakers.hear(start, ADA, 30, true);
        assert_eq!(speakers.decide(start), (true, true));
        assert_eq!(speakers.active(), Some(ADA));
        speakers.hear(at(start, 250), ADA, 30, true);
        speakers.hear(at(start, 250), BOB, 10, true);
        assert!(!speakers.decide(at(start, 250)).0);
        speakers.hear(at(start, 500), BOB, 127, false);
        assert!(!speakers.decide(at(start, 500)).0);
        assert_eq!(speakers.active(), Some(ADA));
    }

    #[test]
    fn whoever_stays_louder_takes_over_and_silence_ends_it() {
        let start = Instant::now();
        let mut speakers = Speakers::default();
        for step in 0..5 {
            let now = at(start, step * 250);
            speakers.hear(now, ADA, 30, true);
            if step > 0 {
                speakers.hear(now, BOB, 15, true);
            }
            speakers.decide(now);
        }
        assert_eq!(speakers.active(), Some(BOB));
        assert_eq!(speakers.infos()[0].participant, BOB);
        speakers.decide(at(start, 3_000));
        assert_eq!(speakers.active(), Some(BOB), "a pause is no end");
        speakers.decide(at(start, 6_000));
        assert_eq!(speakers.active(), None);
    }

    #[test]
    fn a_quiet_voice_is_taken_over_by_the_same_only_when_clearly_louder() {
        let start = Instant::now();
        let mut speakers = Speakers::default();
        speakers.hear(start, ADA, 30, true);
        speakers.decide(start);
        for step in 1..20 {
            let now = at(start, step * 250);
            speakers.hear(now, ADA, 30, true);
            speakers.hear(now, BOB, 27, true);
            speakers.decide(now);
        }
        assert_eq!(speakers.active(), Some(ADA));
    }
}
