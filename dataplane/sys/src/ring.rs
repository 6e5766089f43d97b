//! The ring of one worker, with everything the kernel may touch through it:
//! receive buffers, send arena, file table.
//!
//! Created disabled, probed, restricted to what the worker uses, then enabled
//! (Linux 5.10 and later; the flags used need 6.1).

mod error;

use core::time::Duration;
use std::os::fd::{AsRawFd, OwnedFd};

use io_uring::squeue::{Entry, Flags};
use io_uring::types::{CancelBuilder, Fixed, SubmitArgs, Timespec};
use io_uring::{IoUring, Probe, cqueue, opcode, register::Restriction};

use crate::Errno;
use crate::buffers::{Buffers, Group, STRIDE};
use crate::dont_fragment;
use crate::error_queue::Notes;
use crate::recv;
use crate::send::{Arena, Piece, Send};
use crate::streams::{self, Lane};
use crate::tcp;

use error::setup_error;
pub use error::{RingError, RingFailed};

/// io_uring_enter flags; the crate keeps its own private.
const GETEVENTS: u32 = 1;
const EXT_ARG: u32 = 1 << 3;

/// Submission queue entries. A round with more sends than this enters the
/// kernel more than once; larger costs 64 bytes an entry and cache.
const SUBMISSIONS: u32 = 1024;
/// Completions the kernel can post between two reaps: every buffer, every
/// failed send and every re-armed socket of a round with room to spare. An
/// overflow loses nothing but costs an allocation each.
const COMPLETIONS: u32 = 16_384;
/// Pieces of one submission: a full one with eight datagrams of two pieces
/// (header, payload) in each send.
const IOVECS: usize = SUBMISSIONS as usize * 16;

/// IORING_REGISTER_FILES_UPDATE, the only registration after start.
const REGISTER_FILES_UPDATE: u8 = 6;

/// Sizes of a ring.
#[derive(Debug, Clone, Copy)]
pub struct RingConfig {
    /// Slots of the file table.
    pub files: u32,
    /// Receive buffers for media (a power of two).
    pub media_buffers: u16,
    /// Receive buffers for requests (a power of two).
    pub request_buffers: u16,
    /// Receive buffers for connections (a power of two, or none).
    pub stream_buffers: u16,
    /// Connections that may send.
    pub streams: u32,
}

/// One completion.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Completion {
    /// As given with the request, but for the topmost bit.
    pub tag: u64,
    /// Bytes, or why it failed.
    pub result: Result<u32, Errno>,
    /// The receive buffer that was filled; it is the caller's until
    /// [`Ring::recycle`].
    pub buffer: Option<u16>,
    /// The request goes on and will complete again.
    pub more: bool,
}

/// The part of a tag that is the caller's: the topmost bit tells what the ring
/// itself waits for, and what it lets go of depends on it.
#[inline]
pub(crate) const fn callers(tag: u64) -> u64 {
    tag & !(1 << 63)
}

/// How long to stay in the kernel for completions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wait {
    /// Submit only, leave waiting datagrams in their sockets.
    Not,
    /// Take what is there.
    Poll,
    /// Until something completes or the time is over.
    UpTo(Duration),
    /// Until `completions` are there; once `within` has passed, any one is
    /// enough. As [`Wait::UpTo`] where the kernel cannot.
    Gather {
        /// How many are worth returning for at once.
        completions: u32,
        /// How long to wait for that many, in whole microseconds.
        within: Duration,
        /// How long to stay when nothing completes.
        up_to: Duration,
    },
}

/// See the module documentation.
///
/// # Calling contract
/// Used by the thread that made it. Per round: any number of `receive`,
/// `cancel`, `close`, `read_wake`, then one `enter` with the round's sends,
/// then `reap`; buffers of a round whose sends were handed to `enter` may be
/// recycled once it returns.
pub struct Ring {
    // Dropped before the memory the kernel was told about.
    io: IoUring,
    pub(crate) buffers: Buffers,
    arena: Arena,
    /// One for each connection that may send.
    pub(crate) lanes: Box<[Lane]>,
    pub(crate) notes: Notes,
    /// What accepts brought, not fetched yet.
    pub(crate) accepted: Vec<(u64, OwnedFd)>,
    receive: Box<libc::msghdr>,
    wake: Box<[u8; 8]>,
    waking: bool,
    files: u32,
    enters: u64,
    overflows: u64,
    busy: bool,
    gathers: bool,
}

