//! How often a publisher is asked for a keyframe (RFC 4585 §6.3.1).

use core::time::Duration;

use forebay_wire::clock::Instant;

/// Between the first requests: a keyframe of a large picture takes that long
/// to be made, sent and paced.
const FIRST: Duration = Duration::from_millis(500);
const LATER: Duration = Duration::from_secs(1);
/// When the publisher does not seem to hear, or the payload does not show
/// what it is.
const SELDOM: Duration = Duration::from_secs(3);
const PROMPT_TRIES: u8 = 2;
const TRIES: u8 = 8;

/// Requests for one encoding.
#[derive(Debug, Default)]
pub(crate) struct Keyframes {
    asked: Option<Instant>,
    /// Requests since the last keyframe.
    tries: u8,
    /// Of the command under way (RFC 5104 §4.3.1.2).
    command: u8,
}

impl Keyframes {
    fn pause(&self, rtt: Option<Duration>) -> Duration {
        let pause = if self.tries <= PROMPT_TRIES {
            FIRST
        } else if self.tries <= TRIES {
            LATER
        } else {
            SELDOM
        };
        pause.max(rtt.unwrap_or_default() * 2)
    }

    /// When the next request may go out.
    pub(crate) fn allowed(&self, rtt: Option<Duration>) -> Option<Instant> {
        self.asked.map(|asked| asked + self.pause(rtt))
    }

    pub(crate) fn asked(&mut self, now: Instant) {
        self.asked = Some(now);
        self.tries = self.tries.saturating_add(1);
    }

    /// The number of the command that a FIR gives: it is the same until a
    /// keyframe has come.
    pub(crate) fn command(&self) -> u8 {
        self.command
    }

    /// A keyframe began.
    pub(crate) fn came(&mut self) {
        if self.tries > 0 {
            self.command = self.command.wrapping_add(1);
        }
        self.tries = 0;
    }
}
