//! Which peers a client may reach.

mod encodings;
mod special;

use core::net::{IpAddr, SocketAddr};
use core::ops::RangeInclusive;

use ipnet::IpNet;

use encodings::{canonical, carried, is_wildcard, reaches_own_host};

/// Which peers a client may reach, judged on the canonical address: every
/// encoding of IPv4 within IPv6 is unwrapped first. In order:
///
/// 1. port 0 and `never` refuse; `media` passes, by exact address and port;
/// 2. `allow` passes, on every port; it is compared with the canonical address
///    alone, so `::/0` does not allow `64:ff9b::7f00:1`;
/// 3. a public relay address of this host passes within `relay_ports` and is
///    refused outside of them; a relay address that is not public is refused;
/// 4. `deny` and special-purpose ranges (RFC 6890 and successors) refuse;
/// 5. ports below `lowest_port` are refused, everything else passes.
///
/// An IPv6 address that a tunnel or translator would carry to an IPv4 address
/// (6to4, Teredo, ISATAP, local-use NAT64) passes only if that one passes too.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerPolicy {
    /// Allowed although special-purpose or denied.
    pub allow: Vec<IpNet>,
    /// Denied although globally reachable.
    pub deny: Vec<IpNet>,
    /// This server's own listeners and control addresses: denied whatever
    /// `allow` says. Port 0 stands for every port. A wildcard address stands
    /// for the loopback range and every relay address of this host, of both
    /// families and also within `relay_ports`; other addresses of the host
    /// have to be listed one by one, since this crate cannot know them.
    pub never: Vec<SocketAddr>,
    /// The same for connections alone (RFC 6062): addresses of ours that speak
    /// TCP, and of which another, that clients may reach, has the UDP port.
    pub never_tcp: Vec<SocketAddr>,
    /// This host's relay addresses, local and public.
    pub relays: Vec<RelayMapping>,
    /// Where this host receives media: allowed whatever the ranges say, so
    /// that clients that must relay reach the forwarder beside their relay.
    pub media: Vec<MediaMapping>,
    /// The ports of this host's relays.
    pub relay_ports: RangeInclusive<u16>,
    /// The lowest peer port clients may reach (default 1024).
    pub lowest_port: u16,
}

impl Default for PeerPolicy {
    /// Every global address from port 1024 up, no relays of this host.
    fn default() -> Self {
        Self {
            allow: Vec::new(),
            deny: Vec::new(),
            never: Vec::new(),
            never_tcp: Vec::new(),
            relays: Vec::new(),
            media: Vec::new(),
            relay_ports: 49152..=65535,
            lowest_port: 1024,
        }
    }
}

/// A relay address as bound here and as the world sees it. A client that names
/// a public address within the relay ports is connected to the local address
/// behind it, and a packet from there is shown to come from the public one, so
/// two clients of a host behind a one-to-one NAT reach each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RelayMapping {
    /// Bound on this host.
    pub local: IpAddr,
    /// Told to clients; equal to `local` without NAT.
    pub public: IpAddr,
}

/// A media address as bound here and as the world sees it; translated as
/// relay addresses are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MediaMapping {
    /// Bound on this host.
    pub local: SocketAddr,
    /// Told to clients; equal to `local` without NAT.
    pub public: SocketAddr,
}

/// What a policy says of a peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// The client may reach it.
    Allowed,
    /// It may not.
    Denied(Denial),
}

impl Verdict {
    /// Whether the client may reach it.
    pub const fn is_allowed(self) -> bool {
        matches!(self, Self::Allowed)
    }
}

/// Why a peer is denied.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Denial {
    /// One of the server's own addresses.
    Never,
    /// A relay address of this host outside of the relay ports, or one that
    /// clients are not told.
    OwnRelay,
    /// Within `deny`.
    Listed,
    /// Within a special-purpose range.
    SpecialPurpose,
    /// Port 0 or below the lowest port.
    Port,
}

/// Which ports of a permitted IP address may be reached. Kept with a
/// permission so that a packet needs no more than a port comparison.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Reach {
    ports: Ports,
    /// `never` or `media` names some ports of this address.
    guarded: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ports {
    Any,
    FromLowest,
    Relays,
    /// None but those that `media` names.
    Refused(Denial),
}

impl PeerPolicy {
    /// Judges one peer.
    pub fn judge(&self, peer: SocketAddr) -> Verdict {
        match self
            .reach(peer.ip())
            .and_then(|reach| self.admit(reach, peer))
        {
            Ok(()) => Verdict::Allowed,
            Err(denial) => Verdict::Denied(denial),
        }
    }

    /// Judges a peer that a client wants to connect to.
    pub fn judge_connection(&self, peer: SocketAddr) -> Verdict {
        if self.names(&self.never_tcp, peer) {
            return Verdict::Denied(Denial::Never);
        }
        self.judge(peer)
    }