impl Ring {
    /// Takes all memory, and enables the ring for the calling thread.
    pub fn new(config: RingConfig) -> Result<Self, RingError> {
        let mut io: IoUring = IoUring::builder()
            .dontfork()
            .setup_r_disabled()
            .setup_single_issuer()
            .setup_defer_taskrun()
            .setup_submit_all()
            .setup_clamp()
            .setup_cqsize(COMPLETIONS)
            .build(SUBMISSIONS)
            .map_err(|error| setup_error(&error))?;
        if !io.params().is_feature_ext_arg() || !io.params().is_feature_skip_cqe_on_success() {
            return Err(RingError::Lacks("io_uring timeouts and silent completions"));
        }
        probe(&io)?;

        let buffers = Buffers::new(&config).map_err(|errno| match errno {
            Errno::EINVAL => RingError::Buffers,
            Errno::ENOMEM => RingError::Memory,
            other => RingError::Other("mapping receive buffers", other),
        })?;
        let submitter = io.submitter();
        submitter
            .register_files_sparse(config.files)
            .map_err(|error| match errno(&error) {
                Errno::EMFILE => RingError::Files {
                    files: config.files,
                },
                Errno::ENOMEM => RingError::Memory,
                other => RingError::Other("registering the file table", other),
            })?;
        // SAFETY: the buffers move into the same struct as the ring, whose
        // fields drop in order: the ring first.
        unsafe { buffers.register(&submitter) }.map_err(|error| match errno(&error) {
            Errno::ENOMEM => RingError::Memory,
            Errno::EINVAL => RingError::Lacks("provided-buffer rings"),
            other => RingError::Other("registering receive buffers", other),
        })?;
        restrict(&submitter)?;
        submitter
            .register_enable_rings()
            .map_err(|error| RingError::Other("enabling the ring", errno(&error)))?;

        // SAFETY: integers and raw pointers, for which zeros are valid; libc
        // has private padding in it on some targets, so no literal.
        let mut receive: Box<libc::msghdr> = Box::new(unsafe { core::mem::zeroed() });
        // Multishot takes only the two lengths from here.
        receive.msg_namelen = recv::NAME as u32;
        receive.msg_controllen = recv::CONTROL;
        io.submission().sync();
        let gathers = io.params().is_feature_min_timeout();
        Ok(Self {
            io,
            buffers,
            arena: Arena::new(SUBMISSIONS as usize, IOVECS),
            accepted: Vec::new(),
            lanes: (0..config.streams).map(|_| Lane::default()).collect(),
            notes: Notes::new(),
            receive,
            wake: Box::new([0; 8]),
            waking: false,
            files: config.files,
            enters: 0,
            overflows: 0,
            busy: false,
            gathers,
        })
    }

    /// Puts a socket into a slot of the file table and closes the descriptor:
    /// the table keeps the socket open.
    pub fn install(&mut self, slot: u32, file: OwnedFd) -> Result<(), Errno> {
        if slot >= self.files {
            return Err(Errno::EBADF);
        }
        match self
            .io
            .submitter()
            .register_files_update(slot, &[file.as_raw_fd()])
        {
            Ok(_) => Ok(()),
            Err(error) => Err(errno(&error)),
        }
    }

    /// Empties a slot of the file table.
    pub(crate) fn uninstall(&mut self, slot: u32) -> Result<(), RingFailed> {
        self.io
            .submitter()
            .register_files_update(slot, &[-1])
            .map(drop)
            .map_err(|error| RingFailed::Enter(errno(&error)))
    }

    /// Starts receiving on a slot until cancelled or out of buffers; each
    /// datagram completes under `tag`.
    pub fn receive(&mut self, slot: u32, group: Group, tag: u64) -> Result<(), RingFailed> {
        let header: *const libc::msghdr = &raw const *self.receive;
        let entry = opcode::RecvMsgMulti::new(Fixed(slot), header, group as u16)
            .build()
            .user_data(callers(tag));
        // SAFETY: the header is owned by this ring, never changes and never
        // moves; buffers come from the registered group.
        unsafe { self.push(entry) }
    }

    /// Ends the request with this tag; its last completion says ECANCELED.
    pub fn cancel(&mut self, tag: u64) -> Result<(), RingFailed> {
        let entry = opcode::AsyncCancel::new(callers(tag))
            .build()
            .flags(Flags::SKIP_SUCCESS)
            .user_data(u64::MAX);
        // SAFETY: the entry carries no pointer.
        unsafe { self.push(entry) }
    }

