//! Socket options set through the ring (Linux 6.7): the file table holds no
//! descriptors, and an option set between two sends keeps its place there, for
//! requests that complete where they are submitted are carried out in the order
//! of the queue.

use std::os::fd::OwnedFd;

use io_uring::squeue::{Entry, Flags};
use io_uring::{opcode, types};

use crate::Errno;
use crate::dont_fragment;
use crate::ring::{Ring, RingFailed, Wait};

/// The request that sets an option of the socket in `slot`. Nobody waits for
/// it.
pub(crate) fn set(slot: u32, level: i32, name: i32, value: &'static i32) -> Entry {
    request(slot, level, name, value)
        .flags(Flags::SKIP_SUCCESS)
        .user_data(u64::MAX)
}

fn request(slot: u32, level: i32, name: i32, value: &'static i32) -> Entry {
    opcode::SetSockOpt::new(
        types::Fixed(slot),
        level as u32,
        name as u32,
        core::ptr::from_ref(value).cast(),
        size_of::<i32>() as u32,
    )
    .build()
}

impl Ring {
    /// Whether options can be set through the ring, tried on a relay socket of
    /// either family: what [`Send::dont_fragment`](crate::send::Send) and
    /// [`Ring::hear_errors`] need. Takes the file table's first slot for it,
    /// which has to be free, and frees it again.
    pub fn sets_options(&mut self, socket: OwnedFd) -> Result<bool, RingFailed> {
        const SLOT: u32 = 0;
        self.install(SLOT, socket).map_err(RingFailed::Enter)?;
        let (level, name) = (libc::IPPROTO_IP, libc::IP_MTU_DISCOVER);
        // SAFETY: the only pointer is to a static.
        unsafe { self.push(request(SLOT, level, name, &dont_fragment::OFF).user_data(0))? };
        self.enter(&[], crate::send::none(), Wait::Poll)?;
        let mut outcome = Err(Errno::EOPNOTSUPP);
        self.reap(|completion| outcome = completion.result);
        self.uninstall(SLOT)?;
        Ok(outcome.is_ok())
    }
}
