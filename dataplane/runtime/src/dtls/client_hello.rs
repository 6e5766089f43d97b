//! The one look into a handshake that is ours: what a ClientHello offers, to
//! choose the protocol version by it.
//!
//! With a post-quantum key share it is some 1,400 bytes and comes in two or
//! more datagrams, in any order.

/// The longest ClientHello put together, bytes.
const LONGEST: usize = 8 * 1024;
/// Most datagrams kept while fragments are missing.
const MOST_DATAGRAMS: usize = 16;
const RECORD_HEADER: usize = 13;
const FRAGMENT_HEADER: usize = 12;
const HANDSHAKE: u8 = 22;
const ALERT: u8 = 21;
const CLIENT_HELLO: u8 = 1;
const USE_SRTP: u16 = 14;
const SUPPORTED_VERSIONS: u16 = 43;
const DTLS_1_3: u16 = 0xFEFC;

/// What a client offers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Offer {
    /// DTLS 1.3 (RFC 9147).
    pub dtls13: bool,
    /// An SRTP protection profile we know is among those offered (RFC 5764 §4.1.2).
    pub srtp: bool,
}

/// Gathers the datagrams of a ClientHello.
#[derive(Debug, Default)]
pub struct Gathering {
    message: Vec<u8>,
    /// Which bytes of the message came.
    present: Vec<bool>,
    missing: usize,
    /// Each with the place of its first fragment.
    datagrams: Vec<(usize, Box<[u8]>)>,
}

impl Gathering {
    /// Takes a datagram in. When the ClientHello is complete: what it offers,
    /// and its datagrams in the order of their fragments. Datagrams with no
    /// fragment of it are forgotten.
    pub fn push(&mut self, datagram: Box<[u8]>) -> Option<(Offer, Vec<Box<[u8]>>)> {
        let mut first = None;
        for record in Records::new(&datagram) {
            if record.kind != HANDSHAKE || record.epoch != 0 {
                continue;
            }
            let mut rest = record.body;
            while let Some((fragment, after)) = Fragment::parse(rest) {
                rest = after;
                if self.take(&fragment) {
                    first.get_or_insert(fragment.offset);
                }
            }
        }
        let first = first?;
        if self.datagrams.len() >= MOST_DATAGRAMS {
            *self = Self::default();
            return None;
        }
        self.datagrams.push((first, datagram));
        if self.missing > 0 {
            return None;
        }
        let mut gathered = core::mem::take(self);
        gathered.datagrams.sort_by_key(|(first, _)| *first);
        let datagrams = gathered.datagrams.into_iter().map(|(_, bytes)| bytes);
        Some((read(&gathered.message)?, datagrams.collect()))
    }

    /// Copies a fragment; whether it is one of a ClientHello.
    fn take(&mut self, fragment: &Fragment<'_>) -> bool {
        let end = fragment.offset + fragment.bytes.len();
        if fragment.kind != CLIENT_HELLO
            || fragment.sequence != 0
            || fragment.length == 0
            || fragment.length > LONGEST
            || end > fragment.length
        {
            return false;
        }
        if self.message.len() != fragment.length {
            // The first one, or another message: the peer began anew.
            *self = Self {
                message: vec![0; fragment.length],
                present: vec![false; fragment.length],
                missing: fragment.length,
                datagrams: Vec::new(),
            };
        }
        self.message[fragment.offset..end].copy_from_slice(fragment.bytes);
        for present in &mut self.present[fragment.offset..end] {
            self.missing -= usize::from(!*present);
            *present = true;
        }
        true
    }
}

/// Removes what nobody authenticated and yet would end a handshake: alerts in
/// clear (RFC 6347 §4.1.2.7). `None` when nothing remains.
pub fn without_clear_alerts(datagram: Box<[u8]>) -> Option<Box<[u8]>> {
    if !Records::new(&datagram).any(|record| record.is_clear_alert()) {
        return Some(datagram);
    }
    let mut kept = Vec::with_capacity(datagram.len());
    let mut records = Records::new(&datagram);
    for record in records.by_ref() {
        if !record.is_clear_alert() {
            kept.extend_from_slice(record.whole);
        }
    }
    kept.extend_from_slice(records.rest);
    (!kept.is_empty()).then(|| kept.into())
}