    /// Closes the file in a slot; completes under `tag` when the slot is free.
    pub fn close(&mut self, slot: u32, tag: u64) -> Result<(), RingFailed> {
        let entry = opcode::Close::new(Fixed(slot))
            .build()
            .user_data(callers(tag));
        // SAFETY: the entry carries no pointer.
        unsafe { self.push(entry) }
    }

    /// Ends every request and closes every file, so that sockets and ports are
    /// free when this returns; left to itself, the kernel takes a ring apart
    /// some time after its end. Nothing can be received or sent afterwards.
    pub fn shut_down(&mut self) -> Result<(), RingFailed> {
        // Requests hold their file until they have completed.
        let entry = opcode::AsyncCancel2::new(CancelBuilder::any().all())
            .build()
            .user_data(u64::MAX);
        // SAFETY: the entry carries no pointer.
        unsafe { self.push(entry)? };
        self.submit_all(Wait::Poll)?;
        self.submit_all(Wait::Poll)?;
        self.reap(|_| {});
        self.busy = true;
        let none = vec![-1; self.files as usize];
        self.io
            .submitter()
            .register_files_update(0, &none)
            .map_err(|error| RingFailed::Enter(errno(&error)))?;
        Ok(())
    }

    /// Waits for the eventfd in `slot`; completes once, under `tag`.
    pub fn read_wake(&mut self, slot: u32, tag: u64) -> Result<(), RingFailed> {
        if self.waking {
            return Ok(());
        }
        let into = self.wake.as_mut_ptr();
        let entry = opcode::Read::new(Fixed(slot), into, self.wake.len() as u32)
            .build()
            .user_data(callers(tag));
        // SAFETY: eight bytes of heap memory that live as long as the ring and
        // that nobody reads; `waking` keeps it to one read at a time.
        unsafe { self.push(entry)? };
        self.waking = true;
        Ok(())
    }

    /// The read started by [`Ring::read_wake`] completed.
    pub fn woken(&mut self) {
        self.waking = false;
    }

    /// Queues the sends, submits everything queued, and stays in the kernel as
    /// `wait` says. When it returns, every send has finished: failures are
    /// among the completions, and `headers` and the receive buffers the pieces
    /// lie in are no longer in use.
    pub fn enter<P: Iterator<Item = Piece> + Clone>(
        &mut self,
        headers: &[u8],
        sends: impl Iterator<Item = (Send, P)>,
        wait: Wait,
    ) -> Result<(), RingFailed> {
        if self.busy {
            return Err(RingFailed::Stuck);
        }
        // Stays set when anything below panics or fails, so that entries that
        // point to `headers` are never submitted by a later call.
        self.busy = true;
        for (send, pieces) in sends {
            let received = self.buffers.memory_ref();
            // SAFETY: this function returns only after everything queued was
            // submitted, or with `busy` set, after which nothing is submitted
            // any more; it borrows both memories until then.
            let entry = match unsafe { self.arena.encode(&send, pieces.clone(), received, headers) }
            {
                Ok(entry) => entry,
                Err(_full) => {
                    self.submit_all(Wait::Not)?;
                    let received = self.buffers.memory_ref();
                    // SAFETY: as above.
                    match unsafe { self.arena.encode(&send, pieces, received, headers) } {
                        Ok(entry) => entry,
                        // Larger than the whole arena: never sendable.
                        Err(_full) => continue,
                    }
                }
            };
            if send.needs_df() {
                // SAFETY: as below, and the options' values are static.
                unsafe {
                    self.push_unchecked(dont_fragment::turn(true, send.file))?;
                    self.push_unchecked(entry)?;
                    self.push_unchecked(dont_fragment::turn(false, send.file))?;
                }
                continue;
            }
            // SAFETY: message, address, control messages and iovecs lie in the
            // arena, which is not cleared before they were submitted.
            unsafe { self.push_unchecked(entry)? };
        }
        self.submit_all(wait)?;
        self.busy = false;
        Ok(())
    }

