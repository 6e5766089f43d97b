//! What a plan decides from settings and host.

use std::collections::HashSet;
use std::net::IpAddr;
use std::path::Path;

use forebay_runtime::config::{Role, Settings};
use forebay_runtime::node::{Host, Plan, PlanError};
use proptest::prelude::*;

fn settings(text: &str) -> Settings {
    Settings::parse(text, Path::new("t.toml"), Role::Controlled).expect("good")
}

fn host() -> Host {
    let ip = |text: &str| text.parse::<IpAddr>().expect("an address");
    Host {
        cores: vec![0, 1, 2],
        default_addresses: vec![ip("10.0.0.5"), ip("2001:db8::5")],
        addresses: vec![
            ip("127.0.0.1"),
            ip("10.0.0.5"),
            ip("192.168.1.1"),
            ip("2001:db8::5"),
        ],
        ipv6: true,
    }
}

fn plan(text: &str) -> Result<Plan, PlanError> {
    Plan::new(&settings(text), &host())
}

#[test]
fn everything_left_open_is_chosen_and_said() {
    let plan = plan("").expect("a plan");
    assert_eq!(plan.cores, [0, 1, 2]);
    let listen: Vec<String> = plan.listen.iter().map(ToString::to_string).collect();
    assert_eq!(listen, ["0.0.0.0:3478", "[::]:3478"]);
    let relays: Vec<String> = plan
        .relays
        .iter()
        .map(|relay| relay.local.to_string())
        .collect();
    assert_eq!(relays, ["10.0.0.5", "2001:db8::5"]);
    assert!(
        plan.chosen
            .iter()
            .any(|line| line.contains("10.0.0.5, 2001:db8::5")),
        "{:?}",
        plan.chosen
    );
    assert_eq!(plan.turn.capacity.allocations, 16384_u32.div_ceil(3));
}

#[test]
fn a_host_without_ipv6_listens_on_ipv4() {
    let host = Host {
        ipv6: false,
        ..host()
    };
    let plan = Plan::new(&settings(""), &host).expect("a plan");
    assert_eq!(plan.listen.len(), 1);
    assert!(plan.chosen.iter().any(|line| line.contains("no IPv6")));
}

#[test]
fn what_the_host_lacks_is_named_by_key() {
    let error = plan("[cores]\npin = [7]\n").expect_err("no such core");
    assert_eq!(error.key, "cores.pin");
    let nowhere = Host {
        default_addresses: Vec::new(),
        ..host()
    };
    let error = Plan::new(&settings(""), &nowhere).expect_err("no route");
    assert_eq!(error.key, "relay.addresses");
    let error = plan("[relay]\nports = \"50000-50001\"\n").expect_err("three workers, two ports");
    assert_eq!(error.key, "relay.ports");
    let external = "[relay]\nexternal = [{ relay = \"10.9.9.9\", public = \"203.0.113.7\" }]\n";
    assert_eq!(
        plan(external).expect_err("not a relay address").key,
        "relay.external"
    );
}

#[test]
fn own_addresses_are_never_peers() {
    let text = "[relay]\nexternal = [{ relay = \"10.0.0.5\", public = \"203.0.113.7\" }]\n\
                [metrics]\nlisten = \"127.0.0.1:9641\"\n[peers]\nallow = [\"10.0.0.0/8\"]\n";
    let settings = settings(text);
    let plan = Plan::new(&settings, &host()).expect("a plan");
    let policy = plan.policy_of(&settings.peers);
    for own in [
        "192.168.1.1:3478",
        "10.0.0.5:3478",
        "203.0.113.7:3478",
        "[2001:db8::5]:3478",
        "127.0.0.1:9641",
    ] {
        assert!(
            policy.never.contains(&own.parse().expect("an address")),
            "{own} is missing: {:?}",
            policy.never
        );
    }
    assert_eq!(policy.allow.len(), 1);
    assert_eq!(policy.relays[0].public.to_string(), "203.0.113.7");
}

