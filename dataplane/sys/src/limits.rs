//! Resource limits of the process.

use nix::sys::resource::{Resource, getrlimit, setrlimit};

use crate::Errno;

/// Raises the soft RLIMIT_NOFILE to the hard limit and returns it.
pub fn raise_open_files() -> Result<u64, Errno> {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    if soft < hard {
        setrlimit(Resource::RLIMIT_NOFILE, hard, hard)?;
    }
    Ok(hard)
}

/// The soft RLIMIT_MEMLOCK, bytes; `None` when there is none.
pub fn locked_memory() -> Result<Option<u64>, Errno> {
    let (soft, _) = getrlimit(Resource::RLIMIT_MEMLOCK)?;
    Ok((soft != libc::RLIM_INFINITY).then_some(soft))
}
