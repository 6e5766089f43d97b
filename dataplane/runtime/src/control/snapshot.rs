//! The snapshot a new connection gets, page by page as its socket takes them.
//! Allocations come and go meanwhile; their events interleave, and both sides
//! read either as "this is so now".

use std::time::Instant;

use forebay_ipc::codec::Buffer;
use forebay_ipc::media::{SessionKey, SubscriptionKey, TrackKey};
use forebay_ipc::socket::ConnectionError;
use forebay_ipc::{
    Cursor, DrainProgress, FromDataplane, Generation, List, Listener, PortRange, Relay,
    SnapshotBegin, SnapshotEnd, Transport, Worker, limits,
};

use super::client::{Audience, Client};
use crate::node::{Media, Node, Plan, announced};
use crate::streams::ClientTransport;

/// Pages sent to one client before the control thread looks elsewhere.
const PAGES_PER_TURN: usize = 16;

/// How far a snapshot has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Snapshot {
    Begin,
    /// From this worker on.
    Workers(usize),
    /// From this worker and slot on.
    Allocations {
        from: Cursor,
        sent: u32,
    },
    /// What stands in front of the end; `sent` allocations were told.
    Media {
        stage: MediaStage,
        sent: u32,
    },
    End {
        sent: u32,
    },
}

/// How far a snapshot of media has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum MediaStage {
    /// From this worker on.
    Workers(usize),
    /// From this key on.
    Sessions(SessionKey),
    /// From this key on.
    Tracks(TrackKey),
    /// From this key on.
    Subscriptions(SubscriptionKey),
}

/// Versions of what a controller set.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct InForce {
    pub(super) credentials: Option<Generation>,
    pub(super) policy: Option<Generation>,
}

/// Sends the next pages. The client's snapshot is `None` afterwards when it is
/// complete.
pub(super) fn advance(
    client: &mut Client,
    node: &Node,
    in_force: InForce,
    buffer: &mut Buffer,
    now: Instant,
) -> Result<(), ConnectionError> {
    for _ in 0..PAGES_PER_TURN {
        let Some(stage) = client.snapshot else {
            return Ok(());
        };
        let (message, next) = page(stage, client.audience(), node, in_force);
        if let Some(message) = message
            && !client.offer(&message, buffer, now)?
        {
            return Ok(());
        }
        client.snapshot = next;
    }
    Ok(())
}

/// The page of this stage (`None`: nothing to say) and the stage after it.
fn page(
    stage: Snapshot,
    audience: Audience,
    node: &Node,
    in_force: InForce,
) -> (Option<FromDataplane>, Option<Snapshot>) {
    match stage {
        Snapshot::Begin => (
            Some(FromDataplane::SnapshotBegin(begin(node, in_force))),
            Some(Snapshot::Workers(0)),
        ),
        Snapshot::Workers(from) => {
            let end = (from + limits::WORKERS).min(node.workers().len());
            let next = if end < node.workers().len() {
                Snapshot::Workers(end)
            } else if audience.details {
                Snapshot::Allocations {
                    from: Cursor::default(),
                    sent: 0,
                }
            } else {
                after_allocations(node, 0)
            };
            let workers = List::truncated((from..end).map(|index| worker(node, index)));
            (Some(FromDataplane::Workers(workers)), Some(next))
        }
        Snapshot::Allocations { from, sent } => {
            let (page, next) = node.registry().page(from, limits::ALLOCATIONS);
            let page: Vec<_> = page.iter().map(announced).collect();
            let sent = sent + u32::try_from(page.len()).unwrap_or(0);
            let next = match next {
                Some(from) => Snapshot::Allocations { from, sent },
                None => after_allocations(node, sent),
            };
            let message =
                (!page.is_empty()).then(|| FromDataplane::Allocations(List::truncated(page)));
            (message, Some(next))
        }
        Snapshot::Media { stage, sent } => {
            let Some(media) = node.media() else {
                return (None, Some(Snapshot::End { sent }));
            };
            let (message, next) = media_page(stage, audience, media, node.workers().len());
            let next = match next {
                Some(stage) => Snapshot::Media { stage, sent },
                None => Snapshot::End { sent },
            };
            (message, Some(next))
        }
        Snapshot::End { sent } => (
            Some(FromDataplane::SnapshotEnd(SnapshotEnd {
                allocations: sent,
            })),
            None,
        ),
    }
}

