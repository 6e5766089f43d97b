//! One system call per datagram and direction.

use anyhow::Result;
use nix::sys::epoll::{EpollEvent, EpollTimeout};

use super::Sockets;

/// Datagrams taken from one socket before the next one has its turn.
const TURN: usize = 64;

pub(super) fn forward(sockets: &Sockets) -> Result<()> {
    let epoll = sockets.epoll()?;
    println!("ready");
    let mut events = vec![EpollEvent::empty(); 256];
    let mut buffer = vec![0; 2048];
    loop {
        let ready = epoll.wait(&mut events, EpollTimeout::NONE)?;
        for event in &events[..ready] {
            let side = Sockets::side(event);
            for _ in 0..TURN {
                let Ok((length, from)) = sockets.readable(side).recv_from(&mut buffer) else {
                    break;
                };
                if let Some((socket, to)) = sockets.route(side, from.port()) {
                    // Loss shows in the count of what arrived.
                    let _ = socket.send_to(&buffer[..length], to);
                }
            }
        }
    }
}
