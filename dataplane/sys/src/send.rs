//! `sendmsg` and `sendto` through the ring: message headers, addresses, control messages
//! and iovecs of one submission, in arenas that are reused for the next.

use core::net::{IpAddr, SocketAddr};

use io_uring::squeue::{Entry, Flags};
use io_uring::{opcode, types};

use crate::address;
use crate::control_message::{append, space};
use crate::ring::callers;

/// UDP_SEGMENT, packet information, traffic class and IPV6_DONTFRAG together.
const CONTROL: usize = space(2) + space(20) + 2 * space(4);

/// Which memory a piece lies in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Memory {
    /// The ring's receive buffers.
    Received,
    /// The headers lent for this submission.
    Headers,
}

/// A range of bytes to send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Piece {
    /// Which memory.
    pub memory: Memory,
    /// First byte.
    pub start: u32,
    /// Bytes.
    pub len: u32,
}

/// One `sendmsg`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Send {
    /// Slot of the socket in the ring's file table.
    pub file: u32,
    /// Comes back in the completion if it fails; success completes silently.
    pub tag: u64,
    /// Where to; `None` on a connected socket.
    pub destination: Option<SocketAddr>,
    /// Source address, for sockets bound to a wildcard.
    pub source: Option<IpAddr>,
    /// Size of each datagram of a GSO send.
    pub segment: Option<u16>,
    /// The traffic class: DSCP and ECN.
    pub class: u8,
    /// Whether to send with DF (IPv4), or never as fragments (IPv6): then
    /// EMSGSIZE is the answer to what is longer than the interface takes.
    /// A single datagram from a relay socket; see
    /// [`Ring::sets_options`](crate::ring::Ring::sets_options).
    pub dont_fragment: bool,
}

impl Send {
    /// Whether DF has to be turned on and off around it.
    #[inline]
    pub(crate) fn needs_df(&self) -> bool {
        self.dont_fragment && matches!(self.destination, Some(SocketAddr::V4(_)))
    }
}

/// No sends.
pub(crate) fn none() -> impl Iterator<Item = (Send, core::iter::Empty<Piece>)> {
    core::iter::empty()
}

/// What one `sendmsg` points to. Heap memory that never moves.
#[repr(C)]
struct Message {
    header: libc::msghdr,
    control: [u8; CONTROL],
    name: [u8; address::MAX],
}

/// Memory for one submission.
pub(crate) struct Arena {
    messages: Vec<Message>,
    iovecs: Vec<libc::iovec>,
    used_messages: usize,
    used_iovecs: usize,
}

/// The arena holds no further message before the next submission.
#[derive(Debug)]
pub(crate) struct Full;

impl Arena {
    /// Room for `messages` sends with `iovecs` pieces in all.
    pub(crate) fn new(messages: usize, iovecs: usize) -> Self {
        let message = || Message {
            // SAFETY: msghdr consists of integers and raw pointers, for which
            // all zeros is a valid value; it has private padding on some
            // targets, so it cannot be written as a literal.
            header: unsafe { core::mem::zeroed() },
            control: [0; CONTROL],
            name: [0; address::MAX],
        };
        Self {
            messages: (0..messages).map(|_| message()).collect(),
            iovecs: vec![
                libc::iovec {
                    iov_base: core::ptr::null_mut(),
                    iov_len: 0
                };
                iovecs
            ],
            used_messages: 0,
            used_iovecs: 0,
        }
    }

    /// Forgets the messages: everything that points here was submitted.
    pub(crate) fn clear(&mut self) {
        self.used_messages = 0;
        self.used_iovecs = 0;
    }

