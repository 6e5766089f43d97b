//! Whatever the kernel, or anybody, writes into a buffer is read without harm.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use forebay_sys::{address, control_message, recv};
use proptest::prelude::*;

proptest! {
    #[test]
    fn parsing_never_panics_and_stays_inside(bytes in prop::collection::vec(any::<u8>(), 0..600), filled in 0_usize..700) {
        if let Some(received) = recv::parse(&bytes, filled) {
            prop_assert!(recv::OFFSET + received.len as usize <= filled);
            prop_assert!(u32::from(received.segment) <= received.len);
        }
    }

    #[test]
    fn addresses_survive(ip in any::<u128>(), v4 in any::<u32>(), port in any::<u16>(), six in any::<bool>()) {
        let ip: IpAddr = if six { Ipv6Addr::from(ip).to_canonical() } else { IpAddr::V4(v4.into()) };
        let address = SocketAddr::new(ip, port);
        let mut bytes = [0; address::MAX];
        let length = address::encode(&address, &mut bytes);
        prop_assert_eq!(address::decode(&bytes[..length]), Some(address));
    }

    #[test]
    fn control_messages_survive(messages in prop::collection::vec((any::<i32>(), any::<i32>(), prop::collection::vec(any::<u8>(), 0..24)), 0..5)) {
        let mut bytes = [0; 5 * control_message::space(24)];
        let mut end = 0;
        for (level, kind, data) in &messages {
            end = control_message::append(&mut bytes, end, *level, *kind, data);
        }
        let read: Vec<_> = control_message::iterate(&bytes[..end]).map(|(level, kind, data)| (level, kind, data.to_vec())).collect();
        prop_assert_eq!(read, messages);
    }
}

#[test]
fn mapped_addresses_come_out_as_ipv4() {
    let mut bytes = [0; address::MAX];
    let mapped = SocketAddr::new("::ffff:192.0.2.1".parse().unwrap(), 9);
    let length = address::encode(&mapped, &mut bytes);
    assert_eq!(
        address::decode(&bytes[..length]),
        Some("192.0.2.1:9".parse().unwrap())
    );
}
