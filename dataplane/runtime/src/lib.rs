//! Workers, their sockets and rings, and the control thread around them.

pub mod config;
pub mod worker;
