//! What was counted in front of the workers.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::streams::ClientTransport;

macro_rules! labels {
    ($(#[doc = $about:literal])* $name:ident { $($(#[doc = $doc:literal])* $variant:ident = $label:literal,)* }) => {
        $(#[doc = $about])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum $name { $($(#[doc = $doc])* $variant,)* }

        impl $name {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// As the value of a label.
            pub const fn label(self) -> &'static str {
                match self { $(Self::$variant => $label,)* }
            }
        }
    };
}

labels! {
    /// Why a connection was closed before it became a stream.
    Refusal {
        /// Too many that had not shown what they want, in all.
        HalfOpen = "half_open",
        /// The same, from one source prefix.
        HalfOpenSource = "half_open_source",
        /// Too many handshakes in this second, in all.
        Rate = "rate",
        /// The same, from one source prefix.
        RateSource = "rate_source",
        /// From a load balancer, without a header of the PROXY protocol.
        NoProxyHeader = "no_proxy_header",
        /// With a header of the PROXY protocol, from where none is expected.
        ProxyHeader = "proxy_header",
        /// It said nothing in time, or stopped in the middle.
        Timeout = "timeout",
        /// The client went away.
        Gone = "gone",
        /// Neither TURN nor TLS nor HTTP; on the port of media, no check.
        Unknown = "unknown",
        /// TLS, and no certificate is configured.
        NoCertificate = "no_certificate",
        /// TLS for a name that is not ours, and no server that it is for.
        OtherName = "other_name",
        /// Media, and the first check is for no session that is here.
        NoSession = "no_session",
        /// Too many connections on their way to a web server.
        Web = "web",
        /// No worker had room.
        Workers = "workers",
        /// No descriptors or memory.
        System = "system",
    }
}

labels! {
    /// Why a handshake failed.
    Failure {
        /// Not done in time.
        Timeout = "timeout",
        /// The client went away.
        Gone = "gone",
        /// The client refused with an alert; our certificate, usually.
        Alert = "alert",
        /// No version, cipher or group in common.
        NothingCommon = "nothing_common",
        /// Bytes that make no sense.
        Protocol = "protocol",
    }
}

labels! {
    /// Where a visitor that is not TURN was sent.
    Web {
        /// To `tls.backend`, decrypted.
        Backend = "backend",
        /// To `tls.passthrough`, undecrypted.
        Passthrough = "passthrough",
        /// Nowhere: it got a line of text.
        Answer = "answer",
        /// The web server did not take it.
        Unreachable = "unreachable",
    }
}

/// A counter per transport.
pub type PerTransport = [AtomicU64; 3];

/// The transports, in the order of [`PerTransport`].
pub const TRANSPORTS: [ClientTransport; 3] = [
    ClientTransport::Tcp,
    ClientTransport::Tls,
    ClientTransport::Dtls,
];

/// A transport as the value of a label, and as people write it.
pub const fn label(transport: ClientTransport) -> &'static str {
    match transport {
        ClientTransport::Tcp => "tcp",
        ClientTransport::Tls => "tls",
        ClientTransport::Dtls => "dtls",
    }
}

/// Counters since start.
#[derive(Debug, Default)]
pub struct Tally {
    /// TCP connections accepted by the kernel.
    pub accepted: AtomicU64,
    /// By [`Refusal`].
    pub refused: [AtomicU64; Refusal::ALL.len()],
    /// Connections handed to a worker.
    pub streams: PerTransport,
    /// Connections of media handed to their session's worker.
    pub media: AtomicU64,
    /// Handshakes done: TLS and DTLS.
    pub handshakes: PerTransport,
    /// TLS handshakes by [`Failure`].
    pub tls_failed: [AtomicU64; Failure::ALL.len()],
    /// DTLS handshakes by [`Failure`].
    pub dtls_failed: [AtomicU64; Failure::ALL.len()],
    /// By [`Web`].
    pub web: [AtomicU64; Web::ALL.len()],
    /// DTLS datagrams dropped because too many associations were under way,
    /// or too many began.
    pub dtls_over_budget: AtomicU64,
    /// Datagrams dropped between a worker and a DTLS client.
    pub dtls_dropped: AtomicU64,
    /// TCP and TLS connections that have not shown yet what they want; now.
    pub half_open: AtomicU64,
    /// Certificates taken into use, the first one included.
    pub certificates: AtomicU64,
    /// 1 while the files on disk cannot be used; now.
    pub certificate_broken: AtomicU64,
    /// When the certificate in use ends, seconds since the Unix epoch; 0
    /// without one.
    pub certificate_not_after: AtomicU64,
}

impl Tally {
    pub(super) fn add(counter: &AtomicU64) {
        counter.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn refuse(&self, why: Refusal) {
        Self::add(&self.refused[why as usize]);
    }

    pub(super) fn tls_failed(&self, why: Failure) {
        Self::add(&self.tls_failed[why as usize]);
    }

    pub(super) fn dtls_failed(&self, why: Failure) {
        Self::add(&self.dtls_failed[why as usize]);
    }

    pub(super) fn web(&self, what: Web) {
        Self::add(&self.web[what as usize]);
    }

    pub(super) fn per(counters: &PerTransport, transport: ClientTransport) {
        let place = TRANSPORTS.iter().position(|one| *one == transport);
        Self::add(&counters[place.unwrap_or(0)]);
    }
}
