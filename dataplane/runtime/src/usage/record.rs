//! What a record says.

use std::net::SocketAddr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use forebay_ipc::{Deletion, Session, Transport};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// One usage record. Its JSON is an interface: fields are added, never changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Record {
    /// Names the allocation.
    pub(super) uuid: String,
    pub(super) kind: Kind,
    /// Counts the records of this allocation from one.
    pub(super) number: u32,
    /// The host that served it.
    pub(super) host: String,
    /// When the allocation was made, RFC 3339.
    pub(super) start: String,
    /// When it ended, or was measured, RFC 3339.
    pub(super) end: String,
    pub(super) seconds: u64,
    /// As the client gave it: attacker data.
    pub(super) user: String,
    pub(super) client: SocketAddr,
    pub(super) server: SocketAddr,
    pub(super) transport: String,
    pub(super) relay: SocketAddr,
    /// What its peers speak.
    #[serde(default = "udp")]
    pub(super) relay_transport: String,
    pub(super) to_peer_packets: u64,
    pub(super) to_peer_bytes: u64,
    pub(super) to_client_packets: u64,
    pub(super) to_client_bytes: u64,
    /// Why it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) reason: Option<Reason>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Kind {
    /// In between.
    Interim,
    /// At the end: the last of its allocation.
    End,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Reason {
    Expired,
    ClosedByClient,
    Administrative,
    /// The client's connection went away.
    Disconnected,
    /// The end was noticed late: time and amounts are those known last.
    Unseen,
    /// The server stopped.
    Stopped,
    /// The server crashed: time and amounts are those known last.
    Crashed,
}

impl From<Deletion> for Reason {
    fn from(deletion: Deletion) -> Self {
        match deletion {
            Deletion::Expired => Self::Expired,
            Deletion::ClosedByClient => Self::ClosedByClient,
            Deletion::Administrative => Self::Administrative,
            Deletion::Disconnected => Self::Disconnected,
            Deletion::Unseen => Self::Unseen,
            Deletion::Stopped => Self::Stopped,
        }
    }
}

impl Record {
    /// What is known of the session at a moment, seconds since the Unix epoch.
    pub(super) fn of(session: &Session, host: &str, at: u64) -> Self {
        Self {
            uuid: Uuid::from_bytes(session.uuid.0).to_string(),
            kind: Kind::Interim,
            number: 0,
            host: host.to_owned(),
            start: rfc3339(session.created_at),
            end: rfc3339(at),
            seconds: at.saturating_sub(session.created_at),
            user: session.username.to_string(),
            client: session.client,
            server: session.server,
            transport: name(session.transport).to_owned(),
            relay: session.relayed,
            relay_transport: name(session.relay_transport).to_owned(),
            to_peer_packets: session.usage.to_peer_packets,
            to_peer_bytes: session.usage.to_peer_bytes,
            to_client_packets: session.usage.to_client_packets,
            to_client_bytes: session.usage.to_client_bytes,
            reason: None,
        }
    }

    /// Makes it the last of its allocation.
    pub(super) fn ended(mut self, reason: Reason) -> Self {
        self.kind = Kind::End;
        self.reason = Some(reason);
        self
    }

    /// Makes it what is left of an allocation that a crash cut off.
    pub(super) fn crashed(mut self, at: SystemTime) -> Self {
        let seconds = |time: SystemTime| {
            time.duration_since(UNIX_EPOCH)
                .map_or(0, |since| since.as_secs())
        };
        let at = seconds(at);
        if let Ok(start) = humantime::parse_rfc3339(&self.start) {
            self.seconds = at.saturating_sub(seconds(start));
        }
        self.end = rfc3339(at);
        self.number += 1;
        self.ended(Reason::Crashed)
    }

    /// One line of JSON, without its end.
    pub(super) fn line(&self) -> Vec<u8> {
        // Neither a map with other keys than strings nor an error of its own:
        // it cannot fail.
        serde_json::to_vec(self).unwrap_or_default()
    }
}

const fn name(transport: Transport) -> &'static str {
    match transport {
        Transport::Udp => "udp",
        Transport::Tcp => "tcp",
        Transport::Tls => "tls",
        Transport::Dtls => "dtls",
    }
}

/// Of records from before there was anything else.
fn udp() -> String {
    name(Transport::Udp).to_owned()
}

fn rfc3339(unix: u64) -> String {
    // The formatter ends with the year 9999.
    let time = UNIX_EPOCH + Duration::from_secs(unix.min(253_402_300_799));
    humantime::format_rfc3339_seconds(time).to_string()
}
