//! Everything that needs the kernel's own structures: the ring and its
//! buffers, sockets and their control messages, steering, pinning, limits and
//! seccomp. One kernel feature per file, each with its probe and its encoding.
//!
//! This is the only crate with unsafe code; its public surface is safe.

#![allow(unsafe_code)]

pub mod address;
pub mod affinity;
pub mod buffers;
pub mod busy_poll;
pub mod clock;
pub mod control_message;
mod dont_fragment;
pub mod error_queue;
pub mod limits;
mod options;
pub mod preflight;
pub mod priority;
pub mod recv;
pub mod ring;
pub mod seccomp;
pub mod segmentation;
pub mod send;
pub mod sockets;
pub mod steer;
pub mod streams;
pub mod tcp;
pub mod wake;

pub use nix::errno::Errno;
