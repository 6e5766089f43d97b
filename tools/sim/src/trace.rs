//! What happened, for a person to read after a failure.

use std::collections::VecDeque;

use crate::network::{MILLISECOND, Packet, SECOND, Time};
use crate::stun::{Message, parse_channel_data};

/// Keeps or prints a line per event.
pub(crate) enum Trace {
    Off,
    /// The last lines, at most [`Trace::KEPT`].
    Keep(VecDeque<String>),
    Print,
}

impl Trace {
    const KEPT: usize = 60;

    pub(crate) fn note(&mut self, now: Time, line: impl FnOnce() -> String) {
        let stamped = |line: String| {
            format!(
                "{:>6}.{:06} {line}",
                now / SECOND,
                now % SECOND / (MILLISECOND / 1000)
            )
        };
        match self {
            Self::Off => {}
            Self::Keep(lines) => {
                if lines.len() == Self::KEPT {
                    lines.pop_front();
                }
                lines.push_back(stamped(line()));
            }
            Self::Print => println!("{}", stamped(line())),
        }
    }

    /// What was kept.
    pub(crate) fn lines(self) -> Vec<String> {
        match self {
            Self::Keep(lines) => lines.into(),
            _ => Vec::new(),
        }
    }
}

/// One line about a datagram.
pub(crate) fn describe(packet: &Packet) -> String {
    let content = match Message::parse(&packet.bytes) {
        Some(message) => {
            let code = message
                .error_code()
                .map_or(String::new(), |code| format!("{code} "));
            format!("{code}{message:?}")
        }
        None => match (packet.bytes.first(), parse_channel_data(&packet.bytes)) {
            (Some(0x40..=0x7F), Some((number, payload))) => {
                format!("channel {number:#06x}, {} bytes", payload.len())
            }
            _ => "payload or garbage".into(),
        },
    };
    format!(
        "{} -> {}, {} bytes: {content}",
        packet.source,
        packet.destination,
        packet.bytes.len()
    )
}
