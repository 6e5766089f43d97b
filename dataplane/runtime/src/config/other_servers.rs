//! `[redirect]`: where clients are sent instead of being served.

use std::net::SocketAddr;
use std::sync::Arc;

use forebay_turn::{Alternate, RedirectWhen};
use serde::{Deserialize, Serialize};

use super::section::{Key, Section, section};
use super::settings::Settings;

section! {
    /// Other servers that clients are sent to with 300 (Try Alternate, RFC 8489
    /// §10) once their credentials hold. Those servers have to accept the same
    /// credentials. Servers of one list take turns; a client is sent to one of
    /// its own address family, and where there is none it is not sent away.
    pub struct Redirect {
        /// Servers for clients over UDP and TCP: ["203.0.113.8:3478",
        /// "[2001:db8::8]:3478"].
        servers: Vec<SocketAddr> = Vec::new();
        /// Servers for clients over TLS and DTLS, with the name in the
        /// certificate where that is not this server's own.
        tls_servers: Vec<TlsServer> = Vec::new(), table TlsServer;
        /// "draining": while this server drains, instead of 508. "full": then,
        /// and whenever an Allocate finds no port, no memory or the limit of
        /// the host reached. "always": every client.
        when: When = When::Full;
    }
}

/// When clients are sent elsewhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum When {
    /// While this server drains.
    Draining,
    /// Then, and while it is full.
    Full,
    /// Always.
    Always,
}

/// A server for clients over TLS and DTLS.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TlsServer {
    /// Its address.
    pub address: SocketAddr,
    /// The name in its certificate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub domain: Option<String>,
}

impl Section for TlsServer {
    const KEYS: &'static [Key] = &[
        Key {
            name: "address",
            docs: &[],
            example: Some("\"203.0.113.8:5349\""),
            table: None,
        },
        Key {
            name: "domain",
            docs: &[],
            example: Some("\"turn2.example.org\""),
            table: None,
        },
    ];
}

impl Redirect {
    /// As a shard takes it.
    pub(crate) fn for_shards(&self) -> forebay_turn::Redirect {
        forebay_turn::Redirect {
            when: match self.when {
                When::Draining => RedirectWhen::Draining,
                When::Full => RedirectWhen::Full,
                When::Always => RedirectWhen::Always,
            },
            plain: self
                .servers
                .iter()
                .map(|address| Alternate {
                    address: *address,
                    domain: None,
                })
                .collect(),
            secure: self
                .tls_servers
                .iter()
                .map(|server| Alternate {
                    address: server.address,
                    domain: server.domain.as_deref().map(Arc::from),
                })
                .collect(),
        }
    }
}

pub(super) fn problems(settings: &Settings, found: &mut Vec<(&'static str, String)>) {
    let Redirect {
        servers,
        tls_servers,
        ..
    } = &settings.redirect;
    let listen = &settings.listen;
    let plain: Vec<SocketAddr> = listen
        .udp
        .iter()
        .flatten()
        .chain(&listen.tcp)
        .copied()
        .collect();
    let secure: Vec<SocketAddr> = listen.tls.iter().chain(&listen.dtls).copied().collect();
    for address in servers {
        found.extend(misplaced(*address, &plain).map(|why| ("redirect.servers", why)));
    }
    for server in tls_servers {
        let key = "redirect.tls_servers";
        found.extend(misplaced(server.address, &secure).map(|why| (key, why)));
        let is_name = |domain: &str| {
            (1..=255).contains(&domain.len())
                && domain
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte))
        };
        if let Some(domain) = server.domain.as_deref().filter(|domain| !is_name(domain)) {
            found.push((key, format!("{domain:?} is no domain name")));
        }
    }
}

/// Why clients cannot be sent there.
fn misplaced(address: SocketAddr, own: &[SocketAddr]) -> Option<String> {
    if address.port() == 0 || address.ip().is_unspecified() || address.ip().is_multicast() {
        return Some(format!("{address} cannot be told to clients"));
    }
    own.contains(&address)
        .then(|| format!("{address} is this server; clients would go in circles"))
}
