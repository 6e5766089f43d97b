//! Other servers (RFC 8489 §10), and which client is sent to which.

use crate::config::{Alternate, Redirect, RedirectWhen};
use crate::ids::SocketId;

/// The servers of one transport and family, which take turns.
struct Turns {
    servers: Box<[Alternate]>,
    next: usize,
}

impl Turns {
    fn next(&mut self) -> Option<Alternate> {
        let server = self.servers.get(self.next)?;
        self.next = (self.next + 1) % self.servers.len();
        Some(server.clone())
    }
}

pub(crate) struct Redirects {
    when: RedirectWhen,
    /// Of [plain, secure] clients over IPv4, then over IPv6.
    turns: [[Turns; 2]; 2],
    first_stream: SocketId,
    /// Which connections are encrypted.
    secure: Vec<bool>,
    pub(crate) given: u64,
}

impl Redirects {
    /// `start`: shards begin at different servers.
    pub(crate) fn new(redirect: Redirect, first_stream: SocketId, start: u16) -> Self {
        let Redirect {
            when,
            plain,
            secure,
        } = redirect;
        let turns = |v6: bool| {
            [&plain, &secure].map(|list| {
                let servers: Box<[Alternate]> = list
                    .iter()
                    .filter(|server| server.address.is_ipv6() == v6)
                    .cloned()
                    .collect();
                Turns {
                    next: usize::from(start).checked_rem(servers.len()).unwrap_or(0),
                    servers,
                }
            })
        };
        Self {
            when,
            turns: [turns(false), turns(true)],
            first_stream,
            secure: Vec::new(),
            given: 0,
        }
    }

    /// A client has connected over TLS or DTLS, or without.
    pub(crate) fn connected(&mut self, socket: SocketId, secure: bool) {
        let Some(index) = socket.0.checked_sub(self.first_stream.0) else {
            return;
        };
        let index = index as usize;
        if index >= self.secure.len() {
            self.secure.resize(index + 1, false);
        }
        self.secure[index] = secure;
    }

    fn is_secure(&self, socket: SocketId) -> bool {
        socket
            .0
            .checked_sub(self.first_stream.0)
            .and_then(|index| self.secure.get(index as usize))
            .is_some_and(|secure| *secure)
    }

    pub(crate) fn is_due(&self, at: RedirectWhen) -> bool {
        match at {
            RedirectWhen::Draining => true,
            RedirectWhen::Full => self.when != RedirectWhen::Draining,
            RedirectWhen::Always => self.when == RedirectWhen::Always,
        }
    }

    /// Where to send the client of a socket next.
    pub(crate) fn next(&mut self, socket: SocketId, v6: bool) -> Option<Alternate> {
        let secure = self.is_secure(socket);
        let server = self.turns[usize::from(v6)][usize::from(secure)].next()?;
        self.given += 1;
        Some(server)
    }

    pub(crate) fn memory(&self) -> usize {
        self.secure.capacity()
    }
}