    /// Hands completions to `on` until there are none left. Returns how many.
    pub fn reap(&mut self, mut on: impl FnMut(Completion)) -> usize {
        let mut count = 0;
        for entry in self.io.completion() {
            count += 1;
            let result = entry.result();
            let mut tag = entry.user_data();
            if tag >> 63 != 0 {
                let (own, socket) = tcp::accepted(tag, result);
                tag = own;
                self.accepted.extend(socket.map(|socket| (own, socket)));
            }
            on(Completion {
                tag: streams::completed(&mut self.lanes, tag).unwrap_or(tag),
                result: u32::try_from(result).map_err(|_| Errno::from_raw(-result)),
                buffer: cqueue::buffer_select(entry.flags()),
                more: cqueue::more(entry.flags()),
            });
        }
        count
    }

    /// All receive buffers as one slice.
    pub fn memory(&mut self) -> &mut [u8] {
        self.buffers.memory()
    }

    /// The same, to read.
    pub fn memory_ref(&self) -> &[u8] {
        self.buffers.memory_ref()
    }

    /// Reads what the kernel wrote into a buffer; `filled` as the completion
    /// said. Also where its payload starts within [`Ring::memory`].
    #[inline]
    pub fn received(&self, buffer: u16, filled: u32) -> Option<(usize, recv::Received)> {
        let start = usize::from(buffer) * STRIDE;
        let bytes = self.buffers.memory_ref().get(start..start + STRIDE)?;
        Some((start + recv::OFFSET, recv::parse(bytes, filled as usize)?))
    }

    /// Gives buffers back to the kernel.
    pub fn recycle(&mut self, buffers: impl Iterator<Item = u16>) {
        for buffer in buffers {
            self.buffers.give(buffer);
        }
        self.buffers.publish();
    }

    /// Calls to io_uring_enter so far.
    pub fn enters(&self) -> u64 {
        self.enters
    }

    /// Enters that found the completion queue overflown.
    pub fn overflows(&self) -> u64 {
        self.overflows
    }

    /// Receive buffers and their rings, bytes of address space.
    pub fn buffer_memory(&self) -> usize {
        self.buffers.size()
    }

    /// Arena and queues, bytes.
    pub fn own_memory(&self) -> usize {
        self.arena.size()
            + self.notes.size()
            + size_of_val(&*self.lanes)
            + SUBMISSIONS as usize * size_of::<Entry>()
            + COMPLETIONS as usize * size_of::<cqueue::Entry>()
    }

    /// Whether [`Wait::Gather`] is more than [`Wait::UpTo`] (Linux 6.12).
    pub fn gathers(&self) -> bool {
        self.gathers
    }

    /// Whether the kernel took the advice to back buffers with huge pages.
    pub fn huge_pages(&self) -> bool {
        self.buffers.huge_pages()
    }

    /// # Safety
    /// What the entry points to must be owned by the ring and stay as it is
    /// until the request completes.
    pub(crate) unsafe fn push(&mut self, entry: Entry) -> Result<(), RingFailed> {
        if self.busy {
            return Err(RingFailed::Stuck);
        }
        // SAFETY: the caller's promise.
        unsafe { self.push_unchecked(entry) }
    }

    /// # Safety
    /// What the entry points to must stay as it is until it was submitted, or,
    /// for requests that do not finish within submission, until they complete.
    #[inline]
    unsafe fn push_unchecked(&mut self, entry: Entry) -> Result<(), RingFailed> {
        // SAFETY: the caller's promise.
        if unsafe { self.io.submission().push(&entry) }.is_ok() {
            return Ok(());
        }
        // Not `submit_all`: the arena still holds the message of this entry.
        self.submit(Wait::Not)?;
        // SAFETY: the caller's promise.
        unsafe { self.io.submission().push(&entry) }.map_err(|_| RingFailed::Stuck)
    }

    fn submit_all(&mut self, wait: Wait) -> Result<(), RingFailed> {
        self.submit(wait)?;
        self.arena.clear();
        Ok(())
    }

