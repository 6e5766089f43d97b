//! Which sessions are meant.

use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

use forebay_ipc::Session;

/// Which sessions are meant: those for which everything given holds.
#[derive(Debug, Clone, Default, clap::Args)]
pub(crate) struct Filter {
    /// The username, with or without its expiry.
    #[arg(long, value_name = "USER")]
    pub(super) user: Option<String>,
    /// The client's address, with or without port.
    #[arg(long, value_name = "ADDRESS")]
    pub(super) client: Option<Place>,
    /// The relayed address, with or without port.
    #[arg(long, value_name = "ADDRESS")]
    pub(super) relay: Option<Place>,
}

impl Filter {
    /// Whether it names anything at all.
    pub(super) fn is_empty(&self) -> bool {
        self.user.is_none() && self.client.is_none() && self.relay.is_none()
    }

    /// Whether the session is meant.
    pub(super) fn takes(&self, session: &Session) -> bool {
        let user = self
            .user
            .as_deref()
            .is_none_or(|user| *session.username == *user || person(&session.username) == user);
        let at = |place: &Option<Place>, address: SocketAddr| {
            place.as_ref().is_none_or(|place| place.takes(address))
        };
        user && at(&self.client, session.client) && at(&self.relay, session.relayed)
    }
}

/// The part of a TURN REST username behind its expiry.
pub(super) fn person(username: &str) -> &str {
    match username.split_once(':') {
        Some((expiry, user))
            if !expiry.is_empty() && expiry.bytes().all(|byte| byte.is_ascii_digit()) =>
        {
            user
        }
        _ => username,
    }
}

/// An address with or without a port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    ip: IpAddr,
    port: Option<u16>,
}

impl Place {
    fn takes(self, address: SocketAddr) -> bool {
        self.ip == address.ip().to_canonical()
            && self.port.is_none_or(|port| port == address.port())
    }
}

impl FromStr for Place {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Ok(address) = text.parse::<SocketAddr>() {
            return Ok(Self {
                ip: address.ip().to_canonical(),
                port: Some(address.port()),
            });
        }
        let bare = text.trim_start_matches('[').trim_end_matches(']');
        bare.parse::<IpAddr>()
            .map(|ip| Self {
                ip: ip.to_canonical(),
                port: None,
            })
            .map_err(|_| {
                "expected 192.0.2.1, 192.0.2.1:5000, 2001:db8::1 or [2001:db8::1]:5000".to_owned()
            })
    }
}
