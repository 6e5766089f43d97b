//! Which peers may be reached.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic)]

mod common;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use common::*;
use forebay_turn::{Denial, MediaMapping, PeerPolicy, RelayMapping, Verdict};
use proptest::prelude::*;

fn judge(policy: &PeerPolicy, at: &str, port: u16) -> Verdict {
    policy.judge(SocketAddr::new(ip(at), port))
}

/// First and last address of every special-purpose range, and its neighbours
/// where those are global.
#[test]
fn special_purpose_ranges() {
    let policy = PeerPolicy::default();
    let denied = [
        "0.0.0.0",
        "0.255.255.255",
        "10.0.0.0",
        "10.255.255.255",
        "100.64.0.0",
        "100.127.255.255",
        "127.0.0.0",
        "127.0.0.1",
        "127.255.255.255",
        "169.254.0.0",
        "169.254.169.254",
        "169.254.255.255",
        "172.16.0.0",
        "172.31.255.255",
        "192.0.0.0",
        "192.0.0.255",
        "192.0.2.0",
        "192.0.2.255",
        "192.31.196.1",
        "192.52.193.1",
        "192.88.99.0",
        "192.88.99.255",
        "192.168.0.0",
        "192.168.255.255",
        "192.175.48.1",
        "198.18.0.0",
        "198.19.255.255",
        "198.51.100.0",
        "198.51.100.255",
        "203.0.113.0",
        "203.0.113.255",
        "224.0.0.0",
        "239.255.255.255",
        "240.0.0.0",
        "255.255.255.255",
        "168.63.129.16",
        "::",
        "::1",
        "::2",
        "100::",
        "100::ffff:ffff:ffff:ffff",
        "2001::",
        "2001:1ff:ffff::",
        "2001:2::1",
        "2001:10::1",
        "2001:20::1",
        "2001:db8::",
        "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff",
        "2002::",
        "2002:808:808::1",
        "2620:4f:8000::1",
        "3ffe::1",
        "3fff::",
        "3fff:fff:ffff::",
        "4000::",
        "5f00::1",
        "fc00::",
        "fdff::1",
        "fe80::1",
        "febf::1",
        "fec0::1",
        "ff02::1",
        "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
        "64:ff9b:1::8.8.8.8",
        "64:ff9c::1",
        "1fff::1",
    ];
    for at in denied {
        assert_eq!(
            judge(&policy, at, 5000),
            Verdict::Denied(Denial::SpecialPurpose),
            "{at}"
        );
    }
    let allowed = [
        "1.0.0.0",
        "9.255.255.255",
        "11.0.0.0",
        "100.63.255.255",
        "100.128.0.0",
        "126.255.255.255",
        "128.0.0.0",
        "169.253.255.255",
        "169.255.0.0",
        "172.15.255.255",
        "172.32.0.0",
        "191.255.255.255",
        "192.0.1.0",
        "192.0.3.0",
        "192.88.98.1",
        "192.88.100.1",
        "192.167.255.255",
        "192.169.0.0",
        "198.17.255.255",
        "198.20.0.0",
        "198.51.99.255",
        "198.51.101.0",
        "203.0.112.255",
        "203.0.114.0",
        "223.255.255.255",
        "168.63.129.17",
        "2000::1",
        "2001:200::1",
        "2001:db7::1",
        "2001:db9::1",
        "2003::1",
        "2606:4700::1",
        "3ffd::1",
        "3fff:1000::1",
        "64:ff9b::8.8.8.8",
    ];
    for at in allowed {
        assert_eq!(judge(&policy, at, 5000), Verdict::Allowed, "{at}");
    }
}

