//! Coalescing: datagrams of one flow become segments of one transmit.

use core::net::{IpAddr, SocketAddr};

use forebay_turn::SocketId;

use crate::batch::{Arena, Piece, TrafficClass, Transmit, TxBatch};
use crate::counters::DropReason;

/// The transmit a flow's next datagram may join.
#[derive(Debug, Clone, Copy, Default)]
struct Lane {
    /// The batch in which the transmit was opened; another batch's is closed.
    batch: u64,
    transmit: u32,
    /// The transmit's last piece.
    tail: u32,
}

/// Where a datagram goes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Route {
    /// The flow whose order it keeps.
    pub(crate) flow: u32,
    pub(crate) socket: SocketId,
    pub(crate) destination: SocketAddr,
    pub(crate) source: Option<IpAddr>,
}

/// A piece that is not linked yet.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Span {
    pub(crate) arena: Arena,
    pub(crate) start: u32,
    pub(crate) len: u32,
}

/// The open transmits of every flow. A lane is valid for one batch only, told
/// by the batch's number, so nothing has to be reset between batches.
#[derive(Debug)]
pub(crate) struct Runs {
    lanes: Box<[Lane]>,
    batch: u64,
    max_segment: u32,
}

impl Runs {
    /// Every IPv6 path carries 1280 bytes. A path that refuses less is rare or
    /// the work of forged ICMP errors; it must not cost all other flows their
    /// coalescing, so only its own sends are repeated one by one.
    const LEAST_MAX_SEGMENT: u16 = 1280 - 48;

    pub(crate) fn new(flows: usize, max_segment: u16) -> Self {
        Self {
            lanes: vec![Lane::default(); flows].into(),
            batch: 0,
            max_segment: max_segment.into(),
        }
    }

    pub(crate) fn memory(&self) -> usize {
        size_of_val(&*self.lanes)
    }

    /// Closes all runs.
    pub(crate) fn next_batch(&mut self) {
        self.batch += 1;
    }

    /// Merges only datagrams smaller than `refused` from now on.
    pub(crate) fn lower_max_segment(&mut self, refused: u16) {
        let below = refused.saturating_sub(1).max(Self::LEAST_MAX_SEGMENT);
        self.max_segment = self.max_segment.min(below.into());
    }

    /// Adds one datagram made of `spans` to the flow's open transmit, or opens
    /// a new one. An empty datagram and one that is too large for a segment
    /// travel alone; one shorter than its transmit's segment closes it.
    #[inline]
    pub(crate) fn push<const N: usize>(
        &mut self,
        tx: &mut TxBatch,
        route: &Route,
        class: TrafficClass,
        spans: [Span; N],
    ) -> Result<(), DropReason> {
        let first = tx.pieces.len();
        if tx.pieces.capacity() - first < N {
            return Err(DropReason::BatchFull);
        }
        let len = spans.iter().map(|span| span.len).sum::<u32>();
        let Some(lane) = self.lanes.get_mut(route.flow as usize) else {
            return Err(DropReason::BatchFull);
        };
        let tail = (first + N - 1) as u32;
        let first = first as u32;
        if lane.batch == self.batch
            && let Some(open) = tx.transmits.get_mut(lane.transmit as usize)
            && joins(open, route, class, len)
        {
            let segment = open.segment.map_or(open.len, u32::from);
            open.segment = Some(segment as u16);
            open.pieces += N as u32;
            open.len += len;
            open.datagrams += 1;
            tx.pieces[lane.tail as usize].next = first;
            lane.tail = tail;
            if len < segment {
                lane.batch = 0;
            }
        } else {
            let open = Lane {
                batch: if len.wrapping_sub(1) < self.max_segment {
                    self.batch
                } else {
                    0
                },
                transmit: tx.transmits.len() as u32,
                tail,
            };
            open_transmit(tx, route, class, first, N as u32, len)?;
            *lane = open;
        }
        for (index, span) in spans.into_iter().enumerate() {
            let next = if index + 1 < N {
                first + index as u32 + 1
            } else {
                Piece::END
            };
            tx.pieces.push(Piece {
                arena: span.arena,
                start: span.start,
                len: span.len,
                next,
            });
        }
        Ok(())
    }
}

impl Runs {
    /// Adds one datagram that leaves by itself, with DF, and closes the flow's
    /// open transmit.
    #[cold]
    pub(crate) fn push_unfragmented(
        &mut self,
        tx: &mut TxBatch,
        route: &Route,
        class: TrafficClass,
        span: Span,
    ) -> Result<(), DropReason> {
        self.close(route.flow);
        self.push(tx, route, class, [span])?;
        self.close(route.flow);
        if let Some(transmit) = tx.transmits.last_mut() {
            transmit.dont_fragment = true;
        }
        Ok(())
    }

    /// Lets the flow's next datagram open a transmit.
    fn close(&mut self, flow: u32) {
        if let Some(lane) = self.lanes.get_mut(flow as usize) {
            lane.batch = 0;
        }
    }

    /// Adds one datagram as [`Runs::push`] does. One that lies right behind
    /// the last of its transmit makes that piece longer.
    #[inline]
    pub(crate) fn push_adjacent(
        &mut self,
        tx: &mut TxBatch,
        route: &Route,
        class: TrafficClass,
        span: Span,
    ) -> Result<(), DropReason> {
        let Some(lane) = self.lanes.get_mut(route.flow as usize) else {
            return Err(DropReason::BatchFull);
        };
        if lane.batch == self.batch
            && let Some(open) = tx.transmits.get_mut(lane.transmit as usize)
            && let Some(piece) = tx.pieces.get_mut(lane.tail as usize)
            && piece.arena == span.arena
            && piece.start + piece.len == span.start
            && joins(open, route, class, span.len)
        {
            piece.len += span.len;
            let segment = open.segment.map_or(open.len, u32::from);
            open.segment = Some(segment as u16);
            open.len += span.len;
            open.datagrams += 1;
            if span.len < segment {
                lane.batch = 0;
            }
            return Ok(());
        }
        self.push(tx, route, class, [span])
    }
}

/// Whether a datagram of `len` bytes may become a transmit's next segment.
#[inline]
fn joins(open: &Transmit, route: &Route, class: TrafficClass, len: u32) -> bool {
    let segment = open.segment.map_or(open.len, u32::from);
    len.wrapping_sub(1) < segment
        && open.datagrams < TxBatch::MAX_SEGMENTS
        && open.len + len <= TxBatch::MAX_BYTES
        && open.class == class
        && open.socket == route.socket
        && same_address(&open.destination, &route.destination)
}

#[inline(never)]
fn open_transmit(
    tx: &mut TxBatch,
    route: &Route,
    class: TrafficClass,
    first: u32,
    pieces: u32,
    len: u32,
) -> Result<(), DropReason> {
    if tx.transmits.len() == tx.transmits.capacity() {
        return Err(DropReason::BatchFull);
    }
    tx.transmits.push(Transmit {
        socket: route.socket,
        destination: route.destination,
        source: route.source,
        segment: None,
        class,
        dont_fragment: false,
        first,
        pieces,
        len,
        datagrams: 1,
    });
    Ok(())
}

/// Equality without the calls that the derived one of IPv4 makes.
#[inline]
pub(crate) fn same_address(a: &SocketAddr, b: &SocketAddr) -> bool {
    match (a, b) {
        (SocketAddr::V4(a), SocketAddr::V4(b)) => {
            a.port() == b.port() && a.ip().to_bits() == b.ip().to_bits()
        }
        _ => a == b,
    }
}
