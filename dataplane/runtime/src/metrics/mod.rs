//! Metrics and health over HTTP, on a thread of its own.

mod exposition;
mod front;
mod process;
mod server;

pub use exposition::{Exposition, Format};
pub use server::{MetricsServer, ServeError};