proptest! {
    #[test]
    fn ports_are_dealt_out_once_and_evenly(first in 1_u16..60_000, more in 0_u16..5_000, cores in 1_usize..9, listen in 1_u16..) {
        let last = first.saturating_add(more);
        let text = format!(
            "[listen]\nudp = [\"127.0.0.1:{listen}\"]\n[relay]\nports = \"{first}-{last}\"\n"
        );
        let host = Host { cores: (0..cores).collect(), ..host() };
        let Ok(plan) = Plan::new(&settings(&text), &host) else {
            prop_assert!(usize::from(more) < 2 * cores + 2, "{more} ports should do for {cores} workers");
            return Ok(());
        };
        let mut seen = HashSet::new();
        for port in plan.ports.iter().flatten() {
            prop_assert!((first..=last).contains(port) && *port != listen);
            prop_assert!(seen.insert(*port), "{port} was dealt twice");
        }
        let expected = usize::from(more) + 1 - usize::from((first..=last).contains(&listen));
        prop_assert_eq!(seen.len(), expected);
        let sizes: Vec<usize> = plan.ports.iter().map(Vec::len).collect();
        let spread = sizes.iter().max().unwrap_or(&0) - sizes.iter().min().unwrap_or(&0);
        prop_assert!(spread <= 4, "{:?}", sizes);
        // Enough ports give every worker both parities.
        if usize::from(more) > 4 * cores {
            for hand in &plan.ports {
                prop_assert!(hand.iter().any(|port| port % 2 == 0) && hand.iter().any(|port| port % 2 == 1));
            }
        }
    }
}

#[test]
fn media_has_a_port_per_worker_that_relays_stay_clear_of() {
    assert!(plan("").expect("a plan").media.is_none());
    let text =
        "[relay]\nports = \"50000-50019\"\n[media]\nenabled = true\nport = 50004\ntcp = 50010\n";
    let nat = "addresses = [\"10.0.0.5\", \"2001:db8::5\"]\n\
               external = [{ address = \"10.0.0.5\", public = \"203.0.113.7\" }]\n";
    let plan = plan(&format!("{text}{nat}")).expect("a plan");
    let media = plan.media.as_ref().expect("media");
    let of_second: Vec<String> = media
        .of_worker(1)
        .map(|address| format!("{} as {}", address.local, address.public))
        .collect();
    assert_eq!(
        of_second,
        [
            "10.0.0.5:50005 as 203.0.113.7:50005",
            "[2001:db8::5]:50005 as [2001:db8::5]:50005"
        ]
    );
    let dealt: HashSet<u16> = plan.ports.iter().flatten().copied().collect();
    let ours = |port: &u16| (50004..=50006).contains(port) || *port == 50010;
    let left = (50000..=50019).filter(|port| !ours(port));
    assert_eq!(dealt, left.collect());
    assert_eq!(media.forwarder.capacity.sessions, 4000_u32.div_ceil(3));

    let denied = vec!["203.0.113.0/24".parse().expect("a network")];
    let policy = plan.policy(Vec::new(), denied, 1024);
    let judge = |peer: &str| policy.judge(peer.parse().expect("an address")).is_allowed();
    assert!(judge("203.0.113.7:50004") && judge("203.0.113.7:50006"));
    assert!(judge("[2001:db8::5]:50005"));
    assert!(!judge("203.0.113.7:3478") && !judge("203.0.113.7:50007"));
    assert!(!judge("[2001:db8::5]:3478"));
    assert!(!judge("203.0.113.7:50010") && !judge("[2001:db8::5]:50010"));

    let accepted: Vec<String> = media.tcp().map(|tcp| tcp.public.to_string()).collect();
    assert_eq!(accepted, ["203.0.113.7:50010", "[2001:db8::5]:50010"]);
    assert_eq!(media.streams(), media.forwarder.capacity.sessions);
}

#[test]
fn a_port_of_tcp_too_does_not_keep_relays_from_media() {
    let plan = plan(
        "[listen]\nudp = [\"10.0.0.5:3478\", \"192.168.1.1:445\"]\ntcp = [\"0.0.0.0:443\"]\n\
         [relay]\naddresses = [\"10.0.0.5\"]\n\
         [media]\nenabled = true\nport = 443\ntcp = 444\n",
    )
    .expect("a plan");
    let policy = plan.policy(vec!["0.0.0.0/0".parse().expect("a network")], Vec::new(), 1);
    let judge = |peer: &str| policy.judge(peer.parse().expect("an address")).is_allowed();
    assert!(judge("10.0.0.5:443") && judge("10.0.0.5:444") && judge("10.0.0.5:445"));
    assert!(!judge("10.0.0.5:3478"));
    // A listener of UDP stays closed, whatever media has elsewhere.
    assert!(!judge("192.168.1.1:445"));
    // Over TCP it is our own listener that would be reached.
    let connects = |peer: &str| {
        let peer = peer.parse().expect("an address");
        policy.judge_connection(peer).is_allowed()
    };
    assert!(!connects("10.0.0.5:443") && !connects("10.0.0.5:444"));
    assert!(connects("10.0.0.5:50000"));
}

