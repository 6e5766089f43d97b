//! What ICMP says of datagrams that were sent (IP_RECVERR, IPV6_RECVERR), from
//! a socket's error queue. Nobody polls it: an error that arrives also fails
//! the next send or receive on the socket, and that tells of it.

use core::net::SocketAddr;

use io_uring::squeue::Entry;
use io_uring::{opcode, types};

use crate::address;
use crate::control_message::{self, space};
use crate::options;
use crate::ring::{Ring, RingFailed, callers};

/// Reads there is room for in one submission.
pub const READS: usize = 64;

/// The extended error with the address of whoever sent it, packet information
/// and traffic class.
const CONTROL: usize = space(16 + address::MAX) + space(20) + space(4);

/// `sock_extended_err`'s ee_origin.
const LOCAL: u8 = 1;
const ICMP: u8 = 2;
const ICMP6: u8 = 3;

/// An error of an earlier datagram.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SocketError {
    /// Where that was going; port 0 where the kernel does not say.
    pub destination: SocketAddr,
    /// What became of it.
    pub fate: Fate,
}

/// What became of a datagram.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// An ICMP error came, ICMPv6 for an IPv6 destination.
    Icmp {
        /// ICMP type.
        kind: u8,
        /// ICMP code.
        code: u8,
        /// The MTU, where the type has one; whatever the message held there
        /// otherwise.
        info: u32,
    },
    /// It was too long for the interface and not to be fragmented.
    TooLong {
        /// The interface's MTU.
        mtu: u32,
    },
}

/// What one read points to, and what the kernel writes.
struct Note {
    header: libc::msghdr,
    control: [u8; CONTROL],
    name: [u8; address::MAX],
}

/// Memory for the reads of one submission; it never moves.
pub(crate) struct Notes(Box<[Note]>);

impl Notes {
    pub(crate) fn new() -> Self {
        let note = || Note {
            // SAFETY: msghdr consists of integers and raw pointers, for which
            // all zeros is a valid value.
            header: unsafe { core::mem::zeroed() },
            control: [0; CONTROL],
            name: [0; address::MAX],
        };
        Self((0..READS).map(|_| note()).collect())
    }

    /// The request that reads one error of the socket in `slot`. The datagram
    /// itself is left out.
    fn read(&mut self, index: usize, slot: u32) -> Option<Entry> {
        let note = self.0.get_mut(index)?;
        note.header.msg_name = note.name.as_mut_ptr().cast();
        note.header.msg_namelen = note.name.len() as u32;
        note.header.msg_control = note.control.as_mut_ptr().cast();
        note.header.msg_controllen = note.control.len();
        let flags = libc::MSG_ERRQUEUE | libc::MSG_DONTWAIT;
        let request = opcode::RecvMsg::new(types::Fixed(slot), &raw mut note.header);
        Some(request.flags(flags as u32).build())
    }

    fn parse(&self, index: usize) -> Option<SocketError> {
        let note = self.0.get(index)?;
        let control = note.control.get(..note.header.msg_controllen)?;
        let error = control_message::iterate(control).find_map(|(level, kind, data)| {
            matches!(
                (level, kind),
                (libc::IPPROTO_IP, libc::IP_RECVERR) | (libc::IPPROTO_IPV6, libc::IPV6_RECVERR)
            )
            .then_some(data)
        })?;
        let &[e0, e1, e2, e3, origin, kind, code, _, i0, i1, i2, i3] = error.first_chunk::<12>()?;
        let (errno, info) = (
            i32::from_ne_bytes([e0, e1, e2, e3]),
            u32::from_ne_bytes([i0, i1, i2, i3]),
        );
        let fate = match origin {
            ICMP | ICMP6 => Fate::Icmp { kind, code, info },
            LOCAL if errno == libc::EMSGSIZE => Fate::TooLong { mtu: info },
            _ => return None,
        };
        Some(SocketError {
            destination: address::decode(&note.name)?,
            fate,
        })
    }

    pub(crate) fn size(&self) -> usize {
        size_of_val(&*self.0)
    }
}

impl Ring {
    /// Has the socket in `slot` take errors into its error queue, or ignore
    /// them; those in the queue go with it. Takes
    /// [`Ring::sets_options`](crate::ring::Ring::sets_options).
    pub fn hear_errors(&mut self, slot: u32, v6: bool, hear: bool) -> Result<(), RingFailed> {
        static VALUES: [i32; 2] = [0, 1];
        let (level, name) = if v6 {
            (libc::IPPROTO_IPV6, libc::IPV6_RECVERR)
        } else {
            (libc::IPPROTO_IP, libc::IP_RECVERR)
        };
        let entry = options::set(slot, level, name, &VALUES[usize::from(hear)]);
        // SAFETY: the only pointer is to a static.
        unsafe { self.push(entry) }
    }

    /// Reads one error of the socket in `slot` into place `index`, below
    /// [`READS`]. Completes under `tag` within the next `enter`, with EAGAIN
    /// when there is none; each place can be read into once per `enter`.
    pub fn read_error(&mut self, index: usize, slot: u32, tag: u64) -> Result<(), RingFailed> {
        let Some(entry) = self.notes.read(index, slot) else {
            return Ok(());
        };
        // SAFETY: header, name and control messages are owned by this ring and
        // never move. MSG_DONTWAIT makes the kernel complete the request within
        // the submitting call, and until that has returned nobody else touches
        // them: `read_error` for the same place would be the caller's mistake,
        // and write the same pointers again.
        unsafe { self.push(entry.user_data(callers(tag))) }
    }

    /// What a successful read found; `None` when it is nothing known.
    pub fn error(&self, index: usize) -> Option<SocketError> {
        self.notes.parse(index)
    }
}