/// A record with the header of DTLS 1.2, which the first ones of DTLS 1.3 have
/// too.
struct Record<'a> {
    kind: u8,
    epoch: u16,
    whole: &'a [u8],
    body: &'a [u8],
}

impl Record<'_> {
    fn is_clear_alert(&self) -> bool {
        self.kind == ALERT && self.epoch == 0
    }
}

/// The records of a datagram, up to the first that has another header or is
/// cut short.
struct Records<'a> {
    rest: &'a [u8],
}

impl<'a> Records<'a> {
    fn new(datagram: &'a [u8]) -> Self {
        Self { rest: datagram }
    }
}

impl<'a> Iterator for Records<'a> {
    type Item = Record<'a>;

    fn next(&mut self) -> Option<Record<'a>> {
        let header = self.rest.first_chunk::<RECORD_HEADER>()?;
        if !(20..=26).contains(&header[0]) {
            return None;
        }
        let len = usize::from(u16::from_be_bytes([header[11], header[12]]));
        let whole = self.rest.get(..RECORD_HEADER + len)?;
        let record = Record {
            kind: header[0],
            epoch: u16::from_be_bytes([header[3], header[4]]),
            whole,
            body: &whole[RECORD_HEADER..],
        };
        self.rest = &self.rest[whole.len()..];
        Some(record)
    }
}

/// A piece of a handshake message (RFC 6347 §4.2.2).
struct Fragment<'a> {
    kind: u8,
    length: usize,
    sequence: u16,
    offset: usize,
    bytes: &'a [u8],
}

impl<'a> Fragment<'a> {
    /// And what follows it in the record.
    fn parse(body: &'a [u8]) -> Option<(Self, &'a [u8])> {
        let header = body.first_chunk::<FRAGMENT_HEADER>()?;
        let three = |at: usize| {
            let bytes = [0, header[at], header[at + 1], header[at + 2]];
            u32::from_be_bytes(bytes) as usize
        };
        let end = FRAGMENT_HEADER + three(9);
        let fragment = Self {
            kind: header[0],
            length: three(1),
            sequence: u16::from_be_bytes([header[4], header[5]]),
            offset: three(6),
            bytes: body.get(FRAGMENT_HEADER..end)?,
        };
        Some((fragment, &body[end..]))
    }
}

/// Takes vectors with a length in front off bytes.
struct Cursor<'a>(&'a [u8]);

impl<'a> Cursor<'a> {
    fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(taken)
    }

    fn u16(&mut self) -> Option<u16> {
        let bytes = self.take(2)?;
        Some(u16::from_be_bytes([bytes[0], bytes[1]]))
    }

    fn short(&mut self) -> Option<&'a [u8]> {
        let len = self.take(1)?[0];
        self.take(usize::from(len))
    }

    fn long(&mut self) -> Option<&'a [u8]> {
        let len = self.u16()?;
        self.take(usize::from(len))
    }
}

/// RFC 6347 §4.2.1, RFC 9147 §5.3.
fn read(body: &[u8]) -> Option<Offer> {
    let mut cursor = Cursor(body);
    let _legacy_version = cursor.u16()?;
    let _random = cursor.take(32)?;
    let _session_id = cursor.short()?;
    let _cookie = cursor.short()?;
    let _cipher_suites = cursor.long()?;
    let _compression = cursor.short()?;
    let mut extensions = Cursor(cursor.long().unwrap_or_default());
    let mut offer = Offer::default();
    while let Some(kind) = extensions.u16() {
        let mut value = Cursor(extensions.long()?);
        match kind {
            SUPPORTED_VERSIONS => {
                let versions = value.short()?;
                offer.dtls13 = pairs(versions).any(|version| version == DTLS_1_3);
            }
            USE_SRTP => {
                let profiles = value.long()?;
                offer.srtp = pairs(profiles).any(|profile| matches!(profile, 1 | 7 | 8));
            }
            _ => {}
        }
    }
    Some(offer)
}

fn pairs(bytes: &[u8]) -> impl Iterator<Item = u16> {
    bytes
        .chunks_exact(2)
        .map(|pair| u16::from_be_bytes([pair[0], pair[1]]))
}