    /// Judges an address whose port is not known yet, as in CreatePermission.
    pub(crate) fn reach(&self, ip: IpAddr) -> Result<Reach, Denial> {
        let reach = self.reach_plain(ip)?;
        for v4 in carried(ip) {
            match self.reach_plain(IpAddr::V4(v4))?.ports {
                Ports::Any | Ports::FromLowest => {}
                Ports::Relays => return Err(Denial::OwnRelay),
                Ports::Refused(denial) => return Err(denial),
            }
        }
        Ok(reach)
    }

    fn reach_plain(&self, ip: IpAddr) -> Result<Reach, Denial> {
        let real = canonical(ip);
        if self
            .never
            .iter()
            .any(|never| never.port() == 0 && self.is_named_by(real, never.ip()))
        {
            return Err(Denial::Never);
        }
        let serving = self.media.iter().any(|media| media.public.ip() == real);
        let guarded = serving
            || self
                .never
                .iter()
                .any(|never| self.is_named_by(real, never.ip()));
        let within = |nets: &[IpNet], ip: IpAddr| nets.iter().any(|net| net.contains(&ip));
        let ports = if within(&self.allow, real) {
            Ports::Any
        } else if self.relays.iter().any(|relay| relay.public == real) {
            Ports::Relays
        } else if self.relays.iter().any(|relay| relay.local == real) {
            Ports::Refused(Denial::OwnRelay)
        } else if within(&self.deny, real) || within(&self.deny, ip) {
            Ports::Refused(Denial::Listed)
        } else if special::contains(real) || special::contains(ip) {
            Ports::Refused(Denial::SpecialPurpose)
        } else {
            Ports::FromLowest
        };
        match ports {
            Ports::Refused(denial) if !serving => Err(denial),
            ports => Ok(Reach { ports, guarded }),
        }
    }

    /// Judges the port of a peer whose address has been judged.
    #[inline]
    pub(crate) fn admit(&self, reach: Reach, peer: SocketAddr) -> Result<(), Denial> {
        let port = peer.port();
        if port == 0 {
            return Err(Denial::Port);
        }
        if reach.guarded
            && let Some(verdict) = self.by_name(peer)
        {
            return verdict;
        }
        match reach.ports {
            Ports::Any => Ok(()),
            Ports::FromLowest if port >= self.lowest_port => Ok(()),
            Ports::FromLowest => Err(Denial::Port),
            Ports::Relays if self.relay_ports.contains(&port) => Ok(()),
            Ports::Relays => Err(Denial::OwnRelay),
            Ports::Refused(denial) => Err(denial),
        }
    }

    /// What `never` and `media` say of the very address and port.
    #[cold]
    fn by_name(&self, peer: SocketAddr) -> Option<Result<(), Denial>> {
        if self.names(&self.never, peer) {
            return Some(Err(Denial::Never));
        }
        let real = SocketAddr::new(canonical(peer.ip()), peer.port());
        let media = self.media.iter().any(|media| media.public == real);
        media.then_some(Ok(()))
    }

    /// Whether one of `never` is this very address and port.
    fn names(&self, never: &[SocketAddr], peer: SocketAddr) -> bool {
        let real = canonical(peer.ip());
        never
            .iter()
            .any(|never| never.port() == peer.port() && self.is_named_by(real, never.ip()))
    }

    /// Whether the address of a `never` entry stands for `real`.
    fn is_named_by(&self, real: IpAddr, never: IpAddr) -> bool {
        let own = || {
            reaches_own_host(real)
                || self
                    .relays
                    .iter()
                    .any(|relay| relay.local == real || relay.public == real)
        };
        canonical(never) == real || (is_wildcard(never) && own())
    }

    /// Whether any relay or media address is known to the world by another
    /// address than its own, so that [`PeerPolicy::behind`] and [`PeerPolicy::shown`] matter.
    pub(crate) fn translates(&self) -> bool {
        self.relays.iter().any(|relay| relay.local != relay.public)
            || self.media.iter().any(|media| media.local != media.public)
    }

    /// Where a packet to `peer` is sent.
    pub(crate) fn behind(&self, peer: SocketAddr) -> SocketAddr {
        let media = self.media.iter().find(|media| media.public == peer);
        match media {
            Some(media) => media.local,
            None => self.translated(peer, |relay| (relay.public, relay.local)),
        }
    }

    /// What a packet from `source` is shown to come from.
    pub(crate) fn shown(&self, source: SocketAddr) -> SocketAddr {
        let media = self.media.iter().find(|media| media.local == source);
        match media {
            Some(media) => media.public,
            None => self.translated(source, |relay| (relay.local, relay.public)),
        }
    }

    fn translated(
        &self,
        address: SocketAddr,
        pair: impl Fn(&RelayMapping) -> (IpAddr, IpAddr),
    ) -> SocketAddr {
        if !self.relay_ports.contains(&address.port()) {
            return address;
        }
        self.relays
            .iter()
            .map(pair)
            .find(|&(from, _)| from == address.ip())
            .map_or(address, |(_, to)| SocketAddr::new(to, address.port()))
    }
}
