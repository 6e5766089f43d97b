//! io_uring as the relay uses it: multishot receives into provided buffers,
//! fixed files, sends that complete silently, one call per round.

use std::iter::once;
use std::time::Duration;

use anyhow::{Result, anyhow};
use forebay_sys::buffers::Group;
use forebay_sys::ring::{Completion, Ring, RingConfig, Wait};
use forebay_sys::send::{Memory, Piece, Send};

use super::{Side, Sockets};

const BUFFERS: u16 = 1024;
/// File slot and tag of the listening socket; relay i has i + 1.
const LISTEN: u32 = 0;
const IDLE: Duration = Duration::from_secs(1);

pub(super) fn forward(sockets: Sockets) -> Result<()> {
    let files = u32::try_from(sockets.relays.len())? + 1;
    let config = RingConfig {
        files,
        media_buffers: BUFFERS,
        request_buffers: 1,
        stream_buffers: 0,
        streams: 0,
    };
    let mut ring = Ring::new(config)?;
    let Sockets {
        plan,
        listen,
        relays,
    } = sockets;
    for (slot, socket) in (LISTEN..).zip(once(listen).chain(relays)) {
        // A receive on a non-blocking file ends when there is nothing yet.
        socket.set_nonblocking(false)?;
        ring.install(slot, socket.into())?;
        ring.receive(slot, Group::Media, u64::from(slot))?;
    }
    println!("ready");

    let mut completions: Vec<Completion> = Vec::new();
    let mut sends: Vec<(Send, Piece)> = Vec::new();
    let mut used = Vec::new();
    loop {
        let outgoing = sends.drain(..).map(|(send, piece)| (send, once(piece)));
        ring.enter(&[], outgoing, Wait::UpTo(IDLE))?;
        ring.recycle(used.drain(..));
        ring.reap(|completion| completions.push(completion));
        for completion in completions.drain(..) {
            // Failed sends: loss shows in the count of what arrived.
            let Some(slot) = u32::try_from(completion.tag)
                .ok()
                .filter(|slot| *slot < files)
            else {
                continue;
            };
            if let (Ok(filled), Some(buffer)) = (completion.result, completion.buffer) {
                used.push(buffer);
                let (start, datagram) = ring
                    .received(buffer, filled)
                    .ok_or_else(|| anyhow!("a torn receive"))?;
                let side = match slot {
                    LISTEN => Side::Listen,
                    relay => Side::Relay(u16::try_from(relay - 1)?),
                };
                if let Some((file, destination)) = plan.route(side, datagram.source.port()) {
                    let send = Send {
                        file: file.map_or(LISTEN, |relay| u32::from(relay) + 1),
                        tag: u64::MAX,
                        destination: Some(destination),
                        source: None,
                        segment: None,
                        class: 0,
                        dont_fragment: false,
                    };
                    let piece = Piece {
                        memory: Memory::Received,
                        start: u32::try_from(start)?,
                        len: datagram.len,
                    };
                    sends.push((send, piece));
                }
            }
            if !completion.more {
                ring.receive(slot, Group::Media, completion.tag)?;
            }
        }
    }
}