    /// Encodes one send. Pieces outside their memory are left out, so that a
    /// wrong range can never show the network foreign memory.
    ///
    /// # Safety
    /// Before `received` or `headers` change or go away, the entry must have
    /// been submitted, or never be. The arena must not be cleared before.
    #[inline]
    pub(crate) unsafe fn encode(
        &mut self,
        send: &Send,
        pieces: impl Iterator<Item = Piece>,
        received: &[u8],
        headers: &[u8],
    ) -> Result<Entry, Full> {
        let first = self.used_iovecs;
        let mut end = first;
        for piece in pieces {
            let memory = match piece.memory {
                Memory::Received => received,
                Memory::Headers => headers,
            };
            let range = piece.start as usize..piece.start as usize + piece.len as usize;
            let Some(bytes) = memory.get(range) else {
                continue;
            };
            let Some(iovec) = self.iovecs.get_mut(end) else {
                return Err(Full);
            };
            iovec.iov_base = bytes.as_ptr().cast_mut().cast();
            iovec.iov_len = bytes.len();
            end += 1;
        }
        let Some(message) = self.messages.get_mut(self.used_messages) else {
            return Err(Full);
        };

        let mut control = 0;
        if let Some(segment) = send.segment {
            control = append(
                &mut message.control,
                control,
                libc::SOL_UDP,
                libc::UDP_SEGMENT,
                &segment.to_ne_bytes(),
            );
        }
        match send.source {
            None => {}
            Some(IpAddr::V4(source)) => {
                // in_pktinfo: interface index 0 leaves routing alone.
                let mut data = [0; 12];
                data[4..8].copy_from_slice(&source.octets());
                control = append(
                    &mut message.control,
                    control,
                    libc::IPPROTO_IP,
                    libc::IP_PKTINFO,
                    &data,
                );
            }
            Some(IpAddr::V6(source)) => {
                let mut data = [0; 20];
                data[..16].copy_from_slice(&source.octets());
                control = append(
                    &mut message.control,
                    control,
                    libc::IPPROTO_IPV6,
                    libc::IPV6_PKTINFO,
                    &data,
                );
            }
        }
        if send.class != 0 {
            let (level, kind) = match send.destination {
                Some(SocketAddr::V6(_)) => (libc::IPPROTO_IPV6, libc::IPV6_TCLASS),
                Some(SocketAddr::V4(_)) | None => (libc::IPPROTO_IP, libc::IP_TOS),
            };
            control = append(
                &mut message.control,
                control,
                level,
                kind,
                &i32::from(send.class).to_ne_bytes(),
            );
        }

        if send.dont_fragment && !send.needs_df() {
            control = append(
                &mut message.control,
                control,
                libc::IPPROTO_IPV6,
                libc::IPV6_DONTFRAG,
                &1_i32.to_ne_bytes(),
            );
        }

        let name_len = send.destination.map_or(0, |destination| {
            address::encode(&destination, &mut message.name) as u32
        });
        self.used_iovecs = end;
        self.used_messages += 1;
        let socket = types::Fixed(send.file);
        // MSG_DONTWAIT makes the kernel complete the request within the
        // submitting call, one way or the other: that is what lets buffers and
        // arenas be reused right after it.
        let flags = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;
        let entry = match &self.iovecs[first..end] {
            // Spares the kernel from fetching message header and iovec.
            [only] if control == 0 => {
                opcode::Send::new(socket, only.iov_base.cast(), only.iov_len as u32)
                    .flags(flags)
                    .dest_addr(message.name.as_ptr().cast())
                    .dest_addr_len(name_len)
                    .build()
            }
            pieces => {
                let header = &mut message.header;
                header.msg_name = message.name.as_mut_ptr().cast();
                header.msg_namelen = name_len;
                header.msg_iov = pieces.as_ptr().cast_mut();
                header.msg_iovlen = pieces.len();
                header.msg_controllen = control;
                header.msg_control = if control == 0 {
                    core::ptr::null_mut()
                } else {
                    message.control.as_mut_ptr().cast()
                };
                opcode::SendMsg::new(socket, &raw const message.header)
                    .flags(flags as u32)
                    .build()
            }
        };
        Ok(entry
            .flags(Flags::SKIP_SUCCESS)
            .user_data(callers(send.tag)))
    }

    /// Bytes taken.
    pub(crate) fn size(&self) -> usize {
        self.messages.len() * size_of::<Message>() + self.iovecs.len() * size_of::<libc::iovec>()
    }
}

impl core::fmt::Debug for Arena {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Arena")
            .field("messages", &self.messages.len())
            .finish_non_exhaustive()
    }
}
