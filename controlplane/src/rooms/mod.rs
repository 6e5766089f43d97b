//! Rooms: one task owns them all ([`actor`]); everybody else talks to it
//! through [`Rooms`].

mod actor;
pub mod ids;
pub mod message;
pub mod metrics;
pub mod model;
pub mod note;

pub use actor::{Asked, Ended, Media, News, Rooms, start};
