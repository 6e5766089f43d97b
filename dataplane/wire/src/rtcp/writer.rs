//! Writing a compound.

use super::extended::{DLRR, Dlrr, RECEIVER_REFERENCE_TIME};
use super::feedback::{Remb, remb_rate};
use super::report::{NtpTime, ReportBlock};
use super::transport_cc::{Head, encode};
use super::{HEADER, format, kind};
use crate::clock::Instant;
use crate::error::NoRoom;

/// Appends packets to a lent buffer. A packet that does not fit leaves what
/// was written before as it is.
#[derive(Debug)]
pub struct Writer<'a> {
    buffer: &'a mut [u8],
    len: usize,
}

/// The most a five-bit count tells.
const MAX_COUNT: usize = 31;
const CNAME: u8 = 1;

impl<'a> Writer<'a> {
    /// Starts an empty compound.
    pub const fn new(buffer: &'a mut [u8]) -> Self {
        Self { buffer, len: 0 }
    }

    /// Bytes written.
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Nothing is written.
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// What is written.
    pub fn as_bytes(&self) -> &[u8] {
        self.buffer.get(..self.len).unwrap_or(&[])
    }

    /// Where the body of the next packet will lie.
    fn room(&mut self) -> &mut [u8] {
        self.buffer.get_mut(self.len + HEADER..).unwrap_or(&mut [])
    }

    /// Puts a header in front of `len` bytes of body, a multiple of four, that
    /// are there or follow at once.
    fn close(&mut self, count: u8, kind: u8, len: usize) -> Result<(), NoRoom> {
        let words = u16::try_from(len / 4).map_err(|_| NoRoom)?;
        let end = self.len + HEADER + len;
        let packet = self.buffer.get_mut(self.len..end).ok_or(NoRoom)?;
        let header = packet.first_chunk_mut::<HEADER>().ok_or(NoRoom)?;
        let [l0, l1] = words.to_be_bytes();
        *header = [0x80 | count, kind, l0, l1];
        self.len = end;
        Ok(())
    }

    /// SR: 28 bytes and 24 for each block. Takes up to 31 blocks as long as
    /// there is room and returns how many; the others stay in the iterator.
    ///
    /// # Errors
    /// No room for the 28 bytes.
    pub fn sender_report(
        &mut self,
        ssrc: u32,
        ntp: NtpTime,
        rtp: u32,
        packets: u32,
        octets: u32,
        blocks: &mut impl Iterator<Item = ReportBlock>,
    ) -> Result<usize, NoRoom> {
        let fixed = [
            ssrc,
            (ntp.0 >> 32) as u32,
            ntp.0 as u32,
            rtp,
            packets,
            octets,
        ];
        self.report(kind::SENDER_REPORT, &fixed, blocks)
    }

    /// RR: 8 bytes and 24 for each block. Takes up to 31 blocks as long as
    /// there is room and returns how many; the others stay in the iterator.
    ///
    /// # Errors
    /// No room for the 8 bytes.
    pub fn receiver_report(
        &mut self,
        ssrc: u32,
        blocks: &mut impl Iterator<Item = ReportBlock>,
    ) -> Result<usize, NoRoom> {
        self.report(kind::RECEIVER_REPORT, &[ssrc], blocks)
    }

    fn report(
        &mut self,
        kind: u8,
        fixed: &[u32],
        blocks: &mut impl Iterator<Item = ReportBlock>,
    ) -> Result<usize, NoRoom> {
        let mut free = put_words(self.room(), fixed)?;
        let mut count = 0;
        while count < MAX_COUNT {
            let Some((into, rest)) = free.split_first_chunk_mut() else {
                break;
            };
            let Some(block) = blocks.next() else {
                break;
            };
            *into = block.to_bytes();
            free = rest;
            count += 1;
        }
        let len = fixed.len() * 4 + count * ReportBlock::LEN;
        self.close(count as u8, kind, len)?;
        Ok(count)
    }

    /// SDES with a CNAME of at most 255 bytes: 10 bytes and the name, filled up
    /// with one to four zeros to a multiple of four.
    ///
    /// # Errors
    /// No room, or the name is longer.
    pub fn cname(&mut self, ssrc: u32, name: &[u8]) -> Result<(), NoRoom> {
        let len = u8::try_from(name.len()).map_err(|_| NoRoom)?;
        let free = put_words(self.room(), &[ssrc])?;
        let used = 2 + name.len();
        let items = (used + 1).next_multiple_of(4);
        let (head, rest) = free.split_first_chunk_mut().ok_or(NoRoom)?;
        let (into, rest) = rest.split_at_mut_checked(name.len()).ok_or(NoRoom)?;
        *head = [CNAME, len];
        into.copy_from_slice(name);
        rest.get_mut(..items - used).ok_or(NoRoom)?.fill(0);
        self.close(1, kind::SOURCE_DESCRIPTION, 4 + items)
    }

    /// BYE of 1–31 sources: 4 bytes and 4 for each.
    ///
    /// # Errors
    /// No room, or more sources.
    pub fn goodbye(&mut self, sources: &[u32]) -> Result<(), NoRoom> {
        if sources.len() > MAX_COUNT {
            return Err(NoRoom);
        }
        put_words(self.room(), sources)?;
        self.close(sources.len() as u8, kind::GOODBYE, sources.len() * 4)
    }

