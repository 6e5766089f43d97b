//! The page of statistics, written in housekeeping.

use std::sync::atomic::Ordering;

use forebay_engine::{Counters, DropReason};
use forebay_ipc::stats::Stat;
use forebay_sys::Errno;
use forebay_turn::{AuthFailures, ClientAddr};

use super::{RefusedCredential, StatsPage, WorkerReport};
use crate::streams::End;

/// What the worker itself counts; everything only rises.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Counts {
    pub(super) truncated: u64,
    pub(super) receive_errors: u64,
    pub(super) buffers_exhausted: u64,
    pub(super) would_block: u64,
    pub(super) unreachable: u64,
    pub(super) message_size: u64,
    pub(super) other: u64,
    pub(super) gso_retries: u64,
    pub(super) batches: u64,
    pub(super) reports_lost: u64,
    pub(super) media_refused: u64,
    /// What was told of credentials.
    pub(super) auth: AuthFailures,
}

/// What connections add to that.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct StreamCounts {
    pub(super) adopted: u64,
    pub(super) refused: u64,
    /// By [`End`].
    pub(super) ended: [u64; 7],
    pub(super) dropped: u64,
    pub(super) sends: u64,
    pub(super) buffers_exhausted: u64,
    /// Bytes held for them; now.
    pub(super) memory: u64,
    /// Connections with peers.
    pub(super) peers: u64,
}

/// Writes what connections did.
pub(super) fn publish_streams(
    page: &StatsPage,
    counts: &StreamCounts,
    open: usize,
    [peers, joined]: [usize; 2],
) {
    let put = |stat: Stat, value: u64| page[stat as usize].store(value, Ordering::Relaxed);
    put(Stat::Streams, open as u64);
    put(Stat::StreamMemory, counts.memory);
    put(Stat::StreamsAdopted, counts.adopted);
    put(Stat::StreamsRefused, counts.refused);
    for (end, stat) in [
        (End::Client, Stat::StreamsClosedClient),
        (End::Error, Stat::StreamsClosedError),
        (End::Foreign, Stat::StreamsClosedForeign),
        (End::Tls, Stat::StreamsClosedTls),
        (End::Idle, Stat::StreamsClosedIdle),
        (End::Stalled, Stat::StreamsClosedStalled),
        (End::Peer, Stat::StreamsClosedPeer),
    ] {
        put(stat, counts.ended[end as usize]);
    }
    put(Stat::PeerConnections, peers as u64);
    put(Stat::PeerConnectionsBound, joined as u64);
    put(Stat::PeerConnectionsOpened, counts.peers);
    put(Stat::StreamDropped, counts.dropped);
    put(Stat::StreamSends, counts.sends);
    put(Stat::StreamBuffersExhausted, counts.buffers_exhausted);
}

impl Counts {
    #[cold]
    /// Counts datagrams that were not sent.
    pub(super) fn not_sent(&mut self, errno: Errno, datagrams: u64) {
        let count = match errno {
            Errno::EAGAIN | Errno::ENOBUFS | Errno::ENOMEM => &mut self.would_block,
            // Unreachable peers, by routing, ICMP or a local firewall.
            Errno::ECONNREFUSED
            | Errno::EHOSTUNREACH
            | Errno::ENETUNREACH
            | Errno::EHOSTDOWN
            | Errno::ENETDOWN
            | Errno::EACCES
            | Errno::EPERM => &mut self.unreachable,
            Errno::EMSGSIZE => &mut self.message_size,
            _ => &mut self.other,
        };
        *count += datagrams;
    }
}