    fn submit(&mut self, wait: Wait) -> Result<(), RingFailed> {
        // The kernel takes all of it in one call unless it is out of memory
        // for requests, which passes or it does not; a bound turns a hang into
        // an error that ends the worker.
        const ATTEMPTS: u32 = 10_000;
        let wait = match wait {
            Wait::Gather { up_to, .. } if !self.gathers => Wait::UpTo(up_to),
            wait => wait,
        };
        for _ in 0..ATTEMPTS {
            let queue = self.io.submission();
            let queued = queue.len() as u32;
            let overflown = queue.cq_overflow();
            drop(queue);
            let (time, gather) = match wait {
                Wait::UpTo(time) => (time, Duration::ZERO),
                Wait::Gather { within, up_to, .. } => (up_to, within),
                Wait::Not | Wait::Poll => (Duration::ZERO, Duration::ZERO),
            };
            let time = Timespec::from(time);
            let gather = u32::try_from(gather.as_micros()).unwrap_or(u32::MAX);
            let args = SubmitArgs::new().timespec(&time).min_wait_usec(gather);
            let (minimum, flags) = match wait {
                Wait::Not if queued == 0 => return Ok(()),
                Wait::Not => (0, EXT_ARG),
                Wait::Poll => (0, GETEVENTS | EXT_ARG),
                Wait::UpTo(_) => (1, GETEVENTS | EXT_ARG),
                Wait::Gather { completions, .. } => (completions, GETEVENTS | EXT_ARG),
            };
            self.enters += 1;
            self.overflows += u64::from(overflown);
            // SAFETY: the flags ask for the extended argument that is passed;
            // what the entries point to is covered by the promises of `push`.
            let outcome = unsafe {
                self.io
                    .submitter()
                    .enter(queued, minimum, flags, Some(&args))
            };
            match outcome.map_err(|error| errno(&error)) {
                // Out of time, interrupted, or out of memory for a moment:
                // what counts is whether the queue is empty.
                Ok(_) | Err(Errno::ETIME | Errno::EINTR | Errno::EAGAIN | Errno::EBUSY) => {}
                Err(other) => {
                    self.busy = true;
                    return Err(RingFailed::Enter(other));
                }
            }
            if self.io.submission().is_empty() {
                return Ok(());
            }
        }
        self.busy = true;
        Err(RingFailed::Stuck)
    }
}

impl core::fmt::Debug for Ring {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Ring")
            .field("files", &self.files)
            .field("enters", &self.enters)
            .finish_non_exhaustive()
    }
}

pub(crate) fn errno(error: &std::io::Error) -> Errno {
    Errno::from_raw(error.raw_os_error().unwrap_or(libc::EIO))
}

/// Operations the worker submits.
const OPERATIONS: [(u8, &str); 11] = [
    (opcode::Accept::CODE, "IORING_OP_ACCEPT"),
    (opcode::Connect::CODE, "IORING_OP_CONNECT"),
    (opcode::Shutdown::CODE, "IORING_OP_SHUTDOWN"),
    (opcode::Send::CODE, "IORING_OP_SEND"),
    (opcode::Recv::CODE, "IORING_OP_RECV"),
    (opcode::RecvMsgMulti::CODE, "IORING_OP_RECVMSG"),
    (opcode::SendMsg::CODE, "IORING_OP_SENDMSG"),
    (opcode::AsyncCancel::CODE, "IORING_OP_ASYNC_CANCEL"),
    (opcode::Close::CODE, "IORING_OP_CLOSE"),
    (opcode::Read::CODE, "IORING_OP_READ"),
    (opcode::SetSockOpt::CODE, "IORING_OP_URING_CMD"),
];

fn probe(io: &IoUring) -> Result<(), RingError> {
    let mut probe = Probe::new();
    io.submitter()
        .register_probe(&mut probe)
        .map_err(|error| RingError::Other("probing io_uring", errno(&error)))?;
    match OPERATIONS
        .iter()
        .find(|(code, _)| !probe.is_supported(*code))
    {
        Some((_, name)) => Err(RingError::Lacks(name)),
        None => Ok(()),
    }
}

/// From here on the ring does what the worker does and nothing else, whoever
/// gets hold of its descriptor.
fn restrict(submitter: &io_uring::Submitter<'_>) -> Result<(), RingError> {
    let flags = Flags::FIXED_FILE | Flags::BUFFER_SELECT | Flags::SKIP_SUCCESS;
    let mut rules: Vec<Restriction> = OPERATIONS
        .iter()
        .map(|(code, _)| Restriction::sqe_op(*code))
        .collect();
    rules.push(Restriction::sqe_flags_allowed(flags.bits()));
    rules.push(Restriction::register_op(REGISTER_FILES_UPDATE));
    // Enabling comes after restricting and counts as a registration.
    rules.push(Restriction::register_op(REGISTER_ENABLE_RINGS));
    submitter
        .register_restrictions(&mut rules)
        .map_err(|error| RingError::Other("restricting the ring", errno(&error)))
}

const REGISTER_ENABLE_RINGS: u8 = 12;
