//! Which socket of a SO_REUSEPORT group gets a datagram, decided by a classic
//! BPF program (no privilege needed).
//!
//! Socket `2 × worker + class`, in the order of binding. The worker is a hash
//! of source address and port, so a client stays with the worker that holds
//! its allocation; the class is 0 for STUN other than Send indications and 1
//! for everything else, so requests have a receive buffer that media cannot
//! fill.

use std::os::fd::{AsRawFd, BorrowedFd};

use libc::{
    BPF_A, BPF_ABS, BPF_ADD, BPF_ALU, BPF_B, BPF_H, BPF_IMM, BPF_IND, BPF_JEQ, BPF_JGE, BPF_JMP,
    BPF_K, BPF_LD, BPF_LDX, BPF_LEN, BPF_LSH, BPF_MEM, BPF_MISC, BPF_MOD, BPF_MSH, BPF_MUL,
    BPF_RET, BPF_RSH, BPF_ST, BPF_TAX, BPF_W, BPF_X, sock_filter,
};

use crate::Errno;

/// Sockets per worker in a group.
pub const CLASSES: usize = 2;
/// Class of STUN requests.
pub const REQUESTS: usize = 0;
/// Class of everything else.
pub const MEDIA: usize = 1;

/// SKF_NET_OFF: offsets from here on count from the IP header; offsets from
/// zero count from the UDP payload.
const NET: u32 = -0x10_0000_i32 as u32;
/// BPF_XOR, which libc does not export for every target.
const BPF_XOR: u32 = 0xa0;
/// 2^32 divided by the golden ratio: spreads neighbouring addresses and ports.
const GOLDEN: u32 = 0x9E37_79B1;
/// A Send indication (RFC 8656 §17).
const SEND_INDICATION: u32 = 0x0016;
/// STUN messages start with two zero bits (RFC 8489 §5, RFC 7983).
const STUN_END: u32 = 0x4000;
/// Scratch word that keeps the class.
const CLASS: u32 = 0;

fn op(code: u32, k: u32) -> sock_filter {
    sock_filter {
        code: code as u16,
        jt: 0,
        jf: 0,
        k,
    }
}

fn jump(code: u32, k: u32, jt: u8, jf: u8) -> sock_filter {
    sock_filter {
        code: (BPF_JMP | code | BPF_K) as u16,
        jt,
        jf,
        k,
    }
}

/// Builds the program for a group of `workers` × [`CLASSES`] sockets.
fn program(v6: bool, workers: u32) -> Vec<sock_filter> {
    let mut code = vec![
        // Class. A load beyond the end would end the program with 0, a
        // request; too short for a message type is media.
        op(BPF_LD | BPF_W | BPF_LEN, 0),
        jump(BPF_JGE, 2, 0, 3),
        op(BPF_LD | BPF_H | BPF_ABS, 0),
        jump(BPF_JGE, STUN_END, 1, 0),
        jump(BPF_JEQ, SEND_INDICATION, 0, 2),
        op(BPF_LD | BPF_IMM, MEDIA as u32),
        jump(BPF_JGE, 0, 1, 0),
        op(BPF_LD | BPF_IMM, REQUESTS as u32),
        op(BPF_ST, CLASS),
    ];
    if v6 {
        // Ports stand behind the fixed header unless extension headers do,
        // and then the address alone decides.
        code.extend([
            op(BPF_LD | BPF_B | BPF_ABS, NET.wrapping_add(6)),
            jump(BPF_JEQ, libc::IPPROTO_UDP as u32, 0, 2),
            op(BPF_LD | BPF_H | BPF_ABS, NET.wrapping_add(40)),
            jump(BPF_JGE, 0, 1, 0),
            op(BPF_LD | BPF_IMM, 0),
        ]);
        for word in [8, 12, 16, 20] {
            code.extend([
                op(BPF_ALU | BPF_MUL | BPF_K, GOLDEN),
                op(BPF_MISC | BPF_TAX, 0),
                op(BPF_LD | BPF_W | BPF_ABS, NET.wrapping_add(word)),
                op(BPF_ALU | BPF_XOR | BPF_X, 0),
            ]);
        }
    } else {
        code.extend([
            op(BPF_LDX | BPF_B | BPF_MSH, NET),
            op(BPF_LD | BPF_H | BPF_IND, NET),
            op(BPF_ALU | BPF_MUL | BPF_K, GOLDEN),
            op(BPF_MISC | BPF_TAX, 0),
            op(BPF_LD | BPF_W | BPF_ABS, NET.wrapping_add(12)),
            op(BPF_ALU | BPF_XOR | BPF_X, 0),
        ]);
    }
    code.extend([
        // The product's upper bits depend on every bit of the hash.
        op(BPF_ALU | BPF_MUL | BPF_K, GOLDEN),
        op(BPF_ALU | BPF_RSH | BPF_K, 16),
        op(BPF_ALU | BPF_MOD | BPF_K, workers),
        op(BPF_ALU | BPF_LSH | BPF_K, 1),
        op(BPF_LDX | BPF_W | BPF_MEM, CLASS),
        op(BPF_ALU | BPF_ADD | BPF_X, 0),
        op(BPF_RET | BPF_A, 0),
    ]);
    code
}

/// Attaches the program to the group `socket` is bound in; it holds for all of
/// the group. `workers` must be at least one.
pub fn attach(socket: BorrowedFd<'_>, v6: bool, workers: usize) -> Result<(), Errno> {
    let workers = u32::try_from(workers).map_err(|_| Errno::EINVAL)?.max(1);
    let mut code = program(v6, workers);
    let attached = libc::sock_fprog {
        len: code.len() as u16,
        filter: code.as_mut_ptr(),
    };
    // SAFETY: the descriptor is open while borrowed; the kernel copies the
    // program, which lives until the call returns, and checks it.
    let outcome = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_ATTACH_REUSEPORT_CBPF,
            (&raw const attached).cast(),
            size_of::<libc::sock_fprog>() as libc::socklen_t,
        )
    };
    Errno::result(outcome).map(drop)
}