impl Counts {
    /// Writes how many credentials were refused, and tells of those that are
    /// no guess: somebody's clock is wrong, or an application hands out
    /// credentials for too short or too long a time.
    pub(super) fn refused_credentials(
        &mut self,
        page: &StatsPage,
        failures: &AuthFailures,
    ) -> Option<WorkerReport> {
        let put = |stat: Stat, value: u64| page[stat as usize].store(value, Ordering::Relaxed);
        put(Stat::AuthFailuresWrong, failures.wrong);
        put(Stat::AuthFailuresExpired, failures.expired);
        put(Stat::AuthFailuresTooFarAhead, failures.too_far_ahead);
        let told = std::mem::replace(&mut self.auth, *failures);
        let news = |before: u64, now: u64, last: Option<(ClientAddr, u64)>| {
            last.filter(|_| now > before)
                .map(|(client, seconds)| RefusedCredential {
                    client: client.0,
                    seconds,
                    requests: now - before,
                })
        };
        let expired = news(told.expired, failures.expired, failures.last_expired);
        let too_far_ahead = news(
            told.too_far_ahead,
            failures.too_far_ahead,
            failures.last_too_far_ahead,
        );
        (expired.is_some() || too_far_ahead.is_some()).then_some(WorkerReport::RefusedCredentials {
            expired,
            too_far_ahead,
        })
    }
}

/// Values that are read at the moment of publishing.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Gauges {
    pub(super) allocations: usize,
    pub(super) ports: usize,
    pub(super) ports_free: usize,
    pub(super) relays_ready: usize,
    pub(super) reserved: usize,
    pub(super) redirected: u64,
    pub(super) listener_drops: u64,
    pub(super) relay_drops: u64,
    pub(super) media_drops: u64,
    pub(super) open_errors: u64,
    pub(super) overflows: u64,
    pub(super) enters: u64,
    pub(super) icmp_repeated: u64,
    pub(super) icmp_pauses: u64,
    pub(super) cpu_nanoseconds: u64,
}

/// The statistic an engine's drop reason is published under.
const fn stat_of(reason: DropReason) -> Stat {
    match reason {
        DropReason::UnknownProtocol => Stat::DroppedUnknownProtocol,
        DropReason::Malformed => Stat::DroppedMalformed,
        DropReason::Unexpected => Stat::DroppedUnexpected,
        DropReason::BadFingerprint => Stat::DroppedBadFingerprint,
        DropReason::NoAllocation => Stat::DroppedNoAllocation,
        DropReason::NoChannel => Stat::DroppedNoChannel,
        DropReason::NoPermission => Stat::DroppedNoPermission,
        DropReason::PeerDenied => Stat::DroppedPeerDenied,
        DropReason::PrefixBudget => Stat::DroppedPrefixBudget,
        DropReason::RequestBudget => Stat::DroppedRequestBudget,
        DropReason::BatchFull => Stat::DroppedBatchFull,
        DropReason::AllocationBandwidth => Stat::DroppedAllocationBandwidth,
        DropReason::UserBandwidth => Stat::DroppedUserBandwidth,
        DropReason::HostBandwidth => Stat::DroppedHostBandwidth,
    }
}

/// The statistic a forwarder's drop reason is published under.
const fn stat_of_media(reason: forebay_media::DropReason) -> Stat {
    use forebay_media::DropReason as Media;
    match reason {
        Media::NoSession => Stat::DroppedMediaNoSession,
        Media::Malformed => Stat::DroppedMediaMalformed,
        Media::NoKeys => Stat::DroppedMediaNoKeys,
        Media::BadTag => Stat::DroppedMediaBadTag,
        Media::Replayed => Stat::DroppedMediaReplayed,
        Media::UnknownStream => Stat::DroppedMediaUnknownStream,
        Media::TooManyStreams => Stat::DroppedMediaTooManyStreams,
        Media::BadCheck => Stat::DroppedMediaBadCheck,
        Media::DtlsBudget => Stat::DroppedMediaDtlsBudget,
        Media::NoRoom => Stat::DroppedMediaNoRoom,
    }
}

