//! The transforms of the profiles, with session keys: one packet, given its
//! SSRC and index. They know no streams.

use aws_lc_rs::aead::{AES_128_GCM, AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::cipher::EncryptingKey;
use aws_lc_rs::hmac;
use subtle::ConstantTimeEq;

use super::derive::{counter_mode, keystream};
use super::{Profile, SrtpError};

/// Bytes of an RTCP packet that stay in clear: header and sender's SSRC.
pub(super) const RTCP_CLEAR: usize = 8;
/// The trailer of an SRTCP packet without its tag: E flag and index.
pub(super) const TRAILER: usize = 4;
const ENCRYPTED: u32 = 1 << 31;
const GCM_TAG: usize = 16;
const HMAC_TAG: usize = 10;

/// One direction's transform, of either RTP or RTCP.
pub(super) enum Cipher {
    Gcm(Gcm),
    Cm(Box<Cm>),
    /// The library refused the keys, which it has no reason to: nothing is
    /// protected, and nothing accepted.
    Unusable(Profile),
}

impl Cipher {
    pub(super) fn new(profile: Profile, key: &[u8], mac: &[u8], salt: &[u8]) -> Option<Self> {
        let algorithm = match profile {
            Profile::AesCm128HmacSha1_80 => {
                let mut padded = [0; 16];
                padded[..14].copy_from_slice(salt);
                return Some(Self::Cm(Box::new(Cm {
                    key: counter_mode(key)?,
                    salt: u128::from_be_bytes(padded),
                    mac: hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, mac),
                })));
            }
            Profile::AeadAes128Gcm => &AES_128_GCM,
            Profile::AeadAes256Gcm => &AES_256_GCM,
        };
        let mut padded = [0; 16];
        padded[4..].copy_from_slice(salt);
        Some(Self::Gcm(Gcm {
            key: LessSafeKey::new(UnboundKey::new(algorithm, key).ok()?),
            salt: u128::from_be_bytes(padded),
        }))
    }

    /// Protects the packet of `packet_len` bytes in `buffer`; returns its new
    /// length. The caller has checked that header, payload and tag fit.
    #[inline]
    pub(super) fn seal_rtp(
        &self,
        buffer: &mut [u8],
        header_len: usize,
        packet_len: usize,
        ssrc: u32,
        index: u64,
    ) -> Result<usize, SrtpError> {
        match self {
            Self::Gcm(gcm) => {
                let (packet, rest) = buffer.split_at_mut(packet_len);
                let (header, payload) = packet.split_at_mut(header_len);
                gcm.seal(ssrc, index, header, payload, &mut rest[..GCM_TAG])?;
            }
            Self::Cm(cm) => {
                cm.crypt(ssrc, index, &mut buffer[header_len..packet_len])?;
                let roc = ((index >> 16) as u32).to_be_bytes();
                let tag = cm.tag(&buffer[..packet_len], &roc);
                buffer[packet_len..packet_len + HMAC_TAG].copy_from_slice(&tag);
            }
            Self::Unusable(_) => return Err(SrtpError::Exhausted),
        }
        Ok(packet_len + self.tag_len())
    }

    /// As [`seal_rtp`](Self::seal_rtp), the payload read from elsewhere.
    #[inline]
    pub(super) fn seal_rtp_from(
        &self,
        buffer: &mut [u8],
        header_len: usize,
        payload: &[u8],
        ssrc: u32,
        index: u64,
    ) -> Result<usize, SrtpError> {
        let packet_len = header_len + payload.len();
        match self {
            Self::Gcm(gcm) => {
                let (header, rest) = buffer.split_at_mut(header_len);
                let (out, rest) = rest.split_at_mut(payload.len());
                gcm.key
                    .seal_out_of_place_scatter(
                        gcm.nonce(ssrc, index),
                        Aad::from(&*header),
                        payload,
                        out,
                        &[],
                        &mut rest[..GCM_TAG],
                    )
                    .map_err(|_| SrtpError::Exhausted)?;
                Ok(packet_len + GCM_TAG)
            }
            Self::Cm(_) | Self::Unusable(_) => {
                buffer[header_len..packet_len].copy_from_slice(payload);
                self.seal_rtp(buffer, header_len, packet_len, ssrc, index)
            }
        }
    }

    /// Checks and decrypts; returns the length without the tag.
    #[inline]
    pub(super) fn open_rtp(
        &self,
        packet: &mut [u8],
        header_len: usize,
        ssrc: u32,
        index: u64,
    ) -> Result<usize, SrtpError> {
        let len = packet.len() - self.tag_len();
        let (body, tag) = packet.split_at_mut(len);
        match self {
            Self::Gcm(gcm) => {
                let (header, payload) = body.split_at_mut(header_len);
                gcm.open(ssrc, index, header, payload, tag)?;
            }
            Self::Cm(cm) => {
                let roc = ((index >> 16) as u32).to_be_bytes();
                check(&cm.tag(body, &roc), tag)?;
                cm.crypt(ssrc, index, &mut body[header_len..])?;
            }
            Self::Unusable(_) => return Err(SrtpError::Unauthenticated),
        }
        Ok(len)
    }

    /// Protects the compound of `len` bytes at the front of `buffer`; returns
    /// its new length. The caller has checked that trailer and tag fit.
    pub(super) fn seal_rtcp(
        &self,
        buffer: &mut [u8],
        len: usize,
        ssrc: u32,
        index: u32,
    ) -> Result<usize, SrtpError> {
        let trailer = (ENCRYPTED | index).to_be_bytes();
        match self {
            Self::Gcm(gcm) => {
                let (packet, rest) = buffer.split_at_mut(len);
                let (header, body) = packet.split_at_mut(RTCP_CLEAR);
                let (tag, rest) = rest.split_at_mut(GCM_TAG);
                let aad = rtcp_aad(header, trailer);
                gcm.seal(ssrc, u64::from(index), &aad, body, tag)?;
                rest[..TRAILER].copy_from_slice(&trailer);
            }
            Self::Cm(cm) => {
                cm.crypt(ssrc, u64::from(index), &mut buffer[RTCP_CLEAR..len])?;
                let (packet, rest) = buffer.split_at_mut(len);
                let tag = cm.tag(packet, &trailer);
                rest[..TRAILER].copy_from_slice(&trailer);
                rest[TRAILER..TRAILER + HMAC_TAG].copy_from_slice(&tag);
            }
            Self::Unusable(_) => return Err(SrtpError::Exhausted),
        }
        Ok(len + TRAILER + self.tag_len())
    }

    /// The E flag with the index; `packet` is long enough.
    #[inline]
    pub(super) fn rtcp_trailer(&self, packet: &[u8]) -> (bool, u32) {
        let end = match self {
            Self::Cm(_) => packet.len() - HMAC_TAG,
            Self::Gcm(_) | Self::Unusable(_) => packet.len(),
        };
        let mut trailer = [0; TRAILER];
        trailer.copy_from_slice(&packet[end - TRAILER..end]);
        let trailer = u32::from_be_bytes(trailer);
        (trailer & ENCRYPTED != 0, trailer & !ENCRYPTED)
    }

    /// Checks and, when it is encrypted, decrypts; returns the length without
    /// trailer and tag.
    pub(super) fn open_rtcp(
        &self,
        packet: &mut [u8],
        ssrc: u32,
        encrypted: bool,
        index: u32,
    ) -> Result<usize, SrtpError> {
        let len = packet.len() - self.tag_len() - TRAILER;
        match self {
            Self::Gcm(gcm) => {
                let (body, rest) = packet.split_at_mut(len);
                let (tag, trailer) = rest.split_at_mut(GCM_TAG);
                let index = u64::from(index);
                if encrypted {
                    let (header, body) = body.split_at_mut(RTCP_CLEAR);
                    let mut word = [0; TRAILER];
                    word.copy_from_slice(trailer);
                    gcm.open(ssrc, index, &rtcp_aad(header, word), body, tag)?;
                } else {
                    // The associated data is packet and trailer; make the
                    // trailer follow the packet.
                    let mut expected = [0; GCM_TAG];
                    expected.copy_from_slice(tag);
                    packet.copy_within(len + GCM_TAG.., len);
                    gcm.open(ssrc, index, &packet[..len + TRAILER], &mut [], &expected)?;
                }
            }
            Self::Cm(cm) => {
                let (signed, tag) = packet.split_at_mut(len + TRAILER);
                check(&cm.tag(signed, &[]), tag)?;
                if encrypted {
                    cm.crypt(ssrc, u64::from(index), &mut signed[RTCP_CLEAR..len])?;
                }
            }
            Self::Unusable(_) => return Err(SrtpError::Unauthenticated),
        }
        Ok(len)
    }

    /// Bytes of the tag.
    #[inline]
    pub(super) fn tag_len(&self) -> usize {
        match self {
            Self::Gcm(_) => GCM_TAG,
            Self::Cm(_) => HMAC_TAG,
            Self::Unusable(profile) => profile.tag_len(),
        }
    }
}

