//! The shard's transmits as sends of the ring, and what the kernel refused of
//! them once more, as it was or datagram by datagram.

use std::net::IpAddr;
use std::ops::Range;

use forebay_engine::{Arena, Piece, Transmit, TxBatch};
use forebay_sys::send;
use forebay_turn::SocketId;

use super::tag::Tag;

/// The pieces of one transmit.
#[derive(Debug, Clone)]
pub(super) struct Pieces<'a> {
    pieces: &'a [Piece],
    next: u32,
    left: u32,
}

impl<'a> Pieces<'a> {
    pub(super) fn of(batch: &'a TxBatch, transmit: &Transmit) -> Self {
        Self {
            pieces: &batch.pieces,
            next: transmit.first,
            left: transmit.pieces,
        }
    }
}

impl Iterator for Pieces<'_> {
    type Item = send::Piece;

    #[inline]
    fn next(&mut self) -> Option<send::Piece> {
        self.left = self.left.checked_sub(1)?;
        let piece = self.pieces.get(self.next as usize)?;
        self.next = piece.next;
        Some(send::Piece {
            memory: match piece.arena {
                Arena::Received => send::Memory::Received,
                Arena::Headers => send::Memory::Headers,
            },
            start: piece.start,
            len: piece.len,
        })
    }
}

/// The batch's datagrams: all of it but what goes to `streams`, which
/// connections take.
pub(super) fn sends<'a>(
    batch: &'a TxBatch,
    wildcards: &Wildcards,
    streams: &Range<u32>,
) -> impl Iterator<Item = (send::Send, Pieces<'a>)> {
    let transmits = batch.transmits.iter().enumerate();
    transmits
        .filter(|(_, transmit)| !streams.contains(&transmit.socket.0))
        .map(|(index, transmit)| {
            let tag = Tag::Send {
                transmit: index as u32,
            };
            let mut send = single(transmit, wildcards, tag);
            send.segment = transmit.segment;
            (send, Pieces::of(batch, transmit))
        })
}

/// A packet to the connection in a slot.
pub(super) fn packet(slot: u32) -> send::Send {
    send::Send {
        file: slot,
        tag: Tag::Resend.pack(),
        destination: None,
        source: None,
        segment: None,
        class: 0,
        dont_fragment: false,
    }
}

/// Which listening sockets are bound to no address of their own and have to be
/// told the source of every datagram. The others are not: a control message
/// makes a single datagram's send a `sendmsg` instead of a `sendto`, about a
/// twentieth of its cost.
#[derive(Debug)]
pub(super) struct Wildcards(Box<[bool]>);

impl Wildcards {
    /// Of the listening sockets, in the order of their ids.
    pub(super) fn among(listeners: &[IpAddr]) -> Self {
        Self(listeners.iter().map(IpAddr::is_unspecified).collect())
    }

    #[inline]
    fn contain(&self, socket: SocketId) -> bool {
        self.0.get(socket.0 as usize).is_some_and(|wild| *wild)
    }
}

fn single(transmit: &Transmit, wildcards: &Wildcards, tag: Tag) -> send::Send {
    send::Send {
        // Listening and relay sockets stand in the file table at their id.
        file: transmit.socket.0,
        tag: tag.pack(),
        destination: Some(transmit.destination),
        source: transmit
            .source
            .filter(|_| wildcards.contain(transmit.socket)),
        segment: None,
        class: transmit.class.0,
        dont_fragment: transmit.dont_fragment,
    }
}

/// What is sent again. Grows to the size of what fails in one round, at most a
/// batch, and is kept.
#[derive(Debug, Default)]
pub(super) struct Resend {
    pieces: Vec<send::Piece>,
    /// The send, and where its pieces end.
    datagrams: Vec<(send::Send, usize)>,
}

impl Resend {
    /// Adds a transmit as it was.
    pub(super) fn repeat(
        &mut self,
        batch: &TxBatch,
        index: u32,
        transmit: &Transmit,
        wildcards: &Wildcards,
    ) {
        let mut send = single(transmit, wildcards, Tag::Send { transmit: index });
        send.segment = transmit.segment;
        self.pieces.extend(Pieces::of(batch, transmit));
        self.datagrams.push((send, self.pieces.len()));
    }

    /// Cuts a refused GSO send at its segment size.
    pub(super) fn split(&mut self, batch: &TxBatch, transmit: &Transmit, wildcards: &Wildcards) {
        self.add(batch, transmit, single(transmit, wildcards, Tag::Resend));
    }

    pub(super) fn is_empty(&self) -> bool {
        self.datagrams.is_empty()
    }

    /// Forgets all datagrams.
    pub(super) fn clear(&mut self) {
        self.pieces.clear();
        self.datagrams.clear();
    }

    /// Adds what a transmit carries, each datagram in a `send` of its own.
    pub(super) fn add(&mut self, batch: &TxBatch, transmit: &Transmit, send: send::Send) {
        let segment = transmit.segment.map_or(u32::MAX, u32::from).max(1);
        let mut room = segment;
        for mut piece in Pieces::of(batch, transmit) {
            while piece.len > 0 {
                let len = piece.len.min(room);
                self.pieces.push(send::Piece { len, ..piece });
                piece.start += len;
                piece.len -= len;
                room -= len;
                if room == 0 {
                    self.datagrams.push((send, self.pieces.len()));
                    room = segment;
                }
            }
        }
        if room < segment {
            self.datagrams.push((send, self.pieces.len()));
        }
    }

    /// What was added, in order.
    pub(super) fn sends(
        &self,
    ) -> impl Iterator<
        Item = (
            send::Send,
            std::iter::Copied<std::slice::Iter<'_, send::Piece>>,
        ),
    > {
        let mut start = 0;
        self.datagrams.iter().map(move |(send, end)| {
            let pieces = &self.pieces[start..*end];
            start = *end;
            (*send, pieces.iter().copied())
        })
    }
}