/// Writes what a forwarder counted.
pub(super) fn publish_media(page: &StatsPage, media: &forebay_media::Counters) {
    let put = |stat: Stat, value: u64| page[stat as usize].store(value, Ordering::Relaxed);
    put(Stat::MediaSessions, media.sessions);
    put(Stat::MediaTracks, media.tracks);
    put(Stat::MediaSubscriptions, media.subscriptions);
    put(Stat::MediaReceivedPackets, media.received_packets);
    put(Stat::MediaForwardedPackets, media.forwarded_packets);
    put(Stat::MediaReceivedBytes, media.received_bytes);
    put(Stat::MediaForwardedBytes, media.forwarded_bytes);
    put(Stat::MediaRetransmissions, media.retransmitted_packets);
    put(
        Stat::MediaRetransmissionsMissed,
        media.retransmissions_missed,
    );
    put(Stat::MediaNacked, media.nacked_packets);
    put(Stat::MediaKeyframeRequests, media.keyframe_requests);
    put(Stat::MediaLayerSwitches, media.layer_switches);
    put(Stat::MediaProbes, media.probe_packets);
    put(Stat::MediaChecks, media.checks);
    put(Stat::RtcpReceived, media.rtcp_received);
    put(Stat::RtcpSent, media.rtcp_sent);
    for reason in forebay_media::DropReason::ALL {
        put(stat_of_media(reason), media.dropped[reason as usize]);
    }
}

/// Writes everything but `CommandsRefused`, which the senders count.
pub(super) fn publish(page: &StatsPage, engine: &Counters, counts: &Counts, gauges: &Gauges) {
    let put = |stat: Stat, value: u64| page[stat as usize].store(value, Ordering::Relaxed);
    put(Stat::ToPeerPackets, engine.to_peer_packets);
    put(Stat::ToClientPackets, engine.to_client_packets);
    put(Stat::ToPeerBytes, engine.to_peer_bytes);
    put(Stat::ToClientBytes, engine.to_client_bytes);
    put(Stat::RelaySends, engine.relay_transmits);
    put(Stat::Requests, engine.requests);
    put(Stat::Answers, engine.answers);
    put(Stat::RequestsForwarded, engine.forwarded);
    put(Stat::AllocationsCreated, engine.allocations_created);
    put(Stat::AllocationsDeleted, engine.allocations_deleted);
    put(Stat::AllocationsLive, gauges.allocations as u64);
    put(Stat::RelayPorts, gauges.ports as u64);
    put(Stat::RelayPortsFree, gauges.ports_free as u64);
    put(Stat::RelaysReady, gauges.relays_ready as u64);
    put(Stat::PortsReserved, gauges.reserved as u64);
    put(Stat::AllocationsRedirected, gauges.redirected);
    for reason in DropReason::ALL {
        put(stat_of(reason), engine.dropped(reason));
    }
    put(Stat::KernelDropsListener, gauges.listener_drops);
    put(Stat::KernelDropsRelay, gauges.relay_drops);
    put(Stat::KernelDropsMedia, gauges.media_drops);
    put(Stat::MediaSends, engine.media_transmits);
    put(Stat::MediaRefused, counts.media_refused);
    put(Stat::ReceiveTruncated, counts.truncated);
    put(Stat::ReceiveErrors, counts.receive_errors);
    put(Stat::BuffersExhausted, counts.buffers_exhausted);
    put(Stat::RingOverflows, gauges.overflows);
    put(Stat::SendErrorsWouldBlock, counts.would_block);
    put(Stat::SendErrorsUnreachable, counts.unreachable);
    put(Stat::SendErrorsMessageSize, counts.message_size);
    put(Stat::SendErrorsOther, counts.other);
    put(Stat::GsoRetries, counts.gso_retries);
    put(Stat::IcmpRelayed, engine.icmp_relayed);
    put(Stat::IcmpRefused, engine.icmp_refused);
    put(
        Stat::IcmpLimited,
        engine.icmp_limited + gauges.icmp_repeated,
    );
    put(Stat::IcmpPauses, gauges.icmp_pauses);
    put(Stat::RelayOpenErrors, gauges.open_errors);
    put(Stat::RingEnters, gauges.enters);
    put(Stat::Batches, counts.batches);
    put(Stat::ReportsLost, counts.reports_lost);
    put(Stat::CpuNanoseconds, gauges.cpu_nanoseconds);
}
