//! The one table that names every statistic of a worker. A worker publishes a
//! page of 64-bit values indexed by [`Stat`]; whoever exposes them takes name,
//! labels, kind and help from [`TABLE`].

/// Whether a value only rises.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Only rises while the worker lives.
    Counter,
    /// Rises and falls.
    Gauge,
}

/// Name and meaning of one statistic.
#[derive(Debug, Clone, Copy)]
pub struct Definition {
    /// Which value of the page.
    pub stat: Stat,
    /// Metric name without the `forebay_` prefix and the `_total` suffix.
    pub name: &'static str,
    /// A label that tells statistics of one name apart.
    pub label: Option<(&'static str, &'static str)>,
    /// Counter or gauge.
    pub kind: Kind,
    /// One sentence for operators.
    pub help: &'static str,
}

macro_rules! table {
    ($($variant:ident, $kind:ident, $name:literal, $label:expr, $help:literal;)*) => {
        /// Index into a worker's page of statistics.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[repr(usize)]
        pub enum Stat { $(#[doc = $help] $variant,)* }

        /// Every statistic, in the order of [`Stat`].
        pub const TABLE: &[Definition] = &[
            $(Definition { stat: Stat::$variant, name: $name, label: $label, kind: Kind::$kind, help: $help },)*
        ];
    };
}

table! {
    ToPeerPackets, Counter, "relayed_packets", Some(("direction", "to_peer")), "Datagrams relayed.";
    ToClientPackets, Counter, "relayed_packets", Some(("direction", "to_client")), "Datagrams relayed.";
    ToPeerBytes, Counter, "relayed_bytes", Some(("direction", "to_peer")), "Payload bytes relayed.";
    ToClientBytes, Counter, "relayed_bytes", Some(("direction", "to_client")), "Payload bytes relayed.";
    RelaySends, Counter, "relay_sends", None, "Send operations that carried relayed datagrams; packets divided by sends is the coalescing factor.";
    Requests, Counter, "stun_requests", None, "STUN messages handled.";
    Answers, Counter, "stun_answers", None, "STUN answers sent.";
    AllocationsCreated, Counter, "allocations_created", None, "Allocations made.";
    AllocationsDeleted, Counter, "allocations_deleted", None, "Allocations ended.";
    AllocationsLive, Gauge, "allocations", None, "Allocations alive.";
    RelayPorts, Gauge, "relay_ports", None, "Relay ports this worker owns, all addresses.";
    RelayPortsFree, Gauge, "relay_ports_free", None, "Relay ports neither allocated nor pre-opened nor unusable.";
    RelaysReady, Gauge, "relays_ready", None, "Relay sockets opened ahead of Allocate.";
    DroppedUnknownProtocol, Counter, "packets_dropped", Some(("reason", "unknown_protocol")), "Packets dropped by the engine.";
    DroppedMalformed, Counter, "packets_dropped", Some(("reason", "malformed")), "Packets dropped by the engine.";
    DroppedUnexpected, Counter, "packets_dropped", Some(("reason", "unexpected")), "Packets dropped by the engine.";
    DroppedBadFingerprint, Counter, "packets_dropped", Some(("reason", "bad_fingerprint")), "Packets dropped by the engine.";
    DroppedNoAllocation, Counter, "packets_dropped", Some(("reason", "no_allocation")), "Packets dropped by the engine.";
    DroppedNoChannel, Counter, "packets_dropped", Some(("reason", "no_channel")), "Packets dropped by the engine.";
    DroppedNoPermission, Counter, "packets_dropped", Some(("reason", "no_permission")), "Packets dropped by the engine.";
    DroppedPeerDenied, Counter, "packets_dropped", Some(("reason", "peer_denied")), "Packets dropped by the engine.";
    DroppedPrefixBudget, Counter, "packets_dropped", Some(("reason", "prefix_budget")), "Packets dropped by the engine.";
    DroppedRequestBudget, Counter, "packets_dropped", Some(("reason", "request_budget")), "Packets dropped by the engine.";
    DroppedBatchFull, Counter, "packets_dropped", Some(("reason", "batch_full")), "Packets dropped by the engine.";
    KernelDropsListener, Counter, "kernel_drops", Some(("socket", "listener")), "Datagrams the kernel dropped on a full receive buffer (SO_RXQ_OVFL).";
    KernelDropsRelay, Counter, "kernel_drops", Some(("socket", "relay")), "Datagrams the kernel dropped on a full receive buffer (SO_RXQ_OVFL).";
    ReceiveTruncated, Counter, "receive_truncated", None, "Datagrams larger than a receive buffer.";
    ReceiveErrors, Counter, "receive_errors", None, "Receives that failed.";
    BuffersExhausted, Counter, "receive_buffers_exhausted", None, "Times every receive buffer was in use and a receive had to be re-armed.";
    RingOverflows, Counter, "ring_overflows", None, "Completions the kernel had to put aside because the completion queue was full.";
    SendErrorsWouldBlock, Counter, "send_errors", Some(("error", "would_block")), "Datagrams not sent.";
    SendErrorsUnreachable, Counter, "send_errors", Some(("error", "unreachable")), "Datagrams not sent.";
    SendErrorsMessageSize, Counter, "send_errors", Some(("error", "message_size")), "Datagrams not sent.";
    SendErrorsOther, Counter, "send_errors", Some(("error", "other")), "Datagrams not sent.";
    GsoRetries, Counter, "gso_retries", None, "GSO sends the kernel refused and that were repeated datagram by datagram.";
    RelayOpenErrors, Counter, "relay_open_errors", None, "Relay sockets that could not be opened.";
    RingEnters, Counter, "ring_enters", None, "io_uring_enter calls.";
    Batches, Counter, "batches", None, "Batches with at least one datagram.";
    CommandsRefused, Counter, "commands_refused", None, "Commands not taken because the worker's mailbox was full.";
    ReportsLost, Counter, "reports_lost", None, "Allocation reports lost because the control thread was too slow.";
    DroppedMediaNoSession, Counter, "packets_dropped", Some(("reason", "no_session")), "Packets dropped by the engine.";
    DroppedMediaMalformed, Counter, "packets_dropped", Some(("reason", "malformed_media")), "Packets dropped by the engine.";
    DroppedMediaNoKeys, Counter, "packets_dropped", Some(("reason", "no_keys")), "Packets dropped by the engine.";
    DroppedMediaBadTag, Counter, "packets_dropped", Some(("reason", "bad_tag")), "Packets dropped by the engine.";
    DroppedMediaReplayed, Counter, "packets_dropped", Some(("reason", "replayed")), "Packets dropped by the engine.";
    DroppedMediaUnknownStream, Counter, "packets_dropped", Some(("reason", "unknown_stream")), "Packets dropped by the engine.";
    DroppedMediaTooManyStreams, Counter, "packets_dropped", Some(("reason", "too_many_streams")), "Packets dropped by the engine.";
    DroppedMediaBadCheck, Counter, "packets_dropped", Some(("reason", "bad_check")), "Packets dropped by the engine.";
    DroppedMediaDtlsBudget, Counter, "packets_dropped", Some(("reason", "dtls_budget")), "Packets dropped by the engine.";
    DroppedMediaNoRoom, Counter, "packets_dropped", Some(("reason", "no_room")), "Packets dropped by the engine.";
    KernelDropsMedia, Counter, "kernel_drops", Some(("socket", "media")), "Datagrams the kernel dropped on a full receive buffer (SO_RXQ_OVFL).";
    MediaSessions, Gauge, "media_sessions", None, "Sessions (peer connections and links) alive.";
    MediaTracks, Gauge, "media_tracks", None, "Published tracks alive.";
    MediaSubscriptions, Gauge, "media_subscriptions", None, "Tracks on their way to a session.";
    MediaReceivedPackets, Counter, "media_packets", Some(("direction", "received")), "RTP packets of publishers received and forwarded to subscribers.";
    MediaForwardedPackets, Counter, "media_packets", Some(("direction", "forwarded")), "RTP packets of publishers received and forwarded to subscribers.";
    MediaReceivedBytes, Counter, "media_bytes", Some(("direction", "received")), "Their bytes, headers and tags included.";
    MediaForwardedBytes, Counter, "media_bytes", Some(("direction", "forwarded")), "Their bytes, headers and tags included.";
    MediaSends, Counter, "media_sends", None, "Send operations that carried media, RTCP or answers to checks; packets divided by sends is the coalescing factor.";
    MediaRetransmissions, Counter, "media_retransmissions", Some(("outcome", "sent")), "Packets subscribers asked for again.";
    MediaRetransmissionsMissed, Counter, "media_retransmissions", Some(("outcome", "gone")), "Packets subscribers asked for again.";
    MediaNacked, Counter, "media_nacked_packets", None, "Packets publishers were asked for again.";
    MediaKeyframeRequests, Counter, "media_keyframe_requests", None, "Keyframe requests sent to publishers.";
    MediaLayerSwitches, Counter, "media_layer_switches", None, "Switches of encoding or spatial layer.";
    MediaProbes, Counter, "media_probe_packets", None, "Padding packets sent to find out bandwidth.";
    MediaChecks, Counter, "ice_checks", None, "ICE checks answered.";
    RtcpReceived, Counter, "rtcp_packets", Some(("direction", "received")), "RTCP packets (compounds).";
    RtcpSent, Counter, "rtcp_packets", Some(("direction", "sent")), "RTCP packets (compounds).";
    MediaRefused, Counter, "media_changes_refused", None, "Changes of sessions, tracks and subscriptions the worker could not carry out.";
    CpuNanoseconds, Counter, "cpu_nanoseconds", None, "CPU time of the worker thread.";
    Streams, Gauge, "streams", None, "Connections of clients (TCP, TLS, DTLS) alive.";
    StreamsAdopted, Counter, "streams_adopted", None, "Connections of clients taken over, handshake done.";
    StreamsRefused, Counter, "streams_refused", None, "Connections closed at once because there were too many.";
    StreamsClosedClient, Counter, "streams_closed", Some(("reason", "client")), "Connections of clients that ended.";
    StreamsClosedError, Counter, "streams_closed", Some(("reason", "error")), "Connections of clients that ended.";
    StreamsClosedForeign, Counter, "streams_closed", Some(("reason", "foreign_protocol")), "Connections of clients that ended.";
    StreamsClosedTls, Counter, "streams_closed", Some(("reason", "tls")), "Connections of clients that ended.";
    StreamsClosedIdle, Counter, "streams_closed", Some(("reason", "idle")), "Connections of clients that ended.";
    StreamsClosedStalled, Counter, "streams_closed", Some(("reason", "stalled")), "Connections of clients that ended.";
    StreamDropped, Counter, "stream_messages_dropped", None, "Messages to clients dropped because too much waited for their connections to take it.";
    StreamSends, Counter, "stream_sends", None, "Send operations on connections of clients.";
    StreamBuffersExhausted, Counter, "stream_buffers_exhausted", None, "Times every receive buffer for connections was in use.";
    DroppedAllocationBandwidth, Counter, "packets_dropped", Some(("reason", "allocation_bandwidth")), "Packets dropped by the engine.";
    DroppedUserBandwidth, Counter, "packets_dropped", Some(("reason", "user_bandwidth")), "Packets dropped by the engine.";
    DroppedHostBandwidth, Counter, "packets_dropped", Some(("reason", "host_bandwidth")), "Packets dropped by the engine.";
    RequestsForwarded, Counter, "requests_forwarded", None, "Requests given to the worker that made their mobility ticket or reservation token.";
    StreamMemory, Gauge, "stream_memory_bytes", None, "Bytes held for connections of clients: their TLS, and what came or waits to be sent.";
    StreamsClosedPeer, Counter, "streams_closed", Some(("reason", "peer")), "Connections of clients that ended.";
    PeerConnections, Gauge, "peer_connections", None, "Connections with peers over TCP (RFC 6062), alive or being closed.";
    PeerConnectionsBound, Gauge, "peer_connections_bound", None, "Those that a client's connection goes on in.";
    PeerConnectionsOpened, Counter, "peer_connections_opened", None, "Sockets opened for connections with peers, made by either side.";
    PortsReserved, Gauge, "relay_ports_reserved", None, "Relay ports held for a client that asked for a pair and has yet to claim the second.";
    IcmpRelayed, Counter, "icmp_errors", Some(("outcome", "relayed")), "ICMP errors of what was sent to peers: told to the client, of no interest to one, or more than are told.";
    IcmpRefused, Counter, "icmp_errors", Some(("outcome", "refused")), "ICMP errors of what was sent to peers: told to the client, of no interest to one, or more than are told.";
    IcmpLimited, Counter, "icmp_errors", Some(("outcome", "limited")), "ICMP errors of what was sent to peers: told to the client, of no interest to one, or more than are told.";
    IcmpPauses, Counter, "icmp_pauses", None, "Times a relay socket drew so many ICMP errors that they were ignored for ten seconds.";
    AllocationsRedirected, Counter, "allocations_redirected", None, "Allocate requests answered with another server.";
    AuthFailuresWrong, Counter, "auth_failures", Some(("reason", "wrong_credentials")), "Requests refused for their credentials: the user or password is wrong, or the username of a right one has expired or expires more than two days ahead.";
    AuthFailuresExpired, Counter, "auth_failures", Some(("reason", "expired")), "Requests refused for their credentials: the user or password is wrong, or the username of a right one has expired or expires more than two days ahead.";
    AuthFailuresTooFarAhead, Counter, "auth_failures", Some(("reason", "too_far_ahead")), "Requests refused for their credentials: the user or password is wrong, or the username of a right one has expired or expires more than two days ahead.";
}

/// Values on a page.
pub const COUNT: usize = TABLE.len();

/// A number that differs when the tables of two builds differ: FNV-1a over
/// names and labels.
pub const fn fingerprint() -> u32 {
    const fn mix(mut hash: u32, text: &str) -> u32 {
        let bytes = text.as_bytes();
        let mut i = 0;
        while i < bytes.len() {
            hash = (hash ^ bytes[i] as u32).wrapping_mul(0x0100_0193);
            i += 1;
        }
        // A separator no name contains.
        (hash ^ 0xff).wrapping_mul(0x0100_0193)
    }
    let mut hash = 0x811c_9dc5;
    let mut i = 0;
    while i < TABLE.len() {
        hash = mix(hash, TABLE[i].name);
        if let Some((key, value)) = TABLE[i].label {
            hash = mix(mix(hash, key), value);
        }
        i += 1;
    }
    hash
}
