//! One connection that a worker has adopted: what came and is not a whole
//! message yet, what goes and was not taken yet, and its TLS.

use std::io::{Read, Write};
use std::net::SocketAddr;
use std::ops::Range;

use forebay_engine::{RxSlot, TrafficClass};
use forebay_sys::streams::Area;
use forebay_turn::{ClientAddr, FiveTuple, SocketId};
use forebay_wire::clock::Instant;
use rustls::ServerConnection;

use super::framing::{Framer, Outcome, Room, is_request, written_len};
use super::{ClientTransport, Connection, Speaks, packets};

/// Why a connection ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// The client closed it.
    Client,
    /// It was reset, or timed out.
    Error,
    /// What came over it is not what it speaks.
    Foreign,
    /// What came over it is not TLS, or not its client's.
    Tls,
    /// It had no allocation, and was no session's, and nothing was heard for
    /// long.
    Idle,
    /// Its client takes nothing.
    Stalled,
    /// A peer's connection: the one it was joined to ended, or the allocation.
    Peer,
}

/// One end of two joined connections (RFC 6062).
#[derive(Debug)]
pub(crate) struct Splice {
    /// The other.
    pub(crate) partner: u32,
    /// It has said that nothing will follow.
    pub(crate) finished: bool,
    /// TLS has been told to say so to it.
    pub(crate) said: bool,
    /// It has been told that nothing will follow.
    pub(crate) shut: bool,
    /// It waits for bandwidth.
    pub(crate) throttled: bool,
    /// Bytes that came over it and were not counted yet.
    pub(crate) moved: u32,
}

impl Splice {
    pub(crate) fn with(partner: u32) -> Self {
        Self {
            partner,
            finished: false,
            said: false,
            shut: false,
            throttled: false,
            moved: 0,
        }
    }
}

/// See the module documentation.
pub(crate) struct Live {
    pub(crate) tuple: FiveTuple,
    pub(crate) transport: ClientTransport,
    pub(crate) speaks: Speaks,
    /// Where the client connected to.
    pub(crate) local: SocketAddr,
    tls: Option<Box<ServerConnection>>,
    framer: Framer,
    /// The beginning of a message; shorter than [`LONGEST`].
    partial: Vec<u8>,
    /// What waits to be sent, plaintext.
    output: Vec<u8>,
    /// What the ring is sending, and how much of it has gone.
    pub(crate) sending: usize,
    pub(crate) sent: usize,
    /// The client has said that nothing will follow.
    closed: bool,
    /// Output was added since the last send was started.
    pub(crate) ready: bool,
    /// No more of it is read in this round.
    pub(crate) held: bool,
    /// What it is joined to.
    pub(crate) splice: Option<Splice>,
    /// When the last message came.
    pub(crate) active: Instant,
    /// When the client last took something, or something began to wait.
    pub(crate) progress: Instant,
    /// What it held when that was last counted, bytes.
    counted: usize,
}

/// Before this lies the beginning of a message, from here on what TLS
/// decrypted; the distance to what the kernel fills is more than a record.
const PLAIN: usize = 1 << 16;
/// The longest TLS record as it may come: 2^14 bytes, what ciphers of TLS 1.2
/// may add, and its header.
const RECORD: usize = (16 << 10) + 2048 + 5;

/// The longest message, of either kind.
const LONGEST: usize = packets::PREFIX + Framer::MAX_MESSAGE;

const _: () = assert!(
    PLAIN >= Framer::MAX_MESSAGE
        && LONGEST <= forebay_sys::streams::HEAD
        && PLAIN + RECORD <= forebay_sys::streams::HEAD
        && Connection::EARLY <= forebay_sys::streams::DATA
);

impl Live {
    pub(crate) fn new(connection: &mut Connection, socket: SocketId, now: Instant) -> Self {
        let mut tls = connection.tls.take();
        if let Some(tls) = &mut tls {
            // What waits is bounded before it gets there.
            tls.set_buffer_limit(None);
        }
        let tuple = FiveTuple {
            socket,
            client: ClientAddr(connection.client),
            local: connection.local.ip(),
        };
        Self {
            speaks: connection.speaks,
            tls,
            partial: std::mem::take(&mut connection.plain),
            ..Self::over(tuple, connection.transport, connection.local, now)
        }
    }

