//! Receive memory: one mapping, divided into buffers the kernel picks from by
//! itself (provided-buffer rings, Linux 5.19).
//!
//! Two groups, so that datagrams on the request sockets find a buffer however
//! many media datagrams wait to be handled.

use core::num::NonZeroUsize;
use core::ptr::NonNull;
use core::sync::atomic::{AtomicU16, Ordering};

use io_uring::types::BufRingEntry;
use nix::sys::mman::{MapFlags, MmapAdvise, ProtFlags, madvise, mmap_anonymous, munmap};

use crate::Errno;
use crate::recv;

/// From one buffer to the next: metadata, 64 KiB of merged payload, and three
/// cache lines more than a power of two, so that the first lines of all
/// buffers, the only ones small packets use, spread over the whole cache
/// instead of falling into the same few sets.
pub const STRIDE: usize = (65_536 + recv::OFFSET).next_multiple_of(64);

const PAGE: usize = 4096;

/// Which sockets draw from a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u16)]
pub enum Group {
    /// Media: everything that is not a request.
    Media = 0,
    /// STUN requests.
    Requests = 1,
}

/// Memory from the kernel, given back on drop.
struct Mapping {
    base: NonNull<u8>,
    len: NonZeroUsize,
}

impl Mapping {
    fn new(len: usize) -> Result<Self, Errno> {
        let len = NonZeroUsize::new(len.next_multiple_of(PAGE)).ok_or(Errno::EINVAL)?;
        // SAFETY: an anonymous mapping at an address of the kernel's choice
        // touches no memory anybody else has; mmap is the only way to get
        // page-aligned memory that madvise can turn into huge pages.
        let base = unsafe {
            mmap_anonymous(
                None,
                len,
                ProtFlags::PROT_READ | ProtFlags::PROT_WRITE,
                MapFlags::MAP_PRIVATE,
            )?
        };
        Ok(Self {
            base: base.cast(),
            len,
        })
    }

    fn want_huge_pages(&self) -> bool {
        // SAFETY: the range is exactly one mapping of ours, and MADV_HUGEPAGE
        // changes how it is backed, never what it holds.
        unsafe { madvise(self.base.cast(), self.len.get(), MmapAdvise::MADV_HUGEPAGE) }.is_ok()
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: base and len are what mmap returned, unmapped only here; no
        // borrow outlives the owner.
        let _ = unsafe { munmap(self.base.cast(), self.len.get()) };
    }
}

/// One ring of free buffers shared with the kernel.
struct FreeRing {
    entries: Mapping,
    /// Entries in the ring, a power of two.
    count: u16,
    /// Id of its first buffer.
    first: u16,
    /// Our copy of the tail.
    tail: u16,
}

impl FreeRing {
    fn new(first: u16, count: u16) -> Result<Self, Errno> {
        let entries = Mapping::new(usize::from(count) * size_of::<BufRingEntry>())?;
        Ok(Self {
            entries,
            count,
            first,
            tail: 0,
        })
    }

    fn give(&mut self, memory: &Mapping, buffer: u16) {
        let position = usize::from(self.tail & (self.count - 1));
        // SAFETY: the ring lies in a zeroed, page-aligned mapping with room
        // for `count` entries and position is below `count`. The kernel reads
        // an entry only once the tail has passed it.
        let entry = unsafe {
            &mut *self
                .entries
                .base
                .cast::<BufRingEntry>()
                .as_ptr()
                .add(position)
        };
        entry.set_addr(memory.base.as_ptr() as u64 + (usize::from(buffer) * STRIDE) as u64);
        entry.set_len(STRIDE as u32);
        entry.set_bid(buffer);
        self.tail = self.tail.wrapping_add(1);
    }

