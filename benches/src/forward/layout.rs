//! Who publishes, and who subscribes to whom.

use std::fmt;

use serde::Serialize;

/// A set of connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
pub enum Layout {
    /// One publisher to so many subscribers.
    Fan(usize),
    /// Rooms of ten, everybody to everybody else.
    Rooms(usize),
}

const ROOM: usize = 10;

impl Layout {
    /// Publishing connections.
    #[must_use]
    pub const fn publishers(self) -> usize {
        match self {
            Self::Fan(_) => 1,
            Self::Rooms(rooms) => rooms * ROOM,
        }
    }

    /// Subscribing connections.
    #[must_use]
    pub const fn subscribers(self) -> usize {
        match self {
            Self::Fan(subscribers) => subscribers,
            Self::Rooms(rooms) => rooms * ROOM,
        }
    }

    /// The publishers one subscriber gets.
    #[must_use]
    pub fn subscribed(self, subscriber: usize) -> Vec<usize> {
        match self {
            Self::Fan(_) => vec![0],
            Self::Rooms(_) => {
                let first = subscriber / ROOM * ROOM;
                (first..first + ROOM)
                    .filter(|&publisher| publisher != subscriber)
                    .collect()
            }
        }
    }

    /// Packets that leave for each that comes.
    #[must_use]
    pub const fn copies(self) -> usize {
        match self {
            Self::Fan(subscribers) => subscribers,
            Self::Rooms(_) => ROOM - 1,
        }
    }
}

impl fmt::Display for Layout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fan(subscribers) => write!(f, "1 → {subscribers}"),
            Self::Rooms(rooms) => write!(f, "{rooms} × room of {ROOM}"),
        }
    }
}