#[test]
fn ports() {
    let mut policy = PeerPolicy {
        allow: vec!["10.1.0.0/16".parse().unwrap()],
        ..PeerPolicy::default()
    };
    for (port, verdict) in [
        (0, Verdict::Denied(Denial::Port)),
        (1, Verdict::Denied(Denial::Port)),
        (1023, Verdict::Denied(Denial::Port)),
        (1024, Verdict::Allowed),
        (65535, Verdict::Allowed),
    ] {
        assert_eq!(judge(&policy, "8.8.8.8", port), verdict);
    }
    assert_eq!(
        judge(&policy, "10.1.2.3", 53),
        Verdict::Allowed,
        "named by the operator"
    );
    assert_eq!(judge(&policy, "10.1.2.3", 0), Verdict::Denied(Denial::Port));
    policy.lowest_port = 1;
    assert_eq!(judge(&policy, "8.8.8.8", 53), Verdict::Allowed);
}

#[test]
fn allow_beats_deny_and_never_beats_all() {
    let policy = PeerPolicy {
        allow: vec![
            "10.1.0.0/16".parse().unwrap(),
            "9.9.9.9/32".parse().unwrap(),
            "127.0.0.0/8".parse().unwrap(),
        ],
        deny: vec![
            "10.0.0.0/8".parse().unwrap(),
            "9.9.9.0/24".parse().unwrap(),
            "2606::/16".parse().unwrap(),
        ],
        never: vec![
            addr("10.1.0.1:3478"),
            addr("10.1.0.2:0"),
            addr("[2606:4700::1]:80"),
            addr("0.0.0.0:9641"),
        ],
        ..PeerPolicy::default()
    };
    assert_eq!(judge(&policy, "10.1.9.9", 5000), Verdict::Allowed);
    assert_eq!(
        judge(&policy, "10.2.0.1", 5000),
        Verdict::Denied(Denial::Listed)
    );
    assert_eq!(judge(&policy, "9.9.9.9", 5000), Verdict::Allowed);
    assert_eq!(
        judge(&policy, "9.9.9.8", 5000),
        Verdict::Denied(Denial::Listed)
    );
    assert_eq!(
        judge(&policy, "2606::1", 5000),
        Verdict::Denied(Denial::Listed)
    );
    assert_eq!(
        judge(&policy, "10.1.0.1", 3478),
        Verdict::Denied(Denial::Never)
    );
    assert_eq!(
        judge(&policy, "::ffff:10.1.0.1", 3478),
        Verdict::Denied(Denial::Never)
    );
    assert_eq!(
        judge(&policy, "64:ff9b::10.1.0.1", 3478),
        Verdict::Denied(Denial::Never)
    );
    assert_eq!(judge(&policy, "10.1.0.1", 3479), Verdict::Allowed);
    assert_eq!(
        judge(&policy, "10.1.0.2", 4000),
        Verdict::Denied(Denial::Never)
    );
    // A wildcard listener is reached through every address of the host.
    assert_eq!(
        judge(&policy, "127.0.0.1", 9641),
        Verdict::Denied(Denial::Never)
    );
    assert_eq!(
        judge(&policy, "127.9.9.9", 9641),
        Verdict::Denied(Denial::Never)
    );
    assert_eq!(judge(&policy, "127.0.0.1", 9642), Verdict::Allowed);
    assert_eq!(
        judge(&policy, "10.1.9.9", 9641),
        Verdict::Allowed,
        "not this host"
    );
}

#[test]
fn relays_of_this_host() {
    let mapped = RelayMapping {
        local: ip("10.0.0.5"),
        public: ip("203.0.113.7"),
    };
    let plain = RelayMapping {
        local: ip("192.0.2.10"),
        public: ip("192.0.2.10"),
    };
    let policy = PeerPolicy {
        relays: vec![mapped, plain],
        never: vec![addr("0.0.0.0:50000"), addr("192.0.2.10:3478")],
        deny: vec!["192.0.2.0/24".parse().unwrap()],
        ..PeerPolicy::default()
    };
    let own = Verdict::Denied(Denial::OwnRelay);
    for at in ["203.0.113.7", "192.0.2.10"] {
        assert_eq!(judge(&policy, at, 49152), Verdict::Allowed);
        assert_eq!(judge(&policy, at, 65535), Verdict::Allowed);
        assert_eq!(judge(&policy, at, 49151), own);
        assert_eq!(judge(&policy, at, 50000), Verdict::Denied(Denial::Never));
    }
    assert_eq!(
        judge(&policy, "10.0.0.5", 50001),
        own,
        "nobody is told this address"
    );
    assert_eq!(
        judge(&policy, "192.0.2.10", 3478),
        Verdict::Denied(Denial::Never)
    );
    assert_eq!(
        judge(&policy, "192.0.2.11", 50001),
        Verdict::Denied(Denial::Listed)
    );
    let open = PeerPolicy {
        allow: vec!["192.0.2.10/32".parse().unwrap()],
        ..policy
    };
    assert_eq!(
        judge(&open, "192.0.2.10", 3480),
        Verdict::Allowed,
        "the operator said so"
    );
}