#[test]
fn media_over_tcp_is_usual_and_can_be_switched_off() {
    let media = |more: &str| {
        let text = format!("[relay]\naddresses = [\"10.0.0.5\"]\n[media]\nenabled = true\n{more}");
        plan(&text).expect("a plan").media.expect("media")
    };
    assert_eq!(media("").tcp, Some(7881));
    let off = media("tcp = 0\n");
    assert_eq!((off.tcp().count(), off.streams()), (0, 0));
}

#[test]
fn without_addresses_of_its_own_media_uses_the_relays() {
    let text = "[relay]\naddresses = [\"10.0.0.5\"]\n[media]\nenabled = true\n";
    let plan = plan(text).expect("a plan");
    let media = plan.media.expect("media");
    assert_eq!(media.addresses, plan.relays);
    let error = Plan::new(
        &settings("[media]\nenabled = true\nport = 65534\n"),
        &host(),
    )
    .expect_err("three workers");
    assert_eq!(error.key, "media.port");
}

/// Socket, local and public address of the four places, by address and port.
fn places(plan: &Plan) -> Vec<(u32, String, String)> {
    let [discovery] = &plan.turn.discovery[..] else {
        unreachable!("one family");
    };
    let places = discovery.places.as_flattened().iter();
    places
        .map(|place| {
            let (local, public) = (place.local.to_string(), place.public.to_string());
            (place.socket.0, local, public)
        })
        .collect()
}

#[test]
fn nat_discovery_listens_where_nothing_does_yet() {
    let named = plan(
        "[listen]\nudp = [\"10.0.0.5:3478\", \"192.168.1.1:3478\"]\n\
         [relay]\naddresses = [\"10.0.0.5\"]\nexternal = [{ relay = \"10.0.0.5\", public = \"203.0.113.5\" }]\n\
         [nat_discovery]\nalternate = [\"192.168.1.1\"]\n",
    )
    .expect("a plan");
    let listen: Vec<String> = named.listen.iter().map(ToString::to_string).collect();
    assert_eq!(
        listen,
        [
            "10.0.0.5:3478",
            "192.168.1.1:3478",
            "10.0.0.5:3479",
            "192.168.1.1:3479"
        ]
    );
    let expected = [
        (0, "10.0.0.5:3478", "203.0.113.5:3478"),
        (2, "10.0.0.5:3479", "203.0.113.5:3479"),
        (1, "192.168.1.1:3478", "192.168.1.1:3478"),
        (3, "192.168.1.1:3479", "192.168.1.1:3479"),
    ];
    let expected =
        expected.map(|(socket, local, public)| (socket, local.to_owned(), public.to_owned()));
    assert_eq!(places(&named), expected);

    // A wildcard receives at both addresses already.
    let every =
        plan("[nat_discovery]\nalternate = [\"192.168.1.1\"]\nport = 3480\n").expect("a plan");
    let sockets: Vec<u32> = places(&every).iter().map(|(socket, ..)| *socket).collect();
    assert_eq!(sockets, [0, 2, 0, 3]);
    assert_eq!(every.listen.len(), 4);
    assert_eq!(places(&every)[0].1, "10.0.0.5:3478");
    assert!(plan("").expect("a plan").turn.discovery.is_empty());
}

#[test]
fn nat_discovery_needs_two_addresses_and_two_ports() {
    for (text, key) in [
        (
            "[listen]\nudp = [\"10.0.0.5:3478\"]\n[nat_discovery]\nalternate = [\"10.0.0.5\"]\n",
            "nat_discovery.alternate",
        ),
        (
            "[listen]\nudp = [\"10.0.0.5:3478\"]\n[nat_discovery]\nalternate = [\"2001:db8::6\"]\n",
            "nat_discovery.alternate",
        ),
        (
            "[nat_discovery]\nalternate = [\"192.168.1.1\"]\nport = 3478\n",
            "nat_discovery.port",
        ),
    ] {
        assert_eq!(plan(text).expect_err("no plan").key, key, "{text}");
    }
}
