//! Opens the listening sockets of all workers.

use std::net::SocketAddr;

use super::Listener;
use super::error::StartError;

/// How listening sockets are set up.
#[derive(Debug, Clone, Copy)]
pub struct ListenOptions {
    /// SO_RCVBUF of each socket, bytes. Asked for with SO_RCVBUFFORCE where
    /// privileged; what was granted stands in the boot report.
    pub receive_buffer: usize,
    /// SO_SNDBUF of each socket, bytes.
    pub send_buffer: usize,
    /// SO_BUSY_POLL, microseconds; zero is off.
    pub busy_poll: u32,
}

impl Default for ListenOptions {
    /// 4 MiB each way: 10 ms of 3 Gbit/s.
    fn default() -> Self {
        Self {
            receive_buffer: 4 << 20,
            send_buffer: 4 << 20,
            busy_poll: 0,
        }
    }
}

/// Opens one address for `workers` workers (at least one): element `i` belongs
/// to the worker with index `i`. Call it before privileges are dropped.
pub fn open(
    address: SocketAddr,
    workers: usize,
    options: ListenOptions,
) -> Result<Vec<Listener>, StartError> {
    let _ = (workers, options);
    Err(StartError::Listen {
        address,
        reason: "not supported yet".to_owned(),
    })
}
