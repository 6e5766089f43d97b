//! What the host must offer before a worker starts. Every refusal says what
//! to change.

use crate::limits;
use crate::ring::{Ring, RingConfig, RingError};

/// The oldest kernel with everything the ring needs.
pub const OLDEST_KERNEL: (u32, u32) = (6, 1);

/// Why no worker can run here.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PreflightError {
    /// The kernel is too old.
    #[error(
        "Linux {release} is too old: Forebay needs 6.1 or later (Debian 12, Ubuntu 24.04, RHEL 10)"
    )]
    Kernel {
        /// As uname tells it.
        release: String,
    },
    /// The hard limit on open files is too small.
    #[error(
        "{need} sockets per worker need RLIMIT_NOFILE {need}, the hard limit is {limit}: set `LimitNOFILE={need}` \
         in the systemd unit, `ulimit -Hn {need}` in a shell, or configure fewer relay ports"
    )]
    OpenFiles {
        /// Wanted.
        need: u64,
        /// The hard limit.
        limit: u64,
    },
    /// A limit cannot be read or raised.
    #[error("cannot raise RLIMIT_NOFILE to its hard limit: {0}")]
    Limits(crate::Errno),
    /// A ring cannot be made. Its memory may be what is missing.
    #[error("{error}{}", memlock_note(.error))]
    Ring {
        /// What failed.
        error: RingError,
    },
}

fn memlock_note(error: &RingError) -> String {
    match (error, limits::locked_memory()) {
        (RingError::Memory, Ok(Some(bytes))) => format!(" (it is {} kB now)", bytes / 1024),
        _ => String::new(),
    }
}

/// What the host was found to be.
#[derive(Debug, Clone)]
pub struct Host {
    /// Kernel release.
    pub release: String,
    /// RLIMIT_NOFILE after raising it.
    pub open_files: u64,
}

/// Descriptors besides those of one ring's file table: listeners before they
/// are handed over, rings, pipes, logs, the control sockets.
const OTHER_FILES: u64 = 256;

/// Checks the kernel, raises RLIMIT_NOFILE, and makes `workers` rings with
/// small tables at once, so that a missing permission or limit shows here and
/// not in the third worker. A ring's file table is limited by RLIMIT_NOFILE
/// but takes no descriptors, so the need is that of the largest worker.
pub fn check(workers: usize, files_per_worker: u64) -> Result<Host, PreflightError> {
    let release = nix::sys::utsname::uname()
        .map(|name| name.release().to_string_lossy().into_owned())
        .map_err(PreflightError::Limits)?;
    if version(&release).is_some_and(|version| version < OLDEST_KERNEL) {
        return Err(PreflightError::Kernel { release });
    }
    let limit = limits::raise_open_files().map_err(PreflightError::Limits)?;
    let need = files_per_worker + OTHER_FILES;
    if limit < need {
        return Err(PreflightError::OpenFiles { need, limit });
    }
    let trial = RingConfig {
        files: 8,
        media_buffers: 8,
        request_buffers: 8,
        stream_buffers: 0,
        streams: 0,
    };
    let rings: Result<Vec<Ring>, RingError> = (0..workers).map(|_| Ring::new(trial)).collect();
    match rings {
        Ok(_) => Ok(Host {
            release,
            open_files: limit,
        }),
        Err(error) => Err(PreflightError::Ring { error }),
    }
}

/// Major and minor of a release such as `6.1.0-18-amd64`. A release that does
/// not look like that is judged by the ring alone.
fn version(release: &str) -> Option<(u32, u32)> {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(str::parse);
    Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
}
