//! [`Packet`]: every range and element stays inside the packet and in order,
//! and a header written from what was read reads the same.

use forebay_wire::rtp::{Extension, Form, HeaderWriter, Packet, rtx};

pub(crate) fn run(datagram: &[u8]) {
    let Ok(protected) = Packet::parse_protected(datagram) else {
        assert!(Packet::parse(datagram).is_err());
        return;
    };
    stays_inside(datagram, &protected);
    assert_eq!(protected.payload_range().end, datagram.len());
    assert_eq!(protected.padding(), 0);
    if let Ok(packet) = Packet::parse(datagram) {
        stays_inside(datagram, &packet);
        let padding = usize::from(packet.padding());
        assert_eq!(packet.payload_range().end + padding, datagram.len());
        assert_eq!(padding > 0, packet.has_padding());
        assert_eq!(packet.is_padding_only(), packet.payload().is_empty());
        rebuilds(&packet);
    }
}

fn stays_inside(datagram: &[u8], packet: &Packet<'_>) {
    let elements = packet.extension_range();
    assert_eq!(elements.end, packet.header_len());
    assert_eq!(packet.payload_range().start, packet.header_len());
    assert_eq!(&datagram[packet.payload_range()], packet.payload());
    let fixed = Packet::FIXED_HEADER + packet.csrcs().len() * 4;
    let head = if packet.extension_form() == Form::None {
        0
    } else {
        4
    };
    assert_eq!(elements.start, fixed + head);
    let mut at = elements.start;
    for extension in packet.extensions() {
        assert!(extension.at > at && extension.at + extension.data.len() <= elements.end);
        assert_eq!(
            &datagram[extension.at..][..extension.data.len()],
            extension.data
        );
        assert_ne!(extension.id, 0);
        at = extension.at + extension.data.len();
        reads(&extension);
        let first = packet.extension(extension.id).expect("it is there");
        assert!(first.at <= extension.at);
    }
    if let Some((sequence, original)) = rtx::split(packet.payload()) {
        assert_eq!(rtx::header(sequence), packet.payload()[..rtx::HEADER]);
        assert_eq!(original.len() + rtx::HEADER, packet.payload().len());
    }
}

fn reads(extension: &Extension<'_>) {
    let len = extension.data.len();
    if let Some(level) = extension.audio_level() {
        assert_eq!(level.to_bytes(), extension.data[..1]);
    }
    if let Some(time) = extension.abs_send_time() {
        assert_eq!(time.to_bytes(), extension.data[..3]);
        assert_eq!(time.micros_since(time), 0);
    }
    assert_eq!(extension.transport_sequence().is_some(), len >= 2);
    assert_eq!(extension.video_orientation().is_some(), len >= 1);
    if let Some(tag) = extension.tag() {
        assert!(!tag.is_empty() && extension.data.starts_with(tag));
    }
}

fn rebuilds(packet: &Packet<'_>) {
    let header = HeaderWriter {
        marker: packet.marker(),
        padding: packet.has_padding(),
        payload_type: packet.payload_type(),
        sequence: packet.sequence(),
        timestamp: packet.timestamp(),
        ssrc: packet.ssrc(),
    };
    let elements: Vec<_> = packet.extensions().map(|e| (e.id, e.data)).collect();
    let mut written = vec![0xEE; HeaderWriter::len(&elements)];
    let len = header.write(&mut written, &elements).expect("room for it");
    assert_eq!(len, written.len());
    let again = Packet::parse_protected(&written).expect("written here");
    assert_eq!(again.header_len(), len);
    assert!(again.extensions().map(|e| (e.id, e.data)).eq(elements));
    assert_eq!(again.marker(), packet.marker());
    assert_eq!(again.has_padding(), packet.has_padding());
    assert_eq!(again.payload_type(), packet.payload_type());
    assert_eq!(again.sequence(), packet.sequence());
    assert_eq!(again.timestamp(), packet.timestamp());
    assert_eq!(again.ssrc(), packet.ssrc());
}
