//! What we send to a peer.

use super::cipher::{Cipher, RTCP_CLEAR, TRAILER};
use super::{Keys, SrtpError, derive};

/// The sending half of a transport's contexts.
///
/// **The nonce rule.** What a packet is encrypted with depends on its SSRC and
/// index alone. Two different packets under one pair — another payload or,
/// with GCM, only another header extension — give away the plaintext's
/// difference and the key that authenticates. So the caller protects a given
/// SSRC and index once; to send a packet again it keeps the protected bytes,
/// or uses a retransmission stream (RFC 4588). The caller owns the 48-bit
/// index of each SSRC: the sequence number, extended by a count of its
/// wraps that starts at zero.
pub struct Outbound {
    rtp: Cipher,
    rtcp: Cipher,
    rtcp_index: u32,
}

impl core::fmt::Debug for Outbound {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Outbound")
            .field("rtcp_index", &self.rtcp_index)
            .finish_non_exhaustive()
    }
}

impl Outbound {
    /// The most that [`protect_rtp`](Self::protect_rtp) adds, of any profile.
    pub const RTP_OVERHEAD: usize = 16;
    /// The most that [`protect_rtcp`](Self::protect_rtcp) adds.
    pub const RTCP_OVERHEAD: usize = 20;

    /// Contexts for our own keys.
    pub fn new(keys: &Keys) -> Self {
        let (rtp, rtcp) = derive::ciphers(keys.profile, &keys.local);
        Self {
            rtp,
            rtcp,
            rtcp_index: 0,
        }
    }

    /// Encrypts the RTP packet of `packet_len` bytes at the front of `buffer`
    /// in place and appends its tag; returns the new length. `header_len`
    /// covers CSRCs and header extension; `index` is the packet's 48-bit
    /// index, see the nonce rule above.
    ///
    /// # Errors
    /// `Short`, `NoRoom`, `WrongIndex`, `Exhausted`; the buffer is untouched.
    #[inline]
    pub fn protect_rtp(
        &self,
        buffer: &mut [u8],
        header_len: usize,
        packet_len: usize,
        index: u64,
    ) -> Result<usize, SrtpError> {
        let ssrc = self.stream(buffer, header_len, packet_len, index)?;
        self.rtp
            .seal_rtp(buffer, header_len, packet_len, ssrc, index)
    }

    /// As [`protect_rtp`](Self::protect_rtp), with the header at the front of
    /// `buffer` and the payload elsewhere: saves copying it first.
    ///
    /// # Errors
    /// As [`protect_rtp`](Self::protect_rtp).
    #[inline]
    pub fn protect_rtp_from(
        &self,
        buffer: &mut [u8],
        header_len: usize,
        payload: &[u8],
        index: u64,
    ) -> Result<usize, SrtpError> {
        let packet_len = header_len + payload.len();
        let ssrc = self.stream(buffer, header_len, packet_len, index)?;
        self.rtp
            .seal_rtp_from(buffer, header_len, payload, ssrc, index)
    }

    /// The SSRC in the header, when everything fits.
    #[inline]
    fn stream(
        &self,
        buffer: &[u8],
        header_len: usize,
        packet_len: usize,
        index: u64,
    ) -> Result<u32, SrtpError> {
        if header_len < 12 || packet_len < header_len {
            return Err(SrtpError::Short);
        }
        if buffer.len() < packet_len.saturating_add(self.rtp.tag_len()) {
            return Err(SrtpError::NoRoom);
        }
        if index >> 48 != 0 {
            return Err(SrtpError::Exhausted);
        }
        if u16::from_be_bytes([buffer[2], buffer[3]]) != index as u16 {
            return Err(SrtpError::WrongIndex);
        }
        Ok(u32::from_be_bytes([
            buffer[8], buffer[9], buffer[10], buffer[11],
        ]))
    }

    /// Encrypts the RTCP compound of `len` bytes at the front of `buffer` in
    /// place and appends index and tag; returns the new length. The index is
    /// kept here, one for all SSRCs.
    ///
    /// # Errors
    /// `Short`, `NoRoom`, `Exhausted`; the buffer is untouched.
    pub fn protect_rtcp(&mut self, buffer: &mut [u8], len: usize) -> Result<usize, SrtpError> {
        if len < RTCP_CLEAR {
            return Err(SrtpError::Short);
        }
        if buffer.len() < len + TRAILER + self.rtcp.tag_len() {
            return Err(SrtpError::NoRoom);
        }
        let index = self.rtcp_index;
        if index >> 31 != 0 {
            return Err(SrtpError::Exhausted);
        }
        self.rtcp_index += 1;
        let ssrc = u32::from_be_bytes([buffer[4], buffer[5], buffer[6], buffer[7]]);
        self.rtcp.seal_rtcp(buffer, len, ssrc, index)
    }
}
