//! The list of live allocations, and the names statistics go by.

use std::collections::HashSet;

use forebay_engine::DropReason;
use forebay_ipc::stats::TABLE;
use forebay_ipc::{Cursor, Deletion, Session, Transport};
use forebay_runtime::node::{Change, Ended, Registry};
use forebay_runtime::worker::{ClientPath, Measured, WorkerReport};
use forebay_turn::{AllocationId, RelayedAddr, Usage};
use forebay_wire::clock::Instant;

const CLIENT: ClientPath = ClientPath {
    transport: Transport::Udp,
    client: std::net::SocketAddr::new(
        std::net::IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1)),
        4000,
    ),
    server: std::net::SocketAddr::new(
        std::net::IpAddr::V4(std::net::Ipv4Addr::new(203, 0, 113, 7)),
        3478,
    ),
};

fn id(slot: u32, generation: u32) -> AllocationId {
    AllocationId { slot, generation }
}

fn created(slot: u32, generation: u32) -> WorkerReport {
    WorkerReport::Created {
        allocation: id(slot, generation),
        path: CLIENT,
        relayed: RelayedAddr("203.0.113.7:50000".parse().expect("an address")),
        tcp: false,
        username: "1:ann".into(),
    }
}

fn moved(packets: u64) -> Usage {
    Usage {
        to_peer_packets: packets,
        ..Usage::default()
    }
}

fn deleted(slot: u32, generation: u32) -> WorkerReport {
    WorkerReport::Deleted {
        allocation: id(slot, generation),
        reason: forebay_turn::Deletion::Expired,
        usage: moved(3),
    }
}

fn surveyed(survey: u64, found: &[(u32, u32)], last: bool) -> WorkerReport {
    WorkerReport::Surveyed {
        survey,
        found: found
            .iter()
            .map(|&(slot, generation)| Measured {
                allocation: id(slot, generation),
                path: CLIENT,
                expires_in: 600,
                usage: moved(2),
            })
            .collect(),
        at: Instant::from_nanos(7_000),
        last,
    }
}

fn apply(registry: &mut Registry, report: WorkerReport) -> Vec<Change> {
    let mut changes = Vec::new();
    registry.apply(0, report, |change| changes.push(change));
    changes
}

fn live(registry: &Registry) -> Vec<Session> {
    registry.page(Cursor::default(), 1000).0
}

#[test]
fn allocations_come_and_go() {
    let mut registry = Registry::default();
    let begun = apply(&mut registry, created(5, 1));
    let [Change::Created(session)] = &begun[..] else {
        panic!("the beginning is told: {begun:?}");
    };
    assert_eq!(registry.kinds()[0], [1, 0]);
    let ended = apply(&mut registry, deleted(5, 1));
    let [Change::Ended(Ended { session: end, .. })] = &ended[..] else {
        panic!("the end is told: {ended:?}");
    };
    assert_eq!((&*end.username, end.usage.to_peer_packets), ("1:ann", 3));
    assert_eq!(session.uuid, end.uuid);
    assert!(registry.is_empty());
    assert_eq!(registry.kinds()[0], [0, 0]);
    assert_eq!(
        apply(&mut registry, deleted(5, 1)),
        [],
        "an end without a beginning says nothing"
    );
}

#[test]
fn a_lost_end_is_made_good_by_the_slots_next_owner() {
    let mut registry = Registry::default();
    apply(&mut registry, created(5, 1));
    let changes = apply(&mut registry, created(5, 2));
    let [Change::Ended(ended), Change::Created(next)] = &changes[..] else {
        panic!("an end and a beginning: {changes:?}");
    };
    assert_eq!(ended.reason, Deletion::Unseen);
    assert_ne!(ended.session.uuid, next.uuid);
    assert_eq!(registry.len(), 1);
    assert_eq!(apply(&mut registry, deleted(5, 1)), []);
    assert_eq!(
        registry.len(),
        1,
        "a stale end leaves the slot's new owner alone"
    );
}

#[test]
fn a_survey_tells_usage_and_finds_lost_ends() {
    let mut registry = Registry::default();
    for slot in 0..4 {
        apply(&mut registry, created(slot, 1));
    }
    let survey = registry.begin_survey();
    // Made after the workers were asked: not theirs to name.
    apply(&mut registry, created(9, 1));
    assert_eq!(
        apply(&mut registry, surveyed(survey, &[(0, 1), (2, 1)], false)).len(),
        2
    );
    let rest = apply(&mut registry, surveyed(survey, &[(3, 1), (77, 1)], true));
    let [Change::Measured(measured), Change::Ended(ended)] = &rest[..] else {
        panic!("one measured, one missing: {rest:?}");
    };
    assert_eq!(
        (measured.usage.to_peer_packets, measured.measured_at),
        (2, 7)
    );
    assert_eq!(measured.expires_in, Some(600));
    assert_eq!((ended.session.id.slot, ended.reason), (1, Deletion::Unseen));
    let slots: Vec<u32> = live(&registry).iter().map(|found| found.id.slot).collect();
    assert_eq!(slots, [0, 2, 3, 9]);
}

#[test]
fn a_survey_that_was_given_up_ends_nothing() {
    let mut registry = Registry::default();
    apply(&mut registry, created(5, 1));
    let old = registry.begin_survey();
    registry.begin_survey();
    assert_eq!(apply(&mut registry, surveyed(old, &[], true)), []);
    assert_eq!(registry.len(), 1);
}

#[test]
fn the_end_of_the_process_ends_all_with_what_was_measured_last() {
    let mut registry = Registry::default();
    for slot in 0..3 {
        apply(&mut registry, created(slot, 1));
    }
    let survey = registry.begin_survey();
    apply(
        &mut registry,
        surveyed(survey, &[(0, 1), (1, 1), (2, 1)], true),
    );
    let mut ended = Vec::new();
    registry.end_all(|end| ended.push((end.reason, end.session.usage.to_peer_packets)));
    assert_eq!(ended, [(Deletion::Stopped, 2); 3]);
    assert!(registry.is_empty());
}

#[test]
fn pages_walk_over_every_allocation_once() {
    let mut registry = Registry::default();
    for slot in 0..100 {
        registry.apply(slot as u16 % 3, created(slot, 1), |_| {});
    }
    let mut seen = HashSet::new();
    let mut from = Some(Cursor::default());
    while let Some(start) = from {
        let (page, next) = registry.page(start, 7);
        assert!(page.len() <= 7);
        for session in page {
            assert!(seen.insert((session.id.worker, session.id.slot)));
        }
        from = next;
    }
    assert_eq!(seen.len(), 100);
}

#[test]
fn the_table_of_statistics_knows_every_drop_reason() {
    let mut labels: Vec<&str> = TABLE
        .iter()
        .filter(|definition| definition.name == "packets_dropped")
        .filter_map(|definition| definition.label)
        .map(|(_, value)| value)
        .collect();
    let relaying = DropReason::ALL.iter().map(|reason| reason.name());
    let media = forebay_media::DropReason::ALL;
    let mut reasons: Vec<&str> = relaying
        .chain(media.iter().map(|reason| reason.name()))
        .collect();
    // Statistics are only ever added at the end.
    labels.sort_unstable();
    reasons.sort_unstable();
    assert_eq!(labels, reasons);
}
