//! Workers, their sockets and rings, and the control thread around them.

pub mod config;
pub mod control;
pub mod dtls;
pub mod front;
pub mod metrics;
pub mod node;
pub mod service;
pub mod streams;
pub mod usage;
pub mod worker;
