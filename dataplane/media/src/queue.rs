//! What waits for the caller.

use std::collections::VecDeque;

use forebay_wire::clock::Instant;

use crate::event::{Command, Event};
use crate::tables::SessionSlot;

/// A session's timers. At most one of each is pending.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Timer {
    /// Ingress: consent, reports; each second.
    Report,
    /// Ingress: transport-wide feedback.
    Feedback,
    /// Ingress: NACK and keyframe requests.
    Repair,
    /// Egress: what must be done within milliseconds (pacing of probes).
    Pace,
    /// Egress: sender reports, estimate, allocation.
    Estimate,
}

impl Timer {
    pub(crate) const COUNT: usize = 5;
    pub(crate) const ALL: [Self; Self::COUNT] = [
        Self::Report,
        Self::Feedback,
        Self::Repair,
        Self::Pace,
        Self::Estimate,
    ];
}

/// Commands not yet fetched.
pub(crate) struct Queue {
    commands: VecDeque<Command>,
    bound: usize,
    /// Bit per timer that is pending, by session slot.
    armed: Box<[u8]>,
}

impl Queue {
    pub(crate) fn new(sessions: u32) -> Self {
        let sessions = sessions as usize;
        // Timers are bounded by themselves; the rest may be as much again.
        let timers = sessions * Timer::COUNT;
        let bound = timers + sessions * 4 + 1024;
        Self {
            commands: VecDeque::with_capacity(bound),
            bound: bound - timers,
            armed: vec![0; sessions].into(),
        }
    }

    /// Calls `on_timer` at or shortly after `at`, unless that timer of the
    /// session is pending already: one that is pending is never moved, so a
    /// timer that must come soon has to be one that is never armed far ahead.
    pub(crate) fn arm(&mut self, session: SessionSlot, timer: Timer, at: Instant) {
        let Some(armed) = self.armed.get_mut(session.0 as usize) else {
            return;
        };
        let bit = 1 << timer as u8;
        if *armed & bit == 0 {
            *armed |= bit;
            let token = u64::from(session.0) << 8 | timer as u64;
            self.commands.push_back(Command::Arm { token, at });
        }
    }

    /// Notes that a timer fired. `None` when none of this token is pending.
    pub(crate) fn fired(&mut self, token: u64) -> Option<(SessionSlot, Timer)> {
        let timer = *Timer::ALL.get((token & 0xff) as usize)?;
        let session = SessionSlot(u32::try_from(token >> 8).ok()?);
        let armed = self.armed.get_mut(session.0 as usize)?;
        let bit = 1 << timer as u8;
        let pending = *armed & bit != 0;
        *armed &= !bit;
        pending.then_some((session, timer))
    }

    /// News. False when the queue is full and the news lost.
    pub(crate) fn event(&mut self, event: Event) -> bool {
        self.push(Command::Event(event))
    }

    /// Any other command. False when the queue is full.
    pub(crate) fn push(&mut self, command: Command) -> bool {
        let room = self.commands.len() < self.bound;
        if room {
            self.commands.push_back(command);
        }
        room
    }

    pub(crate) fn pop(&mut self) -> Option<Command> {
        self.commands.pop_front()
    }

    pub(crate) fn memory(&self) -> usize {
        self.commands.capacity() * size_of::<Command>() + self.armed.len()
    }
}
