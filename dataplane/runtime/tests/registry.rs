//! The list of live allocations, and the names statistics go by.

use std::collections::HashSet;

use forebay_engine::DropReason;
use forebay_ipc::stats::TABLE;
use forebay_runtime::node::{Change, Registry};
use forebay_runtime::worker::WorkerReport;
use forebay_turn::{AllocationId, ClientAddr, Deletion, RelayedAddr, Usage};

fn id(slot: u32, generation: u32) -> AllocationId {
    AllocationId { slot, generation }
}

fn created(slot: u32, generation: u32) -> WorkerReport {
    WorkerReport::Created {
        allocation: id(slot, generation),
        client: ClientAddr("192.0.2.1:4000".parse().expect("an address")),
        relayed: RelayedAddr("203.0.113.7:50000".parse().expect("an address")),
        username: "1:ann".into(),
    }
}

fn deleted(slot: u32, generation: u32) -> WorkerReport {
    let usage = Usage {
        to_peer_packets: 3,
        ..Usage::default()
    };
    WorkerReport::Deleted {
        allocation: id(slot, generation),
        reason: Deletion::Expired,
        usage,
    }
}

#[test]
fn allocations_come_and_go() {
    let mut registry = Registry::default();
    assert!(matches!(
        registry.apply(0, created(5, 1)),
        Some(Change::Created(_))
    ));
    let Some(Change::Deleted(end)) = registry.apply(0, deleted(5, 1)) else {
        panic!("the end is told");
    };
    assert_eq!((&*end.username, end.usage.to_peer_packets), ("1:ann", 3));
    assert!(registry.is_empty());
    assert_eq!(
        registry.apply(0, deleted(5, 1)),
        None,
        "an end without a beginning says nothing"
    );
}

#[test]
fn a_lost_end_is_made_good_by_the_slots_next_owner() {
    let mut registry = Registry::default();
    registry.apply(0, created(5, 1));
    registry.apply(0, created(5, 2));
    assert_eq!(registry.len(), 1);
    assert_eq!(registry.apply(0, deleted(5, 1)), None);
    assert_eq!(
        registry.len(),
        1,
        "a stale end leaves the slot's new owner alone"
    );
}

#[test]
fn pages_walk_over_every_allocation_once() {
    let mut registry = Registry::default();
    for slot in 0..100 {
        registry.apply(slot as u16 % 3, created(slot, 1));
    }
    let mut seen = HashSet::new();
    let mut from = Some((0, 0));
    while let Some(start) = from {
        let (page, next) = registry.page(start, 7);
        assert!(page.len() <= 7);
        for allocation in page {
            assert!(seen.insert((allocation.id.worker, allocation.id.slot)));
        }
        from = next;
    }
    assert_eq!(seen.len(), 100);
}

#[test]
fn the_table_of_statistics_knows_every_drop_reason() {
    let labels: Vec<&str> = TABLE
        .iter()
        .filter(|definition| definition.name == "packets_dropped")
        .filter_map(|definition| definition.label)
        .map(|(_, value)| value)
        .collect();
    let relaying = DropReason::ALL.iter().map(|reason| reason.name());
    let media = forebay_media::DropReason::ALL;
    let reasons: Vec<&str> = relaying
        .chain(media.iter().map(|reason| reason.name()))
        .collect();
    assert_eq!(labels, reasons);
}
