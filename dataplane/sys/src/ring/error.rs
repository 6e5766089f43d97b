//! Why a ring cannot be made or used any longer.

use super::errno;
use crate::Errno;

/// Why a ring cannot be made. The text says what to change.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RingError {
    /// io_uring_setup is forbidden.
    #[error(
        "io_uring is disabled on this host or in this container ({0}): set `sysctl -w kernel.io_uring_disabled=0` \
         (or 1 with our group in kernel.io_uring_group), and let the container's seccomp profile allow \
         io_uring_setup, io_uring_enter and io_uring_register"
    )]
    Forbidden(Errno),
    /// The kernel does not know the flags.
    #[error("the kernel lacks {0}: Forebay needs Linux 6.1 or later")]
    Lacks(&'static str),
    /// Locked memory is used up.
    #[error(
        "no memory for the ring: RLIMIT_MEMLOCK is too small; set `LimitMEMLOCK=infinity` in the systemd unit or \
         `ulimit -l unlimited`"
    )]
    Memory,
    /// The file table is larger than RLIMIT_NOFILE.
    #[error(
        "the ring's file table of {files} sockets exceeds RLIMIT_NOFILE; set `LimitNOFILE={files}` or more in the \
         systemd unit, or configure fewer relay ports"
    )]
    Files {
        /// Slots wanted.
        files: u32,
    },
    /// Buffer counts are not powers of two below 16385.
    #[error("the number of receive buffers must be a power of two up to 16384")]
    Buffers,
    /// Anything else.
    #[error("{0} failed: {1}")]
    Other(&'static str, Errno),
}

/// The ring can no longer be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RingFailed {
    /// io_uring_enter failed in a way that does not pass.
    #[error("io_uring_enter failed: {0}")]
    Enter(Errno),
    /// The kernel does not take what was queued, or an earlier failure left
    /// the queue in an unknown state.
    #[error("the submission queue is stuck")]
    Stuck,
}

pub(super) fn setup_error(error: &std::io::Error) -> RingError {
    match errno(error) {
        forbidden @ (Errno::EPERM | Errno::EACCES | Errno::ENOSYS) => {
            RingError::Forbidden(forbidden)
        }
        Errno::EINVAL => RingError::Lacks("IORING_SETUP_DEFER_TASKRUN"),
        Errno::ENOMEM => RingError::Memory,
        other => RingError::Other("io_uring_setup", other),
    }
}
