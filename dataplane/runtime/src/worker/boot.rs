//! What a worker found when it started, for the operator's log.

use core::fmt;
use std::net::SocketAddr;

/// An optional kernel feature: probed at start, used where present.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Feature {
    /// Name, for example `udp_gso`.
    pub name: &'static str,
    /// Whether it is in use.
    pub active: bool,
    /// What its absence costs, or how it is set.
    pub note: String,
}

/// Socket buffers as the kernel granted them, bytes (the kernel's own
/// bookkeeping included, so about twice what was asked for).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SocketBuffers {
    /// SO_RCVBUF as read back.
    pub receive: usize,
    /// SO_SNDBUF as read back.
    pub send: usize,
}

/// Memory a worker took at start, bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Memory {
    /// The shard's tables.
    pub shard: usize,
    /// Receive buffers (address space; resident as far as packets filled it,
    /// all of it with huge pages).
    pub receive_buffers: usize,
    /// Batches, socket table, send arena and port lists.
    pub worker: usize,
}

/// What a worker found and took when it started.
#[derive(Debug, Clone, Default)]
pub struct BootReport {
    /// Index of the worker.
    pub worker: usize,
    /// The core it is pinned to.
    pub core: Option<usize>,
    /// Optional features.
    pub features: Vec<Feature>,
    /// Memory taken.
    pub memory: Memory,
    /// Listening sockets with their buffers.
    pub listeners: Vec<(SocketAddr, SocketBuffers)>,
    /// Media sockets with their buffers.
    pub media: Vec<(SocketAddr, SocketBuffers)>,
    /// Buffers of a relay socket.
    pub relay: SocketBuffers,
    /// Relay ports it owns, over all relay addresses.
    pub relay_ports: usize,
}

impl fmt::Display for BootReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "worker {}", self.worker)?;
        match self.core {
            Some(core) => write!(f, " on core {core}")?,
            None => f.write_str(" not pinned")?,
        }
        write!(
            f,
            ": memory {} kB = tables {} + receive buffers {} + worker {}; {} relay ports; relay buffers {}/{}",
            (self.memory.shard + self.memory.receive_buffers + self.memory.worker) / 1024,
            self.memory.shard / 1024,
            self.memory.receive_buffers / 1024,
            self.memory.worker / 1024,
            self.relay_ports,
            self.relay.receive,
            self.relay.send,
        )?;
        for (address, buffers) in &self.listeners {
            write!(
                f,
                "; {address} buffers {}/{}",
                buffers.receive, buffers.send
            )?;
        }
        for (address, buffers) in &self.media {
            write!(
                f,
                "; media {address} buffers {}/{}",
                buffers.receive, buffers.send
            )?;
        }
        f.write_str("; ")?;
        for (position, feature) in self.features.iter().enumerate() {
            let separator = if position == 0 { "" } else { ", " };
            let state = if feature.active { "on" } else { "off" };
            write!(f, "{separator}{} {state}", feature.name)?;
            if !feature.note.is_empty() {
                write!(f, " ({})", feature.note)?;
            }
        }
        Ok(())
    }
}
