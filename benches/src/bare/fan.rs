//! Every datagram to every peer, 64 sends per system call: the floor of
//! forwarding, without a protocol or a cipher.

use std::io::{IoSlice, IoSliceMut};
use std::net::{SocketAddr, SocketAddrV4};
use std::os::fd::AsRawFd as _;

use anyhow::{Result, bail};
use nix::sys::socket::{MsgFlags, MultiHeaders, SockaddrIn, recvmmsg, sendmmsg};

use super::{Plan, nth, socket};

const BATCH: usize = 64;
const SIZE: usize = 2048;

pub(super) fn forward(plan: &Plan) -> Result<()> {
    let listen = socket(plan.listen.ip(), plan.listen.port())?;
    listen.set_nonblocking(false)?;
    let mut peers = Vec::new();
    for index in 0..plan.flows {
        let SocketAddr::V4(peer) = nth(plan.peers, index) else {
            bail!("the rig is IPv4");
        };
        peers.push(Some(SockaddrIn::from(SocketAddrV4::new(
            *peer.ip(),
            peer.port(),
        ))));
    }
    println!("ready");
    let mut memory = vec![0; BATCH * SIZE];
    let mut lengths = Vec::with_capacity(BATCH);
    loop {
        lengths.clear();
        {
            let mut slices: Vec<[IoSliceMut<'_>; 1]> = memory
                .chunks_exact_mut(SIZE)
                .map(|slot| [IoSliceMut::new(slot)])
                .collect();
            let mut headers = MultiHeaders::<SockaddrIn>::preallocate(BATCH, None);
            let messages = recvmmsg(
                listen.as_raw_fd(),
                &mut headers,
                slices.iter_mut(),
                MsgFlags::MSG_WAITFORONE,
                None,
            )?;
            lengths.extend(messages.map(|message| message.bytes));
        }
        let sends: Vec<(usize, usize)> = (0..peers.len())
            .flat_map(|peer| (0..lengths.len()).map(move |slot| (peer, slot)))
            .collect();
        for chunk in sends.chunks(BATCH) {
            let slices: Vec<[IoSlice<'_>; 1]> = chunk
                .iter()
                .map(|&(_, slot)| [IoSlice::new(&memory[slot * SIZE..][..lengths[slot]])])
                .collect();
            let to: Vec<Option<SockaddrIn>> = chunk.iter().map(|&(peer, _)| peers[peer]).collect();
            let mut headers = MultiHeaders::<SockaddrIn>::preallocate(chunk.len(), None);
            // Loss shows in the count of what arrived.
            let _ = sendmmsg(
                listen.as_raw_fd(),
                &mut headers,
                slices.iter(),
                &to,
                [],
                MsgFlags::empty(),
            );
        }
    }
}
