//! Protecting and unprotecting packets of known streams takes no memory.

use std::alloc::System;

use forebay_media::srtp::{Inbound, Keys, Master, Outbound, Profile};
use forebay_wire::clock::Instant;
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

#[test]
fn no_allocation_per_packet() {
    for profile in [
        Profile::AesCm128HmacSha1_80,
        Profile::AeadAes128Gcm,
        Profile::AeadAes256Gcm,
    ] {
        let keys = Keys {
            profile,
            local: Master::default(),
            remote: Master::default(),
        };
        let mut outbound = Outbound::new(&keys);
        let mut inbound = Inbound::new(&keys);
        let mut round = |index: u64| {
            let now = Instant::from_nanos(index);
            let mut packet = [0x80; 1300];
            packet[2..4].copy_from_slice(&(index as u16).to_be_bytes());
            let len = outbound.protect_rtp(&mut packet, 20, 1200, index);
            let len = len.expect("room");
            let opened = inbound.unprotect_rtp(now, &mut packet[..len], 20);
            assert_eq!(opened, Ok((1200, index)));
            let len = outbound.protect_rtcp(&mut packet, 100).expect("room");
            let opened = inbound.unprotect_rtcp(now, &mut packet[..len]);
            assert_eq!(opened, Ok(100));
        };
        round(1);
        let region = Region::new(ALLOCATOR);
        (2..200).for_each(&mut round);
        let change = region.change();
        assert_eq!(change.allocations + change.reallocations, 0, "{profile:?}");
    }
}
