//! Scheduling the calling thread ahead of ordinary ones (SCHED_RR), and back.

use nix::sys::resource::{UsageWho, getrusage};

use crate::Errno;

/// Gives the calling thread the lowest real-time priority; threads it starts
/// do not inherit it. EPERM without CAP_SYS_NICE or RLIMIT_RTPRIO. The kernel
/// keeps a twentieth of the core for everybody else
/// (kernel.sched_rt_runtime_us).
pub fn real_time() -> Result<(), Errno> {
    schedule(libc::SCHED_RR, 1)
}

/// Makes the calling thread an ordinary one again.
pub fn ordinary() -> Result<(), Errno> {
    schedule(libc::SCHED_OTHER, 0)
}

/// How often the calling thread has gone to sleep by itself so far.
pub fn sleeps() -> u64 {
    // Cannot fail for the calling thread on Linux.
    getrusage(UsageWho::RUSAGE_THREAD)
        .map(|usage| usage.voluntary_context_switches().cast_unsigned())
        .unwrap_or_default()
}

fn schedule(policy: libc::c_int, priority: libc::c_int) -> Result<(), Errno> {
    let parameters = libc::sched_param {
        sched_priority: priority,
    };
    // SAFETY: the kernel reads one integer from a live local; 0 is the calling
    // thread. Neither std nor the other crates here set scheduling policies.
    let outcome = unsafe {
        libc::sched_setscheduler(0, policy | libc::SCHED_RESET_ON_FORK, &raw const parameters)
    };
    Errno::result(outcome).map(drop)
}
