//! What the rest of the control plane may know of the data plane.

use std::net::IpAddr;

use forebay_ipc::{DrainProgress, Generation, Listener, Relay, Transport, Welcome};

/// One piece of desired state, as the data plane has it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Item {
    /// The generation in force.
    pub applied: Option<Generation>,
    /// Whether it is what we want.
    pub settled: bool,
    /// Why the data plane would not take it.
    pub refused: Option<String>,
}

/// How things stand between the two. What the data plane told stays after the
/// connection is lost: it goes on by itself.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LinkView {
    /// Whether the connection stands and the snapshot is complete.
    pub connected: bool,
    /// Why it does not stand.
    pub problem: Option<String>,
    /// Who it is.
    pub dataplane: Option<Welcome>,
    /// Where clients are served.
    pub listeners: Vec<Listener>,
    /// Where relayed addresses come from.
    pub relays: Vec<Relay>,
    /// The credentials.
    pub credentials: Item,
    /// The peer policy.
    pub policy: Item,
    /// A drain under way.
    pub drain: Option<DrainProgress>,
    /// Allocations alive.
    pub allocations: u64,
    /// Allocation events missed.
    pub events_lost: u64,
}

impl LinkView {
    /// Everything that keeps new clients from being served, in sentences.
    pub fn problems(&self, realm: Option<&str>) -> Vec<String> {
        if !self.connected {
            let why = self.problem.as_deref().unwrap_or("not connected yet");
            return vec![format!("data plane: {why}")];
        }
        let mut problems = Vec::new();
        for (what, item) in [
            ("credentials", &self.credentials),
            ("peer policy", &self.policy),
        ] {
            match &item.refused {
                Some(why) => problems.push(format!("data plane refused {why}")),
                None if !item.settled => {
                    problems.push(format!("{what}: not yet taken by the data plane"));
                }
                None => {}
            }
        }
        if let (Some(ours), Some(dataplane)) = (realm, &self.dataplane)
            && ours != &*dataplane.realm
        {
            let theirs = &dataplane.realm;
            problems.push(format!(
                "turn.realm is {ours:?} but the data plane's realm is {:?}",
                &**theirs
            ));
        }
        if let Some(drain) = self.drain {
            problems.push(format!(
                "data plane: draining, {} allocations remain",
                drain.remaining
            ));
        }
        problems
    }

    /// TURN URLs (RFC 7065) made of the listeners, the way clients reach them:
    /// by address, but for TLS by this name where there is one.
    pub fn urls(&self, tls_name: Option<&str>) -> Vec<String> {
        let mut listeners = self.listeners.clone();
        // Clients try them in order; each step costs more than the one before.
        listeners.sort_by_key(|listener| match listener.transport {
            Transport::Udp => 0,
            Transport::Tcp => 1,
            Transport::Tls => 2,
            Transport::Dtls => 3,
        });
        let mut urls = Vec::new();
        for listener in &listeners {
            let (scheme, transport) = match listener.transport {
                Transport::Udp => ("turn", "udp"),
                Transport::Tcp => ("turn", "tcp"),
                Transport::Tls => ("turns", "tcp"),
                // No browser speaks it, and some take the URL for a mistake.
                Transport::Dtls => continue,
            };
            let port = listener.address.port();
            for address in self.public(listener.address.ip()) {
                let host = match (address, tls_name) {
                    (_, Some(name)) if listener.transport == Transport::Tls => name.to_owned(),
                    (IpAddr::V4(v4), _) => v4.to_string(),
                    (IpAddr::V6(v6), _) => format!("[{v6}]"),
                };
                let url = format!("{scheme}:{host}:{port}?transport={transport}");
                if !urls.contains(&url) {
                    urls.push(url);
                }
            }
        }
        urls
    }

    fn public(&self, bound: IpAddr) -> Vec<IpAddr> {
        let family = self
            .relays
            .iter()
            .filter(|relay| relay.local.is_ipv4() == bound.is_ipv4());
        if bound.is_unspecified() {
            return family.map(|relay| relay.public).collect();
        }
        vec![
            family
                .clone()
                .find(|relay| relay.local == bound)
                .map_or(bound, |relay| relay.public),
        ]
    }
}