/// RFC 7714 §9.2: header and trailer are authenticated, the rest encrypted.
fn rtcp_aad(header: &[u8], trailer: [u8; TRAILER]) -> [u8; RTCP_CLEAR + TRAILER] {
    let mut aad = [0; RTCP_CLEAR + TRAILER];
    aad[..RTCP_CLEAR].copy_from_slice(header);
    aad[RTCP_CLEAR..].copy_from_slice(&trailer);
    aad
}

fn check(expected: &[u8; HMAC_TAG], tag: &[u8]) -> Result<(), SrtpError> {
    if expected.ct_eq(tag).into() {
        Ok(())
    } else {
        Err(SrtpError::Unauthenticated)
    }
}

/// AES-GCM (RFC 7714).
pub(super) struct Gcm {
    key: LessSafeKey,
    /// In the low 96 bits.
    salt: u128,
}

impl Gcm {
    /// RFC 7714 §8.1 and §9.1: two zero bytes, SSRC and 48-bit index, XORed
    /// with the salt. An SRTCP index is 31 bits wide.
    #[inline]
    fn nonce(&self, ssrc: u32, index: u64) -> Nonce {
        let place = u128::from(ssrc) << 48 | u128::from(index);
        let mut nonce = [0; 12];
        nonce.copy_from_slice(&(self.salt ^ place).to_be_bytes()[4..]);
        Nonce::assume_unique_for_key(nonce)
    }