/// Media, where it is on.
fn after_allocations(node: &Node, sent: u32) -> Snapshot {
    match node.media() {
        Some(_) => Snapshot::Media {
            stage: MediaStage::Workers(0),
            sent,
        },
        None => Snapshot::End { sent },
    }
}

/// The page of this stage and the stage after it, `None` after the last.
fn media_page(
    stage: MediaStage,
    audience: Audience,
    media: &Media,
    workers: usize,
) -> (Option<FromDataplane>, Option<MediaStage>) {
    let registry = media.registry();
    match stage {
        MediaStage::Workers(from) => {
            let end = (from + limits::MEDIA_WORKERS).min(workers);
            let page = List::truncated((from..end).map(|worker| media.worker(worker)));
            let next = if end < workers {
                Some(MediaStage::Workers(end))
            } else {
                audience
                    .details
                    .then_some(MediaStage::Sessions(SessionKey(0)))
            };
            (Some(FromDataplane::MediaWorkers(page)), next)
        }
        MediaStage::Sessions(from) => match registry.session_from(from) {
            Some(session) => {
                let next = session.key.0.checked_add(1).map(SessionKey);
                let next = next.map_or(MediaStage::Tracks(TrackKey(0)), MediaStage::Sessions);
                let session = audience.session(session);
                (Some(FromDataplane::Session(Box::new(session))), Some(next))
            }
            None => (None, Some(MediaStage::Tracks(TrackKey(0)))),
        },
        MediaStage::Tracks(from) => {
            let subscriptions = MediaStage::Subscriptions(SubscriptionKey(0));
            match registry.track_from(from) {
                Some(track) => {
                    let next = track.key.0.checked_add(1).map(TrackKey);
                    let next = next.map_or(subscriptions, MediaStage::Tracks);
                    let track = audience.track(track);
                    (Some(FromDataplane::Track(Box::new(track))), Some(next))
                }
                None => (None, Some(subscriptions)),
            }
        }
        MediaStage::Subscriptions(from) => {
            let page = registry.subscriptions_from(from, limits::SUBSCRIPTIONS);
            let Some(last) = page.last() else {
                return (None, None);
            };
            let next = last.key.0.checked_add(1);
            let next = next.map(|key| MediaStage::Subscriptions(SubscriptionKey(key)));
            (
                Some(FromDataplane::Subscriptions(List::truncated(page))),
                next,
            )
        }
    }
}

fn begin(node: &Node, in_force: InForce) -> SnapshotBegin {
    let plan = node.plan();
    let ports = plan.port_range();
    SnapshotBegin {
        listeners: List::truncated(listeners(plan)),
        relays: List::truncated(plan.relays.iter().map(|relay| Relay {
            local: relay.local,
            public: relay.public,
        })),
        relay_ports: PortRange {
            first: *ports.start(),
            last: *ports.end(),
        },
        credentials: in_force.credentials,
        policy: in_force.policy,
        drain: drain_progress(node),
        certificate: node.media().map(Media::certificate),
    }
}

fn listeners(plan: &Plan) -> impl Iterator<Item = Listener> + '_ {
    let udp = plan.listen.iter().map(|&address| Listener {
        transport: Transport::Udp,
        address,
    });
    let front = plan.front.iter().map(|&(transport, address)| Listener {
        transport: match transport {
            ClientTransport::Tcp => Transport::Tcp,
            ClientTransport::Tls => Transport::Tls,
            ClientTransport::Dtls => Transport::Dtls,
        },
        address,
    });
    udp.chain(front)
}

fn worker(node: &Node, index: usize) -> Worker {
    let plan = node.plan();
    let relay_ports = node.workers()[index].boot().relay_ports;
    Worker {
        index: u16::try_from(index).unwrap_or(u16::MAX),
        core: plan
            .cores
            .get(index)
            .and_then(|core| u16::try_from(*core).ok()),
        relay_ports: u32::try_from(relay_ports).unwrap_or(u32::MAX),
        allocation_capacity: plan.turn.capacity.allocations,
    }
}

/// How far a drain has come, if one is under way.
pub(super) fn drain_progress(node: &Node) -> Option<DrainProgress> {
    let left = node.drain_time_left()?;
    Some(DrainProgress {
        remaining: u32::try_from(node.live()).unwrap_or(u32::MAX),
        seconds_left: u32::try_from(left.as_secs()).unwrap_or(u32::MAX),
        at_most: u32::try_from(node.drain_at_most()).unwrap_or(u32::MAX),
    })
}
