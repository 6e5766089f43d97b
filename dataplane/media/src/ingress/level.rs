//! How loud a track is.

use core::time::Duration;

use forebay_wire::clock::Instant;

/// Silence (RFC 6464 §3).
const SILENCE: u8 = 127;
/// News come no faster.
const PAUSE: Duration = Duration::from_millis(200);
/// Without packets for so long there is silence.
const STOPPED: Duration = Duration::from_millis(600);
/// Decibels that make news.
const STEP: u8 = 3;
/// Louder than so is taken for voice when the publisher does not say.
const VOICE: u8 = 50;
/// Opus: what such small packets hold is no sound (RFC 6716 §2.1.9).
const DISCONTINUOUS: usize = 3;

/// The smoothed level of one track.
#[derive(Debug)]
pub(crate) struct Level {
    /// Sixteenths of a decibel below overload.
    smoothed: u16,
    voice: bool,
    heard: Option<Instant>,
    told: Option<Instant>,
    told_level: u8,
    told_voice: bool,
}

impl Default for Level {
    fn default() -> Self {
        Self {
            smoothed: u16::from(SILENCE) * 16,
            voice: false,
            heard: None,
            told: None,
            told_level: SILENCE,
            told_voice: false,
        }
    }
}

impl Level {
    /// Takes a packet in: the extension's value if there is one, else a guess
    /// from the payload's size, which with variable bit rate follows the
    /// sound.
    #[inline]
    pub(crate) fn packet(&mut self, now: Instant, extension: Option<u8>, payload: usize) {
        let (level, voice) = match extension {
            Some(byte) => (byte & 0x7F, byte & 0x80 != 0),
            None => {
                let level = match payload {
                    0..=DISCONTINUOUS => SILENCE,
                    4..=20 => 90,
                    21..=50 => 60,
                    _ => 35,
                };
                (level, level < VOICE)
            }
        };
        self.heard = Some(now);
        self.toward(level);
        self.voice = voice;
    }

    /// Attack within two packets, decay over about ten.
    fn toward(&mut self, level: u8) {
        let target = u16::from(level) * 16;
        let louder = target < self.smoothed;
        let weight = if louder { 2 } else { 8 };
        let change = (i32::from(target) - i32::from(self.smoothed)) / weight;
        self.smoothed = (i32::from(self.smoothed) + change).clamp(0, 127 * 16) as u16;
    }

    /// The level and whether it is voice, when that is news.
    #[inline]
    pub(crate) fn news(&mut self, now: Instant) -> Option<(u8, bool)> {
        if self.told.is_some_and(|told| now.since(told) < PAUSE) {
            return None;
        }
        if self.heard.is_some_and(|heard| now.since(heard) > STOPPED) {
            self.smoothed = u16::from(SILENCE) * 16;
            self.voice = false;
        }
        let level = ((self.smoothed + 8) / 16) as u8;
        if level.abs_diff(self.told_level) < STEP && self.voice == self.told_voice {
            return None;
        }
        self.told = Some(now);
        self.told_level = level;
        self.told_voice = self.voice;
        Some((level, self.voice))
    }
}