    /// A connection with a peer.
    pub(crate) fn peer(socket: SocketId, peer: SocketAddr, now: Instant) -> Self {
        let tuple = FiveTuple {
            socket,
            client: ClientAddr(peer),
            local: peer.ip(),
        };
        Self::over(tuple, ClientTransport::Tcp, peer, now)
    }

    fn over(tuple: FiveTuple, transport: ClientTransport, local: SocketAddr, now: Instant) -> Self {
        Self {
            tuple,
            transport,
            speaks: Speaks::Turn,
            local,
            tls: None,
            framer: Framer::default(),
            partial: Vec::new(),
            output: Vec::new(),
            sending: 0,
            sent: 0,
            closed: false,
            ready: false,
            held: false,
            splice: None,
            active: now,
            progress: now,
            counted: 0,
        }
    }

    /// Nothing will follow what came over a joined connection.
    pub(crate) fn say_finished(&mut self) {
        if let Some(splice) = &mut self.splice {
            splice.finished = true;
        }
    }

    /// Has TLS say that nothing will follow.
    pub(crate) fn say_last(&mut self) {
        if let Some(tls) = &mut self.tls {
            tls.send_close_notify();
        }
    }

    /// Takes what came before the worker had the connection into an area;
    /// where messages lie then.
    pub(crate) fn begin(
        &mut self,
        early: &[u8],
        memory: &mut [u8],
        area: &Area,
    ) -> Result<Range<usize>, End> {
        let start = area.data.start;
        let range = start..start + early.len();
        match memory.get_mut(range) {
            Some(place) if early.len().max(self.partial.len()) <= Connection::EARLY => {
                place.copy_from_slice(early);
            }
            _ => return Err(End::Foreign),
        }
        self.take(early.len(), memory, area)
    }

    /// Takes the `filled` bytes the kernel wrote into an area; where messages
    /// lie then.
    pub(crate) fn take(
        &mut self,
        filled: usize,
        memory: &mut [u8],
        area: &Area,
    ) -> Result<Range<usize>, End> {
        let data = area.data.start..area.data.start + filled;
        let messages = match &mut self.tls {
            Some(tls) => {
                let (messages, closed) = decrypt(tls, data, memory, area.whole.start + PLAIN)?;
                self.closed |= closed;
                messages
            }
            None => data,
        };
        if self.partial.is_empty() {
            return Ok(messages);
        }
        let start = messages.start - self.partial.len();
        if let Some(before) = memory.get_mut(start..messages.start) {
            before.copy_from_slice(&self.partial);
        }
        self.partial.clear();
        self.partial.shrink_to(SMALL);
        Ok(start..messages.end)
    }

    /// Puts whole messages into slots; what is left stays in the range or is
    /// kept for the next time.
    pub(crate) fn read(
        &mut self,
        memory: &[u8],
        range: &mut Range<usize>,
        room: &mut Room,
        slots: &mut Vec<RxSlot>,
        now: Instant,
    ) -> Outcome {
        let alike = RxSlot {
            socket: self.tuple.socket,
            source: self.tuple.client.0,
            local: self.tuple.local,
            start: range.start as u32,
            len: range.len() as u32,
            segment: u16::try_from(range.len()).unwrap_or(u16::MAX),
            headroom: 0,
            class: TrafficClass(0),
        };
        let before = range.start;
        let outcome = match (self.transport, self.speaks) {
            (_, Speaks::Media) => packets::fill(memory, range, &alike, room, slots),
            (ClientTransport::Dtls, Speaks::Turn) => {
                let request = is_request(memory.get(range.clone()).unwrap_or_default());
                if room.slots == 0 || (request && room.requests == 0) {
                    return Outcome::Full;
                }
                room.slots -= 1;
                room.requests -= usize::from(request);
                slots.push(alike);
                range.start = range.end;
                Outcome::Whole
            }
            (ClientTransport::Tcp | ClientTransport::Tls, Speaks::Turn) => {
                self.framer.fill(memory, range, &alike, room, slots)
            }
        };
        if range.start > before {
            self.active = now;
        }
        if outcome == Outcome::Whole {
            self.partial
                .extend_from_slice(memory.get(range.clone()).unwrap_or_default());
        }
        outcome
    }

    /// Whether the client has said that nothing will follow.
    pub(crate) fn is_closed(&self) -> bool {
        self.closed
    }

