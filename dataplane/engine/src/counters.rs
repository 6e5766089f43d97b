//! Counters are plain locals of the shard; the worker publishes them in
//! housekeeping.

use forebay_turn::Refusal;

/// Why a packet was dropped. The names are label values of the metric
/// `forebay_packets_dropped_total`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(usize)]
pub enum DropReason {
    /// Neither STUN nor ChannelData on a listening socket.
    UnknownProtocol,
    /// A length or value that does not parse.
    Malformed,
    /// A STUN message a server has no answer for.
    Unexpected,
    /// FINGERPRINT present and wrong.
    BadFingerprint,
    /// No allocation on this five-tuple or relay socket.
    NoAllocation,
    /// The channel is not bound.
    NoChannel,
    /// No permission for the peer.
    NoPermission,
    /// Denied by peer policy.
    PeerDenied,
    /// The budget for unauthenticated answers to a source prefix is spent.
    PrefixBudget,
    /// More requests in one batch than the batch's budget while media flowed.
    RequestBudget,
    /// The transmit batch was full.
    BatchFull,
    /// The allocation's bandwidth cap.
    AllocationBandwidth,
    /// The user's bandwidth cap.
    UserBandwidth,
    /// The host's bandwidth cap, and the allocation beyond its share.
    HostBandwidth,
}

impl DropReason {
    /// Every reason, in the order of the discriminants.
    pub const ALL: [Self; 14] = [
        Self::UnknownProtocol,
        Self::Malformed,
        Self::Unexpected,
        Self::BadFingerprint,
        Self::NoAllocation,
        Self::NoChannel,
        Self::NoPermission,
        Self::PeerDenied,
        Self::PrefixBudget,
        Self::RequestBudget,
        Self::BatchFull,
        Self::AllocationBandwidth,
        Self::UserBandwidth,
        Self::HostBandwidth,
    ];

    /// The label value.
    pub const fn name(self) -> &'static str {
        match self {
            Self::UnknownProtocol => "unknown_protocol",
            Self::Malformed => "malformed",
            Self::Unexpected => "unexpected",
            Self::BadFingerprint => "bad_fingerprint",
            Self::NoAllocation => "no_allocation",
            Self::NoChannel => "no_channel",
            Self::NoPermission => "no_permission",
            Self::PeerDenied => "peer_denied",
            Self::PrefixBudget => "prefix_budget",
            Self::RequestBudget => "request_budget",
            Self::BatchFull => "batch_full",
            Self::AllocationBandwidth => "allocation_bandwidth",
            Self::UserBandwidth => "user_bandwidth",
            Self::HostBandwidth => "host_bandwidth",
        }
    }
}

/// What one shard counted since it was made. Everything only rises.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counters {
    /// Datagrams relayed from clients to peers.
    pub to_peer_packets: u64,
    /// Payload bytes relayed from clients to peers.
    pub to_peer_bytes: u64,
    /// Datagrams relayed from peers to clients.
    pub to_client_packets: u64,
    /// Payload bytes relayed from peers to clients.
    pub to_client_bytes: u64,
    /// Transmits handed out that relay (each one `sendmsg`).
    pub relay_transmits: u64,
    /// Transmits handed out that forward media, answer checks or carry RTCP
    /// (each one `sendmsg`).
    pub media_transmits: u64,
    /// STUN messages that reached the server (budgeted path).
    pub requests: u64,
    /// Answers sent.
    pub answers: u64,
    /// Requests given to another shard.
    pub forwarded: u64,
    /// Allocations made.
    pub allocations_created: u64,
    /// Allocations ended.
    pub allocations_deleted: u64,
    /// ICMP errors clients were told of.
    pub icmp_relayed: u64,
    /// ICMP errors of a type that is not relayed, or of what no allocation
    /// with a permission sent.
    pub icmp_refused: u64,
    /// ICMP errors beyond the rate.
    pub icmp_limited: u64,
    /// Packets dropped, by [`DropReason`].
    pub dropped: [u64; DropReason::ALL.len()],
}

impl Counters {
    /// Counts `packets` dropped for one reason.
    pub(crate) fn drop(&mut self, reason: DropReason, packets: u64) {
        self.dropped[reason as usize] += packets;
    }

    /// Packets dropped for a reason.
    pub fn dropped(&self, reason: DropReason) -> u64 {
        self.dropped[reason as usize]
    }
}

impl From<Refusal> for DropReason {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::NoAllocation => Self::NoAllocation,
            Refusal::NoChannel => Self::NoChannel,
            Refusal::NoPermission => Self::NoPermission,
            Refusal::PeerDenied => Self::PeerDenied,
            Refusal::Malformed => Self::Malformed,
            Refusal::Unexpected => Self::Unexpected,
            Refusal::BadFingerprint => Self::BadFingerprint,
            Refusal::PrefixBudget => Self::PrefixBudget,
            Refusal::AllocationBandwidth => Self::AllocationBandwidth,
            Refusal::UserBandwidth => Self::UserBandwidth,
            Refusal::HostBandwidth => Self::HostBandwidth,
            Refusal::NoRoom => Self::BatchFull,
        }
    }
}
