//! What the completions of a round ask for, collected while the ring is
//! borrowed and acted upon afterwards.

use std::collections::VecDeque;

use forebay_sys::Errno;
use forebay_sys::ring::Completion;

use super::publish::Counts;
use super::sockets::Sockets;
use super::tag::Tag;

/// A datagram that waits in its buffer to be handled.
#[derive(Debug, Clone, Copy)]
pub(super) struct Waiting {
    pub(super) slot: u32,
    pub(super) generation: u32,
    pub(super) filled: u32,
    pub(super) buffer: u16,
}

/// What a receive on a connection completed with.
#[derive(Debug, Clone, Copy)]
pub(super) struct StreamEvent {
    pub(super) slot: u32,
    pub(super) generation: u32,
    pub(super) result: Result<u32, Errno>,
    pub(super) buffer: Option<u16>,
    /// The receive goes on.
    pub(super) more: bool,
}

/// See the module documentation.
#[derive(Debug, Default)]
pub(super) struct Reaped {
    pub(super) requests: VecDeque<Waiting>,
    pub(super) media: VecDeque<Waiting>,
    pub(super) ended: Vec<(u32, u32)>,
    pub(super) closed: Vec<(u32, u32)>,
    pub(super) failed: Vec<(u32, Errno)>,
    /// Relay sockets whose receive an error ended.
    pub(super) errored: Vec<(u32, u32)>,
    /// Reads of error queues, and whether they found one.
    pub(super) errors: Vec<(u32, bool)>,
    pub(super) streams: Vec<StreamEvent>,
    /// Slots of connections whose send completed.
    pub(super) sent: Vec<(u32, Result<u32, Errno>)>,
    /// Slots of peers whose connect completed.
    pub(super) connected: Vec<(u32, Result<u32, Errno>)>,
    /// Slots whose other end was told that nothing will follow.
    pub(super) shut: Vec<u32>,
    /// Listening relays whose accept failed.
    pub(super) refused: Vec<(u32, u32)>,
    /// Buffers with nothing in them that anybody wants.
    pub(super) spare: Vec<u16>,
    pub(super) woken: bool,
}

impl Reaped {
    /// Room for as many datagrams as there are buffers.
    pub(super) fn new(buffers: usize) -> Self {
        Self {
            requests: VecDeque::with_capacity(buffers),
            media: VecDeque::with_capacity(buffers),
            ..Self::default()
        }
    }

    /// Bytes of memory, taken at construction.
    pub(super) fn memory(&self) -> usize {
        (self.requests.capacity() + self.media.capacity()) * size_of::<Waiting>()
    }

    /// Sorts one completion.
    #[inline]
    pub(super) fn sort(&mut self, completion: Completion, sockets: &Sockets, counts: &mut Counts) {
        match Tag::unpack(completion.tag) {
            Tag::Receive { slot, generation } => {
                if !completion.more {
                    self.ended.push((slot, generation));
                }
                match (completion.result, completion.buffer) {
                    (Ok(filled), Some(buffer)) => {
                        let waiting = Waiting {
                            slot,
                            generation,
                            filled,
                            buffer,
                        };
                        if sockets.is_request(slot) {
                            self.requests.push_back(waiting);
                        } else {
                            self.media.push_back(waiting);
                        }
                    }
                    (result, buffer) => {
                        self.spare.extend(buffer);
                        match result {
                            Err(Errno::ENOBUFS) => counts.buffers_exhausted += 1,
                            // The end of a relay we close.
                            Ok(_) | Err(Errno::ECANCELED) => {}
                            Err(_) if sockets.is_relay(slot) => {
                                self.errored.push((slot, generation));
                            }
                            Err(_) => counts.receive_errors += 1,
                        }
                    }
                }
            }
            Tag::Stream { slot, generation } => self.streams.push(StreamEvent {
                slot,
                generation,
                result: completion.result,
                buffer: completion.buffer,
                more: completion.more,
            }),
            Tag::Accept { slot, generation } => match completion.result {
                Ok(_) | Err(Errno::ECANCELED | Errno::ECONNABORTED) => {
                    self.ended.push((slot, generation));
                }
                Err(_) => self.refused.push((slot, generation)),
            },
            Tag::Shut { slot, .. } => self.shut.push(slot),
            Tag::Connected { slot, .. } => self.connected.push((slot, completion.result)),
            Tag::StreamSent { slot, .. } => self.sent.push((slot, completion.result)),
            Tag::Closed { slot, generation } => self.closed.push((slot, generation)),
            Tag::Send { transmit } => {
                if let Err(errno) = completion.result {
                    self.failed.push((transmit, errno));
                }
            }
            Tag::Resend => {
                if let Err(errno) = completion.result {
                    counts.not_sent(errno, 1);
                }
            }
            Tag::Error { read } => self.errors.push((read, completion.result.is_ok())),
            Tag::Wake => self.woken = true,
            Tag::Other => {}
        }
    }
}
