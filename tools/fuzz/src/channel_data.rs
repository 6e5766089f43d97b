//! [`ChannelData`]: the payload is exactly what the header states.

use forebay_wire::ChannelData;

pub(crate) fn run(datagram: &[u8]) {
    let Ok(message) = ChannelData::parse(datagram) else {
        return;
    };
    assert!((0x4000..=0x7FFF).contains(&message.number()));
    let len = u16::try_from(message.payload().len()).expect("a 16-bit length field");
    let header = ChannelData::header(message.number(), len);
    assert_eq!(header, datagram[..ChannelData::HEADER]);
    assert_eq!(
        message.payload(),
        &datagram[ChannelData::HEADER..][..usize::from(len)]
    );
}