    /// Generic NACK: 12 bytes and 4 for each entry, which tells a sequence
    /// number and those of the 16 after it that follow in the iterator. Give
    /// them in rising order. Returns how many of them were told before the
    /// room ended; nothing is written without any.
    ///
    /// # Errors
    /// No room for one entry.
    pub fn nack(
        &mut self,
        sender: u32,
        media: u32,
        sequences: impl IntoIterator<Item = u16>,
    ) -> Result<usize, NoRoom> {
        let mut sequences = sequences.into_iter().peekable();
        if sequences.peek().is_none() {
            return Ok(0);
        }
        let mut free = put_words(self.room(), &[sender, media])?;
        let (mut told, mut entries) = (0, 0);
        while let Some((into, rest)) = free.split_first_chunk_mut::<4>() {
            let Some(first) = sequences.next() else {
                break;
            };
            let mut mask = 0_u16;
            told += 1;
            let bit = |next: u16| {
                let distance = next.wrapping_sub(first);
                (1..=16).contains(&distance).then(|| 1 << (distance - 1))
            };
            while let Some(bit) = sequences.peek().and_then(|next| bit(*next)) {
                mask |= bit;
                told += 1;
                sequences.next();
            }
            let [f0, f1] = first.to_be_bytes();
            let [m0, m1] = mask.to_be_bytes();
            *into = [f0, f1, m0, m1];
            free = rest;
            entries += 1;
        }
        if entries == 0 {
            return Err(NoRoom);
        }
        self.close(format::NACK, kind::TRANSPORT_FEEDBACK, 8 + entries * 4)?;
        Ok(told)
    }

    /// PLI: 12 bytes.
    ///
    /// # Errors
    /// No room.
    pub fn picture_loss(&mut self, sender: u32, media: u32) -> Result<(), NoRoom> {
        put_words(self.room(), &[sender, media])?;
        self.close(format::PICTURE_LOSS, kind::PAYLOAD_FEEDBACK, 8)
    }

    /// FIR to one source: 20 bytes. `sequence` rises with each new command
    /// and stays when one is repeated (RFC 5104 §4.3.1.2).
    ///
    /// # Errors
    /// No room.
    pub fn full_intra_request(
        &mut self,
        sender: u32,
        media: u32,
        sequence: u8,
    ) -> Result<(), NoRoom> {
        put_words(self.room(), &[sender, 0, media, u32::from(sequence) << 24])?;
        self.close(format::FULL_INTRA, kind::PAYLOAD_FEEDBACK, 16)
    }

    /// REMB: 20 bytes and 4 for each of at most 255 sources. The bitrate, in
    /// bits per second, is rounded down to 18 significant bits.
    ///
    /// # Errors
    /// No room, or more sources.
    pub fn remb(&mut self, sender: u32, bitrate: u64, sources: &[u32]) -> Result<(), NoRoom> {
        let count = u8::try_from(sources.len()).map_err(|_| NoRoom)?;
        let rate = u32::from(count) << 24 | remb_rate(bitrate);
        let name = u32::from_be_bytes(Remb::NAME);
        let free = put_words(self.room(), &[sender, 0, name, rate])?;
        put_words(free, sources)?;
        let len = 16 + sources.len() * 4;
        self.close(format::APPLICATION, kind::PAYLOAD_FEEDBACK, len)
    }

    /// Transport-wide feedback: 20 bytes, and for each packet between 2 bits
    /// and 4 bytes. `arrivals` are transport-wide sequence numbers, rising
    /// (those that do not rise are left out), and times of arrival. Returns how
    /// many were told, or left out, until the room, a report's 65,535 packets
    /// or the ±8.19 s between two arrivals ended; call again with the rest and
    /// the next `feedback_count`. Nothing is written without any.
    ///
    /// # Errors
    /// No room for one arrival.
    pub fn transport_cc(
        &mut self,
        sender: u32,
        media: u32,
        feedback_count: u8,
        arrivals: impl Iterator<Item = (u16, Instant)> + Clone,
    ) -> Result<usize, NoRoom> {
        if arrivals.clone().next().is_none() {
            return Ok(0);
        }
        let head = Head {
            sender,
            media,
            feedback_count,
        };
        let encoded = encode(&head, arrivals, self.room()).ok_or(NoRoom)?;
        self.close(format::TRANSPORT_CC, kind::TRANSPORT_FEEDBACK, encoded.len)?;
        Ok(encoded.arrivals)
    }

    /// XR with our clock, for a receiver that sends no media: 20 bytes.
    ///
    /// # Errors
    /// No room.
    pub fn receiver_reference_time(&mut self, ssrc: u32, now: NtpTime) -> Result<(), NoRoom> {
        let head = u32::from(RECEIVER_REFERENCE_TIME) << 24 | 2;
        let words = [ssrc, head, (now.0 >> 32) as u32, now.0 as u32];
        put_words(self.room(), &words)?;
        self.close(0, kind::EXTENDED_REPORT, 16)
    }

    /// XR that answers receivers' clocks: 12 bytes and 12 for each.
    ///
    /// # Errors
    /// No room.
    pub fn delay_since_last(&mut self, ssrc: u32, answers: &[Dlrr]) -> Result<(), NoRoom> {
        let words = u16::try_from(answers.len() * 3).map_err(|_| NoRoom)?;
        let head = u32::from(DLRR) << 24 | u32::from(words);
        let mut free = put_words(self.room(), &[ssrc, head])?;
        for answer in answers {
            free = put_words(free, &[answer.ssrc, answer.last_report, answer.delay])?;
        }
        let len = 8 + answers.len() * Dlrr::LEN;
        self.close(0, kind::EXTENDED_REPORT, len)
    }
}

/// Writes numbers to the front and returns what is left.
fn put_words<'a>(room: &'a mut [u8], words: &[u32]) -> Result<&'a mut [u8], NoRoom> {
    let (into, rest) = room.split_at_mut_checked(words.len() * 4).ok_or(NoRoom)?;
    for (into, word) in into.as_chunks_mut::<4>().0.iter_mut().zip(words) {
        *into = word.to_be_bytes();
    }
    Ok(rest)
}