fn v6(high: u128, v4: Ipv4Addr) -> IpAddr {
    IpAddr::V6(Ipv6Addr::from_bits(high | u128::from(v4.to_bits())))
}

/// Every way an IPv4 address may hide in an IPv6 address.
fn encodings(v4: Ipv4Addr, filler: u128) -> Vec<IpAddr> {
    let bits = u128::from(v4.to_bits());
    let (high, low) = (bits >> 16, bits & 0xFFFF);
    let local = 0x0064_ff9b_0001 << 80;
    let global = 0x2606_4700 << 96 | (filler & 0xFFFF_FFFF) << 64;
    vec![
        v6(0, v4),
        v6(0xFFFF << 32, v4),
        v6(0xFFFF_0000 << 32, v4),
        v6(0x0064_ff9b << 96, v4),
        v6(local, v4),
        v6(local | (filler & 0xFFFF) << 32, v4),
        IpAddr::V6(Ipv6Addr::from_bits(local | high << 64 | low << 40)),
        IpAddr::V6(Ipv6Addr::from_bits(
            local | (bits >> 24) << 64 | (bits & 0xFF_FFFF) << 32,
        )),
        IpAddr::V6(Ipv6Addr::from_bits(local | bits << 24)),
        IpAddr::V6(Ipv6Addr::from_bits(
            0x2002 << 112 | bits << 80 | (filler & 0xFFFF),
        )),
        IpAddr::V6(Ipv6Addr::from_bits(
            0x2001_0000 << 96 | bits << 64 | u128::from(!0x0808_0808_u32),
        )),
        IpAddr::V6(Ipv6Addr::from_bits(
            0x2001_0000 << 96 | 0x0808_0808 << 64 | u128::from(!v4.to_bits()),
        )),
        v6(global | 0x0000_5EFE << 32, v4),
        v6(global | 0x0200_5EFE << 32, v4),
    ]
}

fn special_v4() -> impl Strategy<Value = Ipv4Addr> {
    prop_oneof![
        any::<u32>().prop_map(|n| 0x0A00_0000 | n >> 8),
        any::<u32>().prop_map(|n| 0x7F00_0000 | n >> 8),
        any::<u32>().prop_map(|n| n >> 8),
        any::<u32>().prop_map(|n| 0xC0A8_0000 | n >> 16),
        any::<u32>().prop_map(|n| 0xA9FE_0000 | n >> 16),
        any::<u32>().prop_map(|n| 0xAC10_0000 | n >> 12),
        any::<u32>().prop_map(|n| 0xE000_0000 | n >> 3),
        Just(0xA9FE_A9FE),
        Just(0x7F00_0001),
    ]
    .prop_map(Ipv4Addr::from_bits)
}

