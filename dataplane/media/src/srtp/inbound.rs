//! What a peer sends us.

use core::time::Duration;

use forebay_wire::clock::Instant;

use super::cipher::{Cipher, RTCP_CLEAR, TRAILER};
use super::window::Window;
use super::{Keys, SrtpError, derive};

/// Most SSRCs one transport may send from at a time, of RTP and of RTCP each.
pub const MAX_STREAMS: usize = 64;
/// The same for a relay link, which carries whole rooms.
pub const MAX_LINK_STREAMS: usize = 1024;
/// A stream silent for so long may lose its place to a new one.
const IDLE: Duration = Duration::from_secs(30);
/// Indices behind the newest RTP packet that are told apart: at least 960.
const RTP_WINDOW: usize = 16;
/// The same for RTCP: at least 192.
const RTCP_WINDOW: usize = 4;

/// The receiving half of a transport's contexts: one per transport, with
/// state per SSRC that only authenticated packets make or change.
///
/// Memory is taken when an SSRC is first heard, up to the bound.
/// A stream that lost its place starts anew at its next packet: its rollover
/// counter at zero, its replay window empty.
pub struct Inbound {
    rtp: Cipher,
    rtcp: Cipher,
    rtp_streams: Streams<RTP_WINDOW>,
    rtcp_streams: Streams<RTCP_WINDOW>,
}

impl core::fmt::Debug for Inbound {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Inbound").finish_non_exhaustive()
    }
}

impl Inbound {
    /// Contexts for the peer's keys, with at most [`MAX_STREAMS`] SSRCs.
    pub fn new(keys: &Keys) -> Self {
        Self::with_streams(keys, MAX_STREAMS)
    }

    /// Contexts for the peer's keys, with at most this many SSRCs of RTP and
    /// of RTCP each.
    pub fn with_streams(keys: &Keys, most: usize) -> Self {
        let (rtp, rtcp) = derive::ciphers(keys.profile, &keys.remote);
        Self {
            rtp,
            rtcp,
            rtp_streams: Streams::new(most),
            rtcp_streams: Streams::new(most),
        }
    }

    /// Authenticates and decrypts an SRTP packet in place. `header_len` is
    /// that of the RTP header with CSRCs and header extension (RFC 3550 §5.1,
    /// §5.3.1). Returns the length of the RTP packet and its 48-bit index:
    /// rollover counter and sequence number (RFC 3711 §3.3.1).
    ///
    /// # Errors
    /// Every [`SrtpError`] that an arriving packet can cause. State is as
    /// before; the packet's bytes are unspecified.
    pub fn unprotect_rtp(
        &mut self,
        now: Instant,
        packet: &mut [u8],
        header_len: usize,
    ) -> Result<(usize, u64), SrtpError> {
        if header_len < 12 || packet.len() < header_len.saturating_add(self.rtp.tag_len()) {
            return Err(SrtpError::Short);
        }
        let sequence = u16::from_be_bytes([packet[2], packet[3]]);
        let ssrc = u32::from_be_bytes([packet[8], packet[9], packet[10], packet[11]]);
        if let Some(stream) = self.rtp_streams.find(ssrc) {
            let index = stream.window.guess(sequence)?;
            if index >> 48 != 0 {
                return Err(SrtpError::Exhausted);
            }
            stream.window.check(index)?;
            let len = self.rtp.open_rtp(packet, header_len, ssrc, index)?;
            stream.window.accept(index);
            stream.heard = now;
            return Ok((len, index));
        }
        let index = u64::from(sequence);
        let len = self.rtp.open_rtp(packet, header_len, ssrc, index)?;
        self.rtp_streams.insert(now, ssrc, index)?;
        Ok((len, index))
    }

    /// Authenticates an SRTCP packet and decrypts it in place, when its E
    /// flag says that it is encrypted. Returns the length of the RTCP
    /// compound.
    ///
    /// # Errors
    /// As [`unprotect_rtp`](Self::unprotect_rtp).
    pub fn unprotect_rtcp(&mut self, now: Instant, packet: &mut [u8]) -> Result<usize, SrtpError> {
        if packet.len() < RTCP_CLEAR + TRAILER + self.rtcp.tag_len() {
            return Err(SrtpError::Short);
        }
        let ssrc = u32::from_be_bytes([packet[4], packet[5], packet[6], packet[7]]);
        let (encrypted, index) = self.rtcp.rtcp_trailer(packet);
        if let Some(stream) = self.rtcp_streams.find(ssrc) {
            stream.window.check(u64::from(index))?;
            let len = self.rtcp.open_rtcp(packet, ssrc, encrypted, index)?;
            stream.window.accept(u64::from(index));
            stream.heard = now;
            return Ok(len);
        }
        let len = self.rtcp.open_rtcp(packet, ssrc, encrypted, index)?;
        self.rtcp_streams.insert(now, ssrc, u64::from(index))?;
        Ok(len)
    }
}

/// An SSRC that was heard.
struct Stream<const WORDS: usize> {
    window: Window<WORDS>,
    heard: Instant,
}

/// Streams by SSRC. A transport has few: they are searched in order, the one
/// heard last first; a link's, eight at a time.
struct Streams<const WORDS: usize> {
    ssrcs: Vec<u32>,
    streams: Vec<Stream<WORDS>>,
    last: usize,
    most: usize,
}

/// Where a number is in a list, eight compared at a time.
#[inline]
fn position(list: &[u32], wanted: u32) -> Option<usize> {
    let (chunks, rest) = list.as_chunks::<8>();
    let in_chunks = chunks
        .iter()
        .position(|chunk| chunk.iter().fold(false, |any, one| any | (*one == wanted)));
    let (start, part) = match in_chunks {
        Some(at) => (at * 8, &chunks[at][..]),
        None => (chunks.len() * 8, rest),
    };
    Some(start + part.iter().position(|one| *one == wanted)?)
}

impl<const WORDS: usize> Streams<WORDS> {
    const fn new(most: usize) -> Self {
        Self {
            ssrcs: Vec::new(),
            streams: Vec::new(),
            last: 0,
            most,
        }
    }

    #[inline]
    fn find(&mut self, ssrc: u32) -> Option<&mut Stream<WORDS>> {
        if self.ssrcs.get(self.last) != Some(&ssrc) {
            self.last = position(&self.ssrcs, ssrc)?;
        }
        self.streams.get_mut(self.last)
    }

    #[cold]
    fn insert(&mut self, now: Instant, ssrc: u32, index: u64) -> Result<(), SrtpError> {
        let stream = Stream {
            window: Window::starting_at(index),
            heard: now,
        };
        if self.streams.len() < self.most {
            self.ssrcs.push(ssrc);
            self.streams.push(stream);
            return Ok(());
        }
        let (place, quietest) = self
            .streams
            .iter()
            .map(|stream| stream.heard)
            .enumerate()
            .min_by_key(|(_, heard)| *heard)
            .ok_or(SrtpError::TooManyStreams)?;
        if now.since(quietest) < IDLE {
            return Err(SrtpError::TooManyStreams);
        }
        self.ssrcs[place] = ssrc;
        self.streams[place] = stream;
        Ok(())
    }
}