    #[inline]
    fn seal(
        &self,
        ssrc: u32,
        index: u64,
        aad: &[u8],
        body: &mut [u8],
        tag: &mut [u8],
    ) -> Result<(), SrtpError> {
        self.key
            .seal_in_place_scatter(self.nonce(ssrc, index), Aad::from(aad), body, &[], tag)
            .map_err(|_| SrtpError::Exhausted)
    }

    #[inline]
    fn open(
        &self,
        ssrc: u32,
        index: u64,
        aad: &[u8],
        body: &mut [u8],
        tag: &[u8],
    ) -> Result<(), SrtpError> {
        self.key
            .open_in_place_separate_tag(self.nonce(ssrc, index), Aad::from(aad), tag, body)
            .map(|_| ())
            .map_err(|_| SrtpError::Unauthenticated)
    }
}

/// AES in counter mode with HMAC-SHA1 of 80 bits (RFC 3711 §4).
pub(super) struct Cm {
    key: EncryptingKey,
    /// In the high 112 bits.
    salt: u128,
    mac: hmac::Key,
}

impl Cm {
    /// RFC 3711 §4.1.1.
    #[inline]
    fn crypt(&self, ssrc: u32, index: u64, bytes: &mut [u8]) -> Result<(), SrtpError> {
        let counter = self.salt ^ u128::from(ssrc) << 64 ^ u128::from(index) << 16;
        keystream(&self.key, counter.to_be_bytes(), bytes)
    }

    #[inline]
    fn tag(&self, signed: &[u8], more: &[u8]) -> [u8; HMAC_TAG] {
        let mut context = hmac::Context::with_key(&self.mac);
        context.update(signed);
        if !more.is_empty() {
            context.update(more);
        }
        let mut tag = [0; HMAC_TAG];
        tag.copy_from_slice(&context.sign().as_ref()[..HMAC_TAG]);
        tag
    }
}
