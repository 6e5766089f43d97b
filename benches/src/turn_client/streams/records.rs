//! The records of TLS 1.2 with AES-GCM (RFC 5246 §6.2, RFC 5288) under the keys
//! of a handshake that is done: written one message each, as browsers do, and
//! counted without being opened, so that the client is not what limits a
//! server.

use anyhow::{Context as _, Result, bail, ensure};
use aws_lc_rs::aead::{AES_128_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use rustls::{ConnectionTrafficSecrets, ExtractedSecrets};

/// Type, version and length.
const HEADER: usize = 5;
const APPLICATION_DATA: u8 = 23;
/// The part of the nonce that is sent.
const EXPLICIT: usize = 8;
const TAG: usize = 16;
const OVERHEAD: usize = EXPLICIT + TAG;

/// One direction.
struct Keys {
    key: LessSafeKey,
    salt: [u8; 4],
    sequence: u64,
}

impl Keys {
    fn of((sequence, secrets): (u64, ConnectionTrafficSecrets)) -> Result<Self> {
        match secrets {
            ConnectionTrafficSecrets::Aes128Gcm { key, iv } => {
                Self::new(sequence, key.as_ref(), iv.as_ref())
            }
            _ => bail!("the server chose another cipher than the one offered"),
        }
    }

    fn new(sequence: u64, key: &[u8], iv: &[u8]) -> Result<Self> {
        Ok(Self {
            key: LessSafeKey::new(UnboundKey::new(&AES_128_GCM, key)?),
            salt: iv.first_chunk().copied().context("a short nonce")?,
            sequence,
        })
    }

    fn nonce(&self, explicit: [u8; EXPLICIT]) -> Nonce {
        let mut nonce = [0; 12];
        nonce[..4].copy_from_slice(&self.salt);
        nonce[4..].copy_from_slice(&explicit);
        Nonce::assume_unique_for_key(nonce)
    }

    /// What is authenticated beside the text of the next record.
    fn aad(&mut self, text: usize) -> Result<Aad<[u8; 13]>> {
        let mut aad = [0; 13];
        aad[..8].copy_from_slice(&self.sequence.to_be_bytes());
        aad[8..].copy_from_slice(&header(text)?);
        self.sequence += 1;
        Ok(Aad::from(aad))
    }
}

/// Both directions of one connection.
pub(super) struct Records {
    outbound: Keys,
    inbound: Keys,
    /// The beginning of a header that came in two pieces.
    header: [u8; HEADER],
    begun: usize,
    /// What is still to come of a record whose header has come.
    rest: usize,
}

impl Records {
    /// Takes over from a handshake.
    pub(super) fn new(secrets: ExtractedSecrets) -> Result<Self> {
        Ok(Self::between(Keys::of(secrets.tx)?, Keys::of(secrets.rx)?))
    }

    fn between(outbound: Keys, inbound: Keys) -> Self {
        Self {
            outbound,
            inbound,
            header: [0; HEADER],
            begun: 0,
            rest: 0,
        }
    }

    /// Appends one record with `message` to `out`.
    pub(super) fn seal(&mut self, message: &[u8], out: &mut Vec<u8>) -> Result<()> {
        out.extend_from_slice(&header(message.len() + OVERHEAD)?);
        let explicit = self.outbound.sequence.to_be_bytes();
        out.extend_from_slice(&explicit);
        let start = out.len();
        out.extend_from_slice(message);
        let (nonce, aad) = (
            self.outbound.nonce(explicit),
            self.outbound.aad(message.len())?,
        );
        let tag = self
            .outbound
            .key
            .seal_in_place_separate_tag(nonce, aad, &mut out[start..])?;
        out.extend_from_slice(tag.as_ref());
        Ok(())
    }

    /// Opens the first record of `bytes`: its text and its length. Nothing
    /// while it is not whole.
    pub(super) fn open(&mut self, bytes: &[u8]) -> Result<Option<(Vec<u8>, usize)>> {
        let Some(header) = bytes.first_chunk::<HEADER>() else {
            return Ok(None);
        };
        let end = HEADER + length(header)?;
        let Some((explicit, body)) = bytes
            .get(HEADER..end)
            .and_then(<[u8]>::split_first_chunk::<EXPLICIT>)
        else {
            return Ok(None);
        };
        let mut body = body.to_vec();
        let nonce = self.inbound.nonce(*explicit);
        let aad = self.inbound.aad(body.len() - TAG)?;
        let text = self.inbound.key.open_in_place(nonce, aad, &mut body)?.len();
        body.truncate(text);
        Ok(Some((body, end)))
    }

    /// How many bytes of application data lie in the records of which
    /// `bytes` are the next part. A record counts when its header has come.
    pub(super) fn count(&mut self, mut bytes: &[u8]) -> Result<u64> {
        let mut data = 0;
        loop {
            let skipped = self.rest.min(bytes.len());
            self.rest -= skipped;
            bytes = &bytes[skipped..];
            let taken = bytes.len().min(HEADER - self.begun);
            self.header[self.begun..self.begun + taken].copy_from_slice(&bytes[..taken]);
            self.begun += taken;
            bytes = &bytes[taken..];
            if self.begun < HEADER {
                return Ok(data);
            }
            self.begun = 0;
            self.rest = length(&self.header)?;
            self.inbound.sequence += 1;
            data += (self.rest - OVERHEAD) as u64;
        }
    }
}

fn header(length: usize) -> Result<[u8; HEADER]> {
    let [high, low] = u16::try_from(length)?.to_be_bytes();
    Ok([APPLICATION_DATA, 3, 3, high, low])
}

fn length(header: &[u8; HEADER]) -> Result<usize> {
    let length = usize::from(u16::from_be_bytes([header[3], header[4]]));
    ensure!(
        header[0] == APPLICATION_DATA && length > OVERHEAD,
        "no record of application data begins with {header:02x?}"
    );
    Ok(length)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn both_alike() -> Records {
        let keys = || Keys::new(3, &[7; 16], &[9; 12]).unwrap();
        Records::between(keys(), keys())
    }

    #[test]
    fn opens_what_it_sealed_and_counts_it_in_pieces() {
        let mut writer = both_alike();
        let mut bytes = Vec::new();
        for message in [&b"one"[..], &[0x5a; 1204], b"three"] {
            writer.seal(message, &mut bytes).unwrap();
        }
        let mut reader = both_alike();
        assert_eq!(reader.open(&bytes[..7]).unwrap(), None);
        let (text, end) = reader.open(&bytes).unwrap().unwrap();
        assert_eq!((&text[..], end), (&b"one"[..], 5 + 3 + OVERHEAD));

        let mut counted = 0;
        for piece in bytes[end..].chunks(7) {
            counted += reader.count(piece).unwrap();
        }
        assert_eq!(counted, 1204 + 5);
        // Counting has kept the sequence number, so the next opens.
        let mut more = Vec::new();
        writer.seal(b"four", &mut more).unwrap();
        assert_eq!(reader.open(&more).unwrap().unwrap().0, b"four");
    }

    #[test]
    fn refuses_what_is_no_record() {
        assert!(both_alike().count(b"\x16\x03\x03\x00\x40").is_err());
    }
}
