//! Scheduling the calling thread ahead of ordinary ones (SCHED_RR).

use crate::Errno;

/// Gives the calling thread the lowest real-time priority; threads it starts
/// do not inherit it. EPERM without CAP_SYS_NICE or RLIMIT_RTPRIO. The kernel
/// keeps a twentieth of the core for everybody else
/// (kernel.sched_rt_runtime_us).
pub fn real_time() -> Result<(), Errno> {
    let parameters = libc::sched_param { sched_priority: 1 };
    // SAFETY: the kernel reads one integer from a live local; 0 is the calling
    // thread. Neither std nor the other crates here set scheduling policies.
    let outcome = unsafe {
        libc::sched_setscheduler(
            0,
            libc::SCHED_RR | libc::SCHED_RESET_ON_FORK,
            &raw const parameters,
        )
    };
    Errno::result(outcome).map(drop)
}