    /// Bytes that wait for the client.
    pub(crate) fn waiting(&self) -> usize {
        self.output.len() + (self.sending - self.sent)
    }

    /// Counts to a total what is held for it now: itself, its TLS and its
    /// buffers, bytes.
    #[inline]
    pub(crate) fn count(&mut self, total: &mut u64) {
        let tls = self
            .tls
            .as_ref()
            .map_or(0, |_| size_of::<ServerConnection>());
        let buffers = self.partial.capacity() + self.output.capacity() + self.sending;
        let held = size_of::<Self>() + tls + buffers;
        *total = (*total + held as u64).saturating_sub(self.counted as u64);
        self.counted = held;
    }

    /// Takes it out of a total again.
    pub(crate) fn uncount(&self, total: &mut u64) {
        *total = total.saturating_sub(self.counted as u64);
    }

    /// Adds bytes to what waits.
    #[inline]
    pub(crate) fn put(&mut self, bytes: &[u8]) {
        self.output.extend_from_slice(bytes);
    }

    /// Adds a transmit's packets to what waits, each with its length.
    pub(crate) fn put_packets<'a>(
        &mut self,
        segment: u16,
        len: usize,
        pieces: impl Iterator<Item = &'a [u8]>,
    ) {
        packets::append(&mut self.output, segment, len, pieces);
    }

    /// Whether there is something to send.
    pub(crate) fn has_output(&self) -> bool {
        !self.output.is_empty() || self.tls.as_ref().is_some_and(|tls| tls.wants_write())
    }

    /// Everything that waits, as it goes over the socket; `spare` is an empty
    /// buffer to use.
    pub(crate) fn output(&mut self, mut spare: Vec<u8>) -> Result<Vec<u8>, End> {
        let Some(tls) = &mut self.tls else {
            return Ok(std::mem::replace(&mut self.output, spare));
        };
        // A record each: some clients take what one read gives for one
        // message, coturn's own among them.
        let mut rest = &self.output[..];
        while !rest.is_empty() {
            let (message, after) = rest.split_at(written_len(rest));
            tls.writer().write_all(message).map_err(|_| End::Tls)?;
            rest = after;
        }
        self.output.clear();
        self.output.shrink_to(LARGE);
        flush(tls, &mut spare);
        Ok(spare)
    }

    /// What to say last, where something has to be said.
    pub(crate) fn farewell(&mut self) -> Option<Vec<u8>> {
        let tls = self.tls.as_mut()?;
        let mut bytes = Vec::new();
        tls.send_close_notify();
        flush(tls, &mut bytes);
        Some(bytes)
    }
}

/// Kept of a buffer that was larger.
const SMALL: usize = 4 << 10;
/// The same, where media goes through.
pub(crate) const LARGE: usize = 32 << 10;

fn flush(tls: &mut ServerConnection, into: &mut Vec<u8>) {
    while tls.wants_write() {
        // A vector takes everything.
        if !matches!(tls.write_tls(into), Ok(1..)) {
            return;
        }
    }
}

/// Decrypts what lies in `data` and writes it from `start` on; also whether
/// the client says that nothing will follow. There is room:
/// what is decrypted is shorter than what it is decrypted from, which lies
/// behind but for one record.
fn decrypt(
    tls: &mut ServerConnection,
    data: Range<usize>,
    memory: &mut [u8],
    start: usize,
) -> Result<(Range<usize>, bool), End> {
    let (mut from, mut to) = (data.start, start);
    loop {
        let state = tls.process_new_packets().map_err(|_| End::Tls)?;
        let mut left = state.plaintext_bytes_to_read();
        while left > 0 {
            // Until all is read, no more of what follows is written over than
            // has been taken.
            let into = memory.get_mut(to..from).ok_or(End::Tls)?;
            match tls.reader().read(into) {
                Ok(read @ 1..) => {
                    to += read;
                    left = left.saturating_sub(read);
                }
                _ => return Err(End::Tls),
            }
        }
        if from == data.end || state.peer_has_closed() {
            return Ok((start..to, state.peer_has_closed()));
        }
        let mut rest = memory.get(from..data.end).ok_or(End::Tls)?;
        match tls.read_tls(&mut rest) {
            Ok(read @ 1..) => from += read,
            _ => return Err(End::Tls),
        }
    }
}