    /// Shows the kernel everything given so far.
    fn publish(&self) {
        // SAFETY: the tail lies in the first entry of the ring, is aligned to
        // its size, and both sides access it atomically; it does not overlap
        // the fields `give` writes.
        let tail = unsafe {
            let field = BufRingEntry::tail(self.entries.base.cast::<BufRingEntry>().as_ptr());
            AtomicU16::from_ptr(field.cast_mut())
        };
        tail.store(self.tail, Ordering::Release);
    }
}

/// All receive buffers of a ring.
pub(crate) struct Buffers {
    memory: Mapping,
    bytes: usize,
    media: FreeRing,
    requests: FreeRing,
    huge_pages: bool,
}

impl Buffers {
    /// `media` buffers, and `requests` in their own group (powers of two).
    pub(crate) fn new(media: u16, requests: u16) -> Result<Self, Errno> {
        if !media.is_power_of_two()
            || !requests.is_power_of_two()
            || media > 1 << 14
            || requests > 1 << 14
        {
            return Err(Errno::EINVAL);
        }
        let bytes = usize::from(media + requests) * STRIDE;
        let memory = Mapping::new(bytes)?;
        let huge_pages = memory.want_huge_pages();
        let mut media_ring = FreeRing::new(0, media)?;
        let mut requests_ring = FreeRing::new(media, requests)?;
        for buffer in 0..media {
            media_ring.give(&memory, buffer);
        }
        for buffer in media..media + requests {
            requests_ring.give(&memory, buffer);
        }
        media_ring.publish();
        requests_ring.publish();
        Ok(Self {
            memory,
            bytes,
            media: media_ring,
            requests: requests_ring,
            huge_pages,
        })
    }

    /// Registers both groups with a ring that is still disabled.
    ///
    /// # Safety
    /// The buffers must outlive the ring.
    pub(crate) unsafe fn register(
        &self,
        submitter: &io_uring::Submitter<'_>,
    ) -> std::io::Result<()> {
        for (ring, group) in [
            (&self.media, Group::Media),
            (&self.requests, Group::Requests),
        ] {
            // SAFETY: the entries lie in a page-aligned mapping of the stated
            // size, and the caller keeps it alive for as long as the ring.
            unsafe {
                submitter.register_buf_ring_with_flags(
                    ring.entries.base.as_ptr() as u64,
                    ring.count,
                    group as u16,
                    0,
                )?;
            }
        }
        Ok(())
    }

    /// Gives a buffer back to the group it came from. Visible to the kernel
    /// after [`Buffers::publish`]. Ids the kernel never handed out are ignored.
    pub(crate) fn give(&mut self, buffer: u16) {
        if buffer < self.requests.first {
            self.media.give(&self.memory, buffer);
        } else if buffer < self.requests.first + self.requests.count {
            self.requests.give(&self.memory, buffer);
        }
    }

    pub(crate) fn publish(&self) {
        self.media.publish();
        self.requests.publish();
    }

    /// Every buffer as one slice, [`STRIDE`] bytes each.
    pub(crate) fn memory(&mut self) -> &mut [u8] {
        // SAFETY: the mapping is ours, zeroed by the kernel, and `bytes` lies
        // within it. The kernel writes to it only while this thread is inside
        // io_uring_enter (DEFER_TASKRUN with a single issuer), which needs the
        // owner borrowed mutably, so no write can happen during this borrow.
        unsafe { core::slice::from_raw_parts_mut(self.memory.base.as_ptr(), self.bytes) }
    }

    pub(crate) fn memory_ref(&self) -> &[u8] {
        // SAFETY: as in `memory`, with a shared borrow.
        unsafe { core::slice::from_raw_parts(self.memory.base.as_ptr(), self.bytes) }
    }

    /// Bytes of address space.
    pub(crate) fn size(&self) -> usize {
        self.memory.len.get() + self.media.entries.len.get() + self.requests.entries.len.get()
    }

    pub(crate) fn huge_pages(&self) -> bool {
        self.huge_pages
    }
}

impl core::fmt::Debug for Buffers {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Buffers")
            .field("bytes", &self.bytes)
            .finish_non_exhaustive()
    }
}
