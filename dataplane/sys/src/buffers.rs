//! Receive memory: one mapping, divided into buffers the kernel picks from by
//! itself (provided-buffer rings, Linux 5.19).
//!
//! Several groups, so that datagrams on the request sockets find a buffer
//! however many media datagrams wait to be handled, and neither has to share
//! with connections.

use core::num::NonZeroUsize;
use core::ops::Range;
use core::ptr::NonNull;
use core::sync::atomic::{AtomicU16, Ordering};

use io_uring::types::BufRingEntry;
use nix::sys::mman::{MapFlags, MmapAdvise, ProtFlags, madvise, mmap_anonymous, munmap};

use crate::Errno;
use crate::recv;
use crate::ring::RingConfig;
use crate::streams::{self, Area};

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
    /// Connections.
    Streams = 2,
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
    /// Where in the memory the kernel's part of the first buffer starts.
    start: usize,
    /// From there to the next buffer's.
    stride: usize,
    /// Bytes of the kernel's part.
    room: usize,
}

impl FreeRing {
    /// Buffers of one stride, all of it the kernel's.
    fn datagrams(first: u16, count: u16) -> Result<Self, Errno> {
        Self::new(first, count, usize::from(first) * STRIDE, STRIDE, STRIDE)
    }

    fn new(
        first: u16,
        count: u16,
        start: usize,
        stride: usize,
        room: usize,
    ) -> Result<Self, Errno> {
        let entries = Mapping::new(usize::from(count) * size_of::<BufRingEntry>())?;
        Ok(Self {
            entries,
            count,
            first,
            tail: 0,
            start,
            stride,
            room,
        })
    }

    /// The ids of its buffers.
    fn ids(&self) -> Range<u16> {
        self.first..self.first + self.count
    }

    /// Gives all buffers to the kernel.
    fn fill(&mut self, memory: &Mapping) {
        self.ids().for_each(|buffer| self.give(memory, buffer));
        self.publish();
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
        let start = self.start + usize::from(buffer - self.first) * self.stride;
        entry.set_addr(memory.base.as_ptr() as u64 + start as u64);
        entry.set_len(self.room as u32);
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
    streams: Option<FreeRing>,
    /// Buffers of connections that the kernel never gets.
    scratch: Vec<u16>,
    huge_pages: bool,
}

impl Buffers {
    /// As many as the configuration says (powers of two, none for connections
    /// where there are none).
    pub(crate) fn new(config: &RingConfig) -> Result<Self, Errno> {
        let (media, requests) = (config.media_buffers, config.request_buffers);
        let streams = config.stream_buffers;
        let sound = |count: u16| count.is_power_of_two() && count <= 1 << 14;
        if !sound(media) || !sound(requests) || !(streams == 0 || sound(streams)) {
            return Err(Errno::EINVAL);
        }
        let datagrams = usize::from(media + requests) * STRIDE;
        let scratch = if streams > 0 { streams::SCRATCH } else { 0 };
        let bytes = datagrams + usize::from(streams + scratch) * streams::SIZE;
        let memory = Mapping::new(bytes)?;
        let huge_pages = memory.want_huge_pages();
        let mut media_ring = FreeRing::datagrams(0, media)?;
        let mut requests_ring = FreeRing::datagrams(media, requests)?;
        media_ring.fill(&memory);
        requests_ring.fill(&memory);
        let first = media + requests;
        let streams_ring = if streams > 0 {
            let start = datagrams + streams::HEAD;
            let mut ring = FreeRing::new(first, streams, start, streams::SIZE, streams::DATA)?;
            ring.fill(&memory);
            Some(ring)
        } else {
            None
        };
        Ok(Self {
            memory,
            bytes,
            media: media_ring,
            requests: requests_ring,
            streams: streams_ring,
            scratch: (first + streams..first + streams + scratch).collect(),
            huge_pages,
        })
    }

    /// Registers all groups with a ring that is still disabled.
    ///
    /// # Safety
    /// The buffers must outlive the ring.
    pub(crate) unsafe fn register(
        &self,
        submitter: &io_uring::Submitter<'_>,
    ) -> std::io::Result<()> {
        let streams = self.streams.as_ref().map(|ring| (ring, Group::Streams));
        for (ring, group) in [
            (&self.media, Group::Media),
            (&self.requests, Group::Requests),
        ]
        .into_iter()
        .chain(streams)
        {
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
        } else if let Some(streams) = &mut self.streams {
            if streams.ids().contains(&buffer) {
                streams.give(&self.memory, buffer);
            } else if buffer < streams.first + streams.count + streams::SCRATCH
                && !self.scratch.contains(&buffer)
            {
                self.scratch.push(buffer);
            }
        }
    }

    /// A buffer for connections that the kernel has nothing to do with; given
    /// back like the others.
    pub(crate) fn take_scratch(&mut self) -> Option<u16> {
        self.scratch.pop()
    }

    /// Where a buffer for connections lies.
    pub(crate) fn area(&self, buffer: u16) -> Option<Area> {
        let streams = self.streams.as_ref()?;
        (streams.first..streams.first + streams.count + streams::SCRATCH)
            .contains(&buffer)
            .then(|| {
                let data = streams.start + usize::from(buffer - streams.first) * streams.stride;
                let start = data - streams::HEAD;
                Area {
                    whole: start..start + streams::SIZE,
                    data: data..data + streams::DATA,
                }
            })
    }

    pub(crate) fn publish(&self) {
        self.media.publish();
        self.requests.publish();
        if let Some(streams) = &self.streams {
            streams.publish();
        }
    }

    /// Every buffer as one slice: [`STRIDE`] bytes each, then those for
    /// connections.
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
        let streams = self.streams.as_ref();
        self.memory.len.get()
            + self.media.entries.len.get()
            + self.requests.entries.len.get()
            + streams.map_or(0, |ring| ring.entries.len.get())
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