/// The operator has opened all that could be opened but IPv4.
fn wide_open() -> PeerPolicy {
    PeerPolicy {
        allow: vec!["::/0".parse().unwrap()],
        ..PeerPolicy::default()
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(512) })]

    #[test]
    fn no_encoding_reaches_a_denied_address(v4 in special_v4(), port: u16, filler: u128) {
        for policy in [PeerPolicy::default(), wide_open()] {
            prop_assert!(!policy.judge(SocketAddr::new(IpAddr::V4(v4), port)).is_allowed());
            for encoded in encodings(v4, filler) {
                // ::1 is no encoding but loopback itself, which ::/0 opens; an
                // empty NAT64 prefix carries to nowhere.
                if v4.to_bits() <= 1 {
                    continue;
                }
                prop_assert!(!policy.judge(SocketAddr::new(encoded, port)).is_allowed(), "{} as {}", v4, encoded);
            }
        }
    }

    #[test]
    fn no_encoding_reaches_what_is_listed(v4: u32, filler: u128) {
        let v4 = Ipv4Addr::from_bits(v4);
        let mut policy = wide_open();
        policy.deny = vec![IpAddr::V4(v4).into()];
        let mut never = wide_open();
        never.allow.push("0.0.0.0/0".parse().unwrap());
        never.never = vec![SocketAddr::new(IpAddr::V4(v4), 0)];
        for encoded in encodings(v4, filler).into_iter().chain([IpAddr::V4(v4)]) {
            if v4.to_bits() <= 1 {
                continue;
            }
            prop_assert!(!policy.judge(SocketAddr::new(encoded, 5000)).is_allowed(), "{} as {}", v4, encoded);
            prop_assert!(!never.judge(SocketAddr::new(encoded, 5000)).is_allowed(), "{} as {}", v4, encoded);
        }
    }

    #[test]
    fn port_zero_is_never_reached(bits: u128, v6: bool) {
        let at = if v6 { IpAddr::V6(Ipv6Addr::from_bits(bits)) } else { IpAddr::V4(Ipv4Addr::from_bits(bits as u32)) };
        let mut policy = wide_open();
        policy.allow.push("0.0.0.0/0".parse().unwrap());
        policy.lowest_port = 0;
        prop_assert!(!policy.judge(SocketAddr::new(at, 0)).is_allowed());
    }
}

#[test]
fn a_channel_denied_for_its_port_takes_an_expired_permission_along() {
    let mut config = config();
    config.capacity.permissions_per_allocation = 1;
    let mut world = World::new(config);
    let mut alice = Client::alice(4000);
    alice.allocate(&mut world);
    assert_eq!(alice.bind(&mut world, 0x4000, "8.8.8.8:1500"), 0);
    // The permission expires, and stays for its channel's sake.
    world.advance(secs(301));
    let mut ports = policy();
    ports.lowest_port = 2000;
    world.server.set_policy(&ports);
    assert_eq!(alice.permit(&mut world, &["9.9.9.9:4000"]), 0);
}

#[test]
fn media_addresses_pass_by_exact_address_and_port() {
    let open: fn(&str) -> SocketAddr = |text| text.parse().expect("an address");
    let mapping = |local: &str, public: &str| MediaMapping {
        local: open(local),
        public: open(public),
    };
    let policy = PeerPolicy {
        deny: vec!["203.0.113.0/24".parse().expect("a network")],
        never: vec![open("0.0.0.0:3478"), open("203.0.113.7:7883")],
        relays: vec![RelayMapping {
            local: open("10.0.0.5:1").ip(),
            public: open("203.0.113.7:1").ip(),
        }],
        media: vec![
            mapping("10.0.0.5:7882", "203.0.113.7:7882"),
            mapping("10.0.0.5:7883", "203.0.113.7:7883"),
            mapping("[fd00::5]:443", "[fd00::5]:443"),
            mapping("127.0.0.1:7882", "127.0.0.1:7882"),
        ],
        ..PeerPolicy::default()
    };
    for allowed in [
        "203.0.113.7:7882",
        "[::ffff:203.0.113.7]:7882",
        "[fd00::5]:443",
        "127.0.0.1:7882",
        // Another relay, as before.
        "203.0.113.7:50000",
    ] {
        assert!(policy.judge(open(allowed)).is_allowed(), "{allowed}");
    }
    for denied in [
        "203.0.113.7:7884",
        "203.0.113.7:3478",
        "127.0.0.1:3478",
        "127.0.0.1:7881",
        "127.0.0.2:7882",
        "[fd00::5]:7882",
        "[fd00::6]:443",
        // Not what clients are told.
        "10.0.0.5:7882",
        // `never` comes first.
        "203.0.113.7:7883",
    ] {
        assert!(!policy.judge(open(denied)).is_allowed(), "{denied}");
    }
}
