//! Up to 64 datagrams per system call; sends are grouped by socket in order.

use std::io::{IoSlice, IoSliceMut};
use std::net::SocketAddrV4;
use std::os::fd::AsRawFd as _;
use std::os::fd::RawFd;

use anyhow::Result;
use nix::sys::epoll::{EpollEvent, EpollTimeout};
use nix::sys::socket::{MsgFlags, MultiHeaders, SockaddrIn, recvmmsg, sendmmsg};

use super::Sockets;

const BATCH: usize = 64;
const SIZE: usize = 2048;
/// Datagrams taken from one socket before the next one has its turn.
const TURN: usize = 32;

/// One datagram on its way out.
#[derive(Clone, Copy)]
struct Outgoing {
    socket: RawFd,
    to: SockaddrIn,
    slot: usize,
    length: usize,
}

pub(super) fn forward(sockets: &Sockets) -> Result<()> {
    let epoll = sockets.epoll()?;
    println!("ready");
    let mut events = vec![EpollEvent::empty(); BATCH];
    let mut memory = vec![0; BATCH * SIZE];
    let mut outgoing: Vec<Outgoing> = Vec::with_capacity(BATCH);
    loop {
        let ready = epoll.wait(&mut events, EpollTimeout::NONE)?;
        for event in &events[..ready] {
            let used = outgoing.last().map_or(0, |last| last.slot + 1);
            let end = BATCH.min(used + TURN);
            receive(
                sockets,
                event,
                used,
                &mut memory[used * SIZE..end * SIZE],
                &mut outgoing,
            );
            if outgoing.last().is_some_and(|last| last.slot + 1 == BATCH) {
                send(&memory, &mut outgoing);
            }
        }
        send(&memory, &mut outgoing);
    }
}

fn receive(
    sockets: &Sockets,
    event: &EpollEvent,
    first_slot: usize,
    memory: &mut [u8],
    outgoing: &mut Vec<Outgoing>,
) {
    let side = Sockets::side(event);
    let mut slices: Vec<[IoSliceMut<'_>; 1]> = memory
        .chunks_exact_mut(SIZE)
        .map(|slot| [IoSliceMut::new(slot)])
        .collect();
    let mut headers = MultiHeaders::<SockaddrIn>::preallocate(slices.len(), None);
    let socket = sockets.readable(side).as_raw_fd();
    let Ok(messages) = recvmmsg(
        socket,
        &mut headers,
        slices.iter_mut(),
        MsgFlags::MSG_DONTWAIT,
        None,
    ) else {
        return;
    };
    for (index, message) in messages.enumerate() {
        let Some(from) = message.address else {
            continue;
        };
        let Some((socket, to)) = sockets.route(side, from.port()) else {
            continue;
        };
        let std::net::SocketAddr::V4(to) = to else {
            continue;
        };
        outgoing.push(Outgoing {
            socket: socket.as_raw_fd(),
            to: SockaddrIn::from(SocketAddrV4::new(*to.ip(), to.port())),
            slot: first_slot + index,
            length: message.bytes,
        });
    }
}

fn send(memory: &[u8], outgoing: &mut Vec<Outgoing>) {
    for run in outgoing.chunk_by(|a, b| a.socket == b.socket) {
        let slices: Vec<[IoSlice<'_>; 1]> = run
            .iter()
            .map(|packet| {
                let start = packet.slot * SIZE;
                [IoSlice::new(&memory[start..start + packet.length])]
            })
            .collect();
        let to: Vec<Option<SockaddrIn>> = run.iter().map(|packet| Some(packet.to)).collect();
        let mut headers = MultiHeaders::<SockaddrIn>::preallocate(run.len(), None);
        let none = MsgFlags::empty();
        // Loss shows in the count of what arrived.
        let _ = sendmmsg(run[0].socket, &mut headers, slices.iter(), &to, [], none);
    }
    outgoing.clear();
}
