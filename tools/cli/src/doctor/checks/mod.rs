//! The checks, one file each.

mod buffers;
mod certificate;
mod clock;
mod external;
mod firewall;
mod io_uring;
mod kernel;
mod limits;
mod nic;
mod ports;
mod unit;

use super::Check;

/// In the order they are shown: what everything else stands on first.
pub(super) const ALL: [&dyn Check; 11] = [
    &kernel::Kernel,
    &io_uring::IoUring,
    &unit::Unit,
    &limits::Limits,
    &buffers::Buffers,
    &ports::Ports,
    &certificate::Certificate,
    &clock::Clock,
    &firewall::Firewall,
    &nic::Nic,
    &external::External,
];
