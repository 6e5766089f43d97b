//! What a host must offer before any worker starts.

use super::error::StartError;
use super::sockets::files;

/// What the workers of this process need from the host.
#[derive(Debug, Clone, Copy)]
pub struct Need {
    /// Workers.
    pub workers: usize,
    /// Listening addresses.
    pub listeners: usize,
    /// Sockets of the largest worker, `ShardConfig::sockets` and its streams.
    pub sockets_per_worker: usize,
}

/// Checks kernel, io_uring and limits, and raises RLIMIT_NOFILE to its hard
/// limit. The error names the sysctl, directive or version to change.
pub fn check(need: Need) -> Result<(), StartError> {
    let files = files(need.sockets_per_worker, need.listeners) as u64;
    match forebay_sys::preflight::check(need.workers, files) {
        Ok(host) => {
            tracing::debug!(kernel = %host.release, open_files = host.open_files, "host can run workers");
            Ok(())
        }
        Err(error) => Err(StartError::Host(error.to_string())),
    }
}
