//! A transmit batch in memory.

use forebay_media::{Output, Path};

/// A datagram that was sent.
#[derive(Debug, Clone)]
pub(crate) struct Sent {
    pub(crate) flow: u32,
    pub(crate) path: Path,
    pub(crate) datagram: Vec<u8>,
}

/// Collects what is sent.
#[derive(Debug)]
pub(crate) struct Sink {
    buffer: Vec<u8>,
    pub(crate) sent: Vec<Sent>,
    /// Datagrams a batch has room for.
    pub(crate) room: usize,
}

impl Default for Sink {
    fn default() -> Self {
        Self {
            buffer: vec![0; 1500],
            sent: Vec::new(),
            room: usize::MAX,
        }
    }
}

impl Sink {
    /// Submits the batch.
    pub(crate) fn take(&mut self) -> Vec<Sent> {
        core::mem::take(&mut self.sent)
    }
}

impl Output for Sink {
    fn reserve(&mut self, len: usize) -> Option<&mut [u8]> {
        assert!(len <= self.buffer.len());
        if self.sent.len() >= self.room {
            return None;
        }
        // Stale bytes must not shine through.
        self.buffer.fill(0xAA);
        Some(&mut self.buffer[..len])
    }

    fn commit(&mut self, flow: u32, path: &Path, len: usize) {
        self.sent.push(Sent {
            flow,
            path: *path,
            datagram: self.buffer[..len].to_vec(),
        });
    }
}

/// Counts, and keeps nothing: allocates nothing.
pub(crate) struct Drain {
    buffer: [u8; 1500],
    pub(crate) datagrams: usize,
    pub(crate) bytes: usize,
}

impl Default for Drain {
    fn default() -> Self {
        Self {
            buffer: [0; 1500],
            datagrams: 0,
            bytes: 0,
        }
    }
}

impl Output for Drain {
    fn reserve(&mut self, len: usize) -> Option<&mut [u8]> {
        self.buffer.get_mut(..len)
    }

    fn commit(&mut self, _flow: u32, _path: &Path, len: usize) {
        self.datagrams += 1;
        self.bytes += len;
    }
}
