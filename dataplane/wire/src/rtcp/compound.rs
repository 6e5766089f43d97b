//! Taking a datagram apart.

use super::{
    ExtendedReport, FullIntraRequest, Goodbye, HEADER, Nack, PictureLoss, ReceiverReport, Remb,
    SenderReport, SourceDescription, TransportCc, format, kind,
};

/// The packets of a datagram in order. One that cannot be read is
/// [`Packet::Malformed`] and the next is tried at the length it states; only a
/// length past the end ends the iteration. Reduced-size compounds (RFC 5506)
/// are as good as any.
#[derive(Debug, Clone)]
pub struct Compound<'a> {
    rest: &'a [u8],
}

/// A packet of a compound.
#[derive(Debug, Clone, Copy)]
pub enum Packet<'a> {
    /// SR.
    SenderReport(SenderReport<'a>),
    /// RR.
    ReceiverReport(ReceiverReport<'a>),
    /// SDES.
    SourceDescription(SourceDescription<'a>),
    /// BYE.
    Goodbye(Goodbye<'a>),
    /// Generic NACK.
    Nack(Nack<'a>),
    /// Transport-wide feedback.
    TransportCc(TransportCc<'a>),
    /// PLI.
    PictureLoss(PictureLoss),
    /// FIR.
    FullIntraRequest(FullIntraRequest<'a>),
    /// REMB.
    Remb(Remb<'a>),
    /// XR.
    ExtendedReport(ExtendedReport<'a>),
    /// Well-formed, of a type or format nobody here reads (APP among them);
    /// its packet type.
    Other(u8),
    /// Of another version, or its contents do not fit its length; its packet
    /// type.
    Malformed(u8),
}

impl<'a> Compound<'a> {
    /// Starts at the first packet of a whole plaintext datagram.
    pub const fn new(datagram: &'a [u8]) -> Self {
        Self { rest: datagram }
    }
}

impl<'a> Iterator for Compound<'a> {
    type Item = Packet<'a>;

    fn next(&mut self) -> Option<Packet<'a>> {
        let Some((header, rest)) = self.rest.split_first_chunk::<HEADER>() else {
            // A trailing fragment of a header has no type of its own.
            let fragment = core::mem::take(&mut self.rest);
            return (!fragment.is_empty()).then_some(Packet::Malformed(0));
        };
        let [first, kind, l0, l1] = *header;
        let len = usize::from(u16::from_be_bytes([l0, l1])) * 4;
        let Some((body, rest)) = rest.split_at_checked(len) else {
            self.rest = &[];
            return Some(Packet::Malformed(kind));
        };
        self.rest = rest;
        let body = unpadded(first, body);
        Some(
            body.and_then(|body| read(first & 0x1F, kind, body))
                .unwrap_or(Packet::Malformed(kind)),
        )
    }
}

impl core::iter::FusedIterator for Compound<'_> {}

/// The body without padding (RFC 3550 §6.4.1); `None` for another version or
/// an impossible count. Other stacks fill packets up by counts that are no
/// multiple of four, so any that fits is taken.
fn unpadded(first: u8, body: &[u8]) -> Option<&[u8]> {
    if first & 0xC0 != 0x80 {
        return None;
    }
    if first & 0x20 == 0 {
        return Some(body);
    }
    let padding = *body.last()?;
    if padding == 0 {
        return None;
    }
    body.get(..body.len().checked_sub(usize::from(padding))?)
}

fn read(count: u8, kind: u8, body: &[u8]) -> Option<Packet<'_>> {
    Some(match (kind, count) {
        (kind::SENDER_REPORT, _) => Packet::SenderReport(SenderReport::read(count, body)?),
        (kind::RECEIVER_REPORT, _) => Packet::ReceiverReport(ReceiverReport::read(count, body)?),
        (kind::SOURCE_DESCRIPTION, _) => {
            Packet::SourceDescription(SourceDescription::read(count, body)?)
        }
        (kind::GOODBYE, _) => Packet::Goodbye(Goodbye::read(count, body)?),
        (kind::TRANSPORT_FEEDBACK, format::NACK) => Packet::Nack(Nack::read(body)?),
        (kind::TRANSPORT_FEEDBACK, format::TRANSPORT_CC) => {
            Packet::TransportCc(TransportCc::read(body)?)
        }
        (kind::PAYLOAD_FEEDBACK, format::PICTURE_LOSS) => {
            Packet::PictureLoss(PictureLoss::read(body)?)
        }
        (kind::PAYLOAD_FEEDBACK, format::FULL_INTRA) => {
            Packet::FullIntraRequest(FullIntraRequest::read(body)?)
        }
        (kind::PAYLOAD_FEEDBACK, format::APPLICATION) if Remb::is(body) => {
            Packet::Remb(Remb::read(body)?)
        }
        (kind::EXTENDED_REPORT, _) => Packet::ExtendedReport(ExtendedReport::read(body)?),
        _ => Packet::Other(kind),
    })
}
