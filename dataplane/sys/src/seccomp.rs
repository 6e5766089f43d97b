//! Confines the calling thread to a list of system calls.

use std::collections::BTreeMap;

use seccompiler::{BpfProgram, SeccompAction, SeccompFilter, TargetArch};

use crate::Errno;

/// A system call and why the thread needs it.
#[derive(Debug, Clone, Copy)]
pub struct Allowed {
    /// Number, as in `libc::SYS_…`.
    pub number: i64,
    /// Why.
    pub reason: &'static str,
}

/// Why a thread could not be confined.
#[derive(Debug, thiserror::Error)]
#[error("seccomp: {0}; the kernel needs CONFIG_SECCOMP_FILTER")]
pub struct SeccompError(String);

/// From here on the calling thread gets EPERM from every system call that is
/// not in the list, and so do the threads it starts. An error and not a
/// signal: a libc that tries a newer call first falls back to an older one,
/// and relaying goes on.
pub fn confine(allowed: &[Allowed]) -> Result<(), SeccompError> {
    let wrap = |error: &dyn core::fmt::Display| SeccompError(error.to_string());
    let architecture =
        TargetArch::try_from(std::env::consts::ARCH).map_err(|error| wrap(&error))?;
    let rules: BTreeMap<i64, _> = allowed
        .iter()
        .map(|call| (call.number, Vec::new()))
        .collect();
    let filter = SeccompFilter::new(
        rules,
        SeccompAction::Errno(Errno::EPERM as u32),
        SeccompAction::Allow,
        architecture,
    )
    .map_err(|error| wrap(&error))?;
    let program: BpfProgram = filter
        .try_into()
        .map_err(|error: seccompiler::BackendError| wrap(&error))?;
    seccompiler::apply_filter(&program).map_err(|error| wrap(&error))
}

/// Numbers of the system calls a list may name.
pub mod call {
    pub use libc::{
        SYS_bind as BIND, SYS_brk as BRK, SYS_clock_gettime as CLOCK_GETTIME, SYS_close as CLOSE,
        SYS_connect as CONNECT, SYS_exit as EXIT, SYS_exit_group as EXIT_GROUP, SYS_futex as FUTEX,
        SYS_getpeername as GETPEERNAME, SYS_getpid as GETPID, SYS_getrandom as GETRANDOM,
        SYS_getrusage as GETRUSAGE, SYS_getsockname as GETSOCKNAME, SYS_getsockopt as GETSOCKOPT,
        SYS_gettid as GETTID, SYS_io_uring_enter as IO_URING_ENTER,
        SYS_io_uring_register as IO_URING_REGISTER, SYS_listen as LISTEN, SYS_madvise as MADVISE,
        SYS_mmap as MMAP, SYS_mprotect as MPROTECT, SYS_mremap as MREMAP, SYS_munmap as MUNMAP,
        SYS_restart_syscall as RESTART_SYSCALL, SYS_rseq as RSEQ, SYS_rt_sigaction as RT_SIGACTION,
        SYS_rt_sigprocmask as RT_SIGPROCMASK, SYS_rt_sigreturn as RT_SIGRETURN,
        SYS_sched_setscheduler as SCHED_SETSCHEDULER, SYS_sched_yield as SCHED_YIELD,
        SYS_setsockopt as SETSOCKOPT, SYS_sigaltstack as SIGALTSTACK, SYS_socket as SOCKET,
        SYS_tgkill as TGKILL, SYS_write as WRITE,
    };
}
