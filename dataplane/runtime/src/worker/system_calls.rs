//! What a worker may ask of the kernel once it runs, and why. Whatever is not
//! here fails with EPERM.

use forebay_sys::seccomp::{Allowed, call};

macro_rules! allow {
    ($($number:ident: $reason:literal,)*) => {
        /// The list.
        pub(super) const ALLOWED: &[Allowed] = &[$(Allowed { number: call::$number, reason: $reason },)*];
    };
}

allow! {
    IO_URING_ENTER: "submit and wait: the loop itself",
    IO_URING_REGISTER: "put a new relay socket into the file table",
    SOCKET: "open a relay socket",
    SETSOCKOPT: "its buffers, GRO, traffic class and drop counter",
    GETSOCKOPT: "drop counters of the listening sockets",
    BIND: "its relay port",
    LISTEN: "a relay socket for peers that connect over TCP",
    GETPEERNAME: "who they are",
    CONNECT: "take over a client that another worker is steered",
    GETSOCKNAME: "which local address that gave",
    CLOSE: "its descriptor, once the file table holds it",
    GETRANDOM: "random relay ports",
    CLOCK_GETTIME: "CPU time of the thread; wall and monotonic time where the vDSO cannot tell them",
    GETRUSAGE: "whether the thread still finds time to sleep",
    SCHED_SETSCHEDULER: "real-time priority under overload, and back",
    FUTEX: "wake a control thread that waits for reports",
    WRITE: "a panic message",
    MMAP: "the allocator, for usernames, credentials and policy",
    MUNMAP: "the same",
    MREMAP: "the same",
    MPROTECT: "the same: it grows a thread's arena by changing protection",
    MADVISE: "the same: it gives memory back; and the stack when the thread ends",
    BRK: "the same",
    SCHED_YIELD: "a contended queue",
    RT_SIGPROCMASK: "end of thread, and abort after a panic",
    RT_SIGRETURN: "return from a signal handler",
    RT_SIGACTION: "abort after a panic",
    SIGALTSTACK: "end of thread",
    RESTART_SYSCALL: "a wait continued after a stop and continue",
    GETPID: "abort after a panic",
    GETTID: "abort after a panic",
    TGKILL: "abort after a panic",
    RSEQ: "end of thread",
    EXIT: "end of thread",
    EXIT_GROUP: "abort after a panic",
}
