//! The loop between the network and the workers.

use std::net::SocketAddr;
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::epoll::{Epoll, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::socket::{AddressFamily, MsgFlags, SockFlag, SockType, recv, send, socketpair};

use super::Limits;
use super::association::{Association, LONGEST_MESSAGE, Reaction, Terms, begins, is_clear};
use super::clients::{ClientId, Clients, Live};
use super::datagrams::{Datagrams, Way};
use crate::front::admission::{Prefix, Rate};
use crate::front::certificate::Certificates;
use crate::front::tally::{Failure, Refusal, Tally};
use crate::front::workers::Workers;
use crate::streams::{ClientTransport, Connection, Speaks};

/// What the event says that ends the thread.
pub(super) const STOP: u64 = u64::MAX;
/// What the events of clients have in front of their place; sockets have none.
const CLIENT: u64 = 1 << 32;
/// Taken from one socket or pair before the others have their turn.
const AT_ONCE: usize = 64;
/// Timers seen to before datagrams have their turn again.
const TIMERS: usize = 1024;
/// The longest sleep.
const IDLE: Duration = Duration::from_secs(1);

pub(super) struct Bridge {
    epoll: Epoll,
    sockets: Vec<Datagrams>,
    clients: Clients,
    terms: Terms,
    limits: Limits,
    rate: Rate,
    certificates: Arc<Certificates>,
    workers: Workers,
    tally: Arc<Tally>,
    buffer: Vec<u8>,
}

impl Bridge {
    #[allow(clippy::too_many_arguments, reason = "the parts of one thread, once")]
    pub(super) fn new(
        epoll: Epoll,
        sockets: Vec<Datagrams>,
        clients: Clients,
        terms: Terms,
        limits: Limits,
        certificates: Arc<Certificates>,
        workers: Workers,
        tally: Arc<Tally>,
    ) -> Self {
        Self {
            epoll,
            sockets,
            clients,
            terms,
            limits,
            rate: Rate::new(limits.per_second, limits.per_source, Instant::now()),
            certificates,
            workers,
            tally,
            buffer: vec![0; 1 << 16],
        }
    }

    pub(super) fn run(mut self) {
        let mut events = [EpollEvent::empty(); 64];
        loop {
            // Interrupted: nothing came.
            let count = self.epoll.wait(&mut events, self.sleep()).unwrap_or(0);
            for event in &events[..count] {
                match event.data() {
                    STOP => return,
                    data if data & CLIENT != 0 => self.take_from_worker((data & !CLIENT) as u32),
                    socket => self.take_from_network(socket as usize),
                }
            }
            self.expire(Instant::now());
        }
    }

    fn sleep(&self) -> EpollTimeout {
        let now = Instant::now();
        let due = self.clients.next_due();
        let left = due.map_or(IDLE, |at| at.saturating_duration_since(now).min(IDLE));
        // Rounded up: a timer that is almost due is no reason to spin.
        let millis = left.as_millis() + u128::from(!left.subsec_nanos().is_multiple_of(1_000_000));
        EpollTimeout::from(u16::try_from(millis).unwrap_or(u16::MAX))
    }

    fn take_from_network(&mut self, socket: usize) {
        let mut buffer = std::mem::take(&mut self.buffer);
        for _ in 0..AT_ONCE {
            let Some((count, way)) = self.sockets[socket].receive(&mut buffer) else {
                break;
            };
            self.datagram(Instant::now(), socket, way, &buffer[..count]);
        }
        self.buffer = buffer;
    }

    fn datagram(&mut self, now: Instant, socket: usize, way: Way, datagram: &[u8]) {
        let known = self.clients.find(socket, way);
        let (pending, live) = match known.and_then(|id| self.clients.get(id)) {
            Some(client) => (client.pending.is_some(), client.live.is_some()),
            None => (false, false),
        };
        let id = match known {
            Some(id) if pending || live => id,
            _ => {
                if begins(datagram) {
                    self.begin(now, socket, way, datagram);
                }
                return;
            }
        };
        if live && !pending && begins(datagram) {
            self.begin(now, socket, way, datagram);
        } else if pending && (!live || is_clear(datagram)) {
            self.shake(now, id, datagram);
        } else {
            self.hear(now, id, datagram);
        }
    }

    /// A stranger's first datagram. The answer asks for a cookie and costs
    /// little, so only the source's share is taken.
    fn begin(&mut self, now: Instant, socket: usize, way: Way, datagram: &[u8]) {
        let prefix = Prefix::of(way.client.ip());
        if self.rate.take_source(now, prefix).is_err() {
            Tally::add(&self.tally.dtls_over_budget);
            return;
        }
        let pair = self.certificates.current();
        let Some(identity) = pair.dtls() else { return };
        let association = Association::new(self.terms.clone(), identity.certificate());
        let give_up = now + self.limits.timeout;
        match self.clients.begin(socket, way, association, give_up) {
            Some(id) => self.shake(now, id, datagram),
            None => Tally::add(&self.tally.dtls_over_budget),
        }
    }

    /// A datagram of a handshake under way.
    fn shake(&mut self, now: Instant, id: ClientId, datagram: &[u8]) {
        let Some(client) = self.clients.get(id) else {
            return;
        };
        let (socket, way) = (client.socket, client.way);
        let Some(pending) = &mut client.pending else {
            return;
        };
        let stranger = !pending.association.is_verified();
        if stranger && !self.rate.has_any(now) {
            // It is repeated when there is time.
            Tally::add(&self.tally.dtls_over_budget);
            return;
        }
        let result = pending.association.receive(now, datagram);
        if stranger && pending.association.is_verified() {
            // Was there a moment ago.
            let _ = self.rate.take_any(now);
        }
        match result {
            Ok(reaction) => {
                self.transmit(socket, way, &reaction);
                if reaction.connected {
                    self.establish(id);
                }
                self.settle(id, &reaction);
            }
            Err(error) => self.shaken_off(id, &error),
        }
    }

    fn shaken_off(&mut self, id: ClientId, error: &dimpl::Error) {
        let Some(pending) = self.clients.end_pending(id) else {
            return;
        };
        if pending.association.is_verified() {
            tracing::debug!(?error, "a DTLS handshake failed");
            self.tally.dtls_failed(match error {
                dimpl::Error::Timeout(_) => Failure::Timeout,
                dimpl::Error::ConnectionClosed => Failure::Gone,
                dimpl::Error::SecurityError(dimpl::SecurityError::FatalAlert { .. }) => {
                    Failure::Alert
                }
                dimpl::Error::SecurityError(_) => Failure::NothingCommon,
                _ => Failure::Protocol,
            });
        }
    }

    /// Gives a client whose handshake is done to a worker.
    fn establish(&mut self, id: ClientId) {
        let Some(client) = self.clients.get(id) else {
            return;
        };
        let local = SocketAddr::new(client.way.local, self.sockets[client.socket].port());
        let remote = client.way.client;
        Tally::per(&self.tally.handshakes, ClientTransport::Dtls);
        let pair = socketpair(
            AddressFamily::Unix,
            SockType::SeqPacket,
            None,
            SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK,
        );
        let watched = pair.and_then(|(ours, theirs)| {
            let event = EpollEvent::new(EpollFlags::EPOLLIN, CLIENT | u64::from(id.place));
            self.epoll.add(&ours, event)?;
            Ok((ours, theirs))
        });
        let Ok((ours, theirs)) = watched else {
            self.tally.refuse(Refusal::System);
            self.clients.end_pending(id);
            return;
        };
        // The old one's worker sees the end of its pair before it is told of
        // the new one.
        drop(self.clients.establish(id, ours));
        self.workers.adopt(
            Connection {
                socket: theirs,
                client: remote,
                local,
                transport: ClientTransport::Dtls,
                speaks: Speaks::Turn,
                tls: None,
                plain: Vec::new(),
                early: Vec::new(),
            },
            None,
        );
    }

    /// A datagram of an association that lives.
    fn hear(&mut self, now: Instant, id: ClientId, datagram: &[u8]) {
        let Some(client) = self.clients.get(id) else {
            return;
        };
        let (socket, way) = (client.socket, client.way);
        let Some(live) = &mut client.live else { return };
        match live.association.receive(now, datagram) {
            Ok(reaction) => {
                self.transmit(socket, way, &reaction);
                self.settle(id, &reaction);
            }
            Err(_) => drop(self.clients.end_live(id)),
        }
    }

    /// Hands messages on, and sees whether that was the last.
    fn settle(&mut self, id: ClientId, reaction: &Reaction) {
        let Some(client) = self.clients.get(id) else {
            return;
        };
        let Some(live) = &client.live else {
            self.clients.schedule(id);
            return;
        };
        for message in &reaction.messages {
            if send(
                live.pair.as_raw_fd(),
                message,
                MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL,
            )
            .is_err()
            {
                Tally::add(&self.tally.dtls_dropped);
            }
        }
        if reaction.closed {
            drop(self.clients.end_live(id));
        } else {
            self.clients.schedule(id);
        }
    }

    fn transmit(&self, socket: usize, way: Way, reaction: &Reaction) {
        for datagram in &reaction.datagrams {
            if !self.sockets[socket].send(way, datagram) {
                Tally::add(&self.tally.dtls_dropped);
            }
        }
    }

    /// What a worker has for a client.
    fn take_from_worker(&mut self, place: u32) {
        let Some(id) = self.clients.at(place) else {
            return;
        };
        let mut buffer = std::mem::take(&mut self.buffer);
        for _ in 0..AT_ONCE {
            let Some(client) = self.clients.get(id) else {
                break;
            };
            let (socket, way) = (client.socket, client.way);
            let Some(live) = &mut client.live else { break };
            let count = match recv(live.pair.as_raw_fd(), &mut buffer, MsgFlags::MSG_DONTWAIT) {
                Ok(0) => {
                    self.closed_by_worker(id);
                    break;
                }
                Ok(count) => count,
                Err(Errno::EAGAIN | Errno::EINTR) => break,
                Err(_) => {
                    self.closed_by_worker(id);
                    break;
                }
            };
            if count > LONGEST_MESSAGE {
                Tally::add(&self.tally.dtls_dropped);
                continue;
            }
            match live.association.send(&buffer[..count]) {
                Ok(reaction) => self.transmit(socket, way, &reaction),
                Err(_) => {
                    drop(self.clients.end_live(id));
                    break;
                }
            }
        }
        self.buffer = buffer;
        self.clients.schedule(id);
    }

    fn closed_by_worker(&mut self, id: ClientId) {
        let Some(client) = self.clients.get(id) else {
            return;
        };
        let (socket, way) = (client.socket, client.way);
        if let Some(Live {
            mut association, ..
        }) = self.clients.end_live(id)
        {
            self.transmit(socket, way, &association.close());
        }
    }

    fn expire(&mut self, now: Instant) {
        for _ in 0..TIMERS {
            let Some(id) = self.clients.take_due(now) else {
                return;
            };
            let Some(client) = self.clients.get(id) else {
                continue;
            };
            let (socket, way) = (client.socket, client.way);
            if let Some(live) = &mut client.live
                && live.association.deadline().is_some_and(|at| at <= now)
            {
                match live.association.timeout(now) {
                    Ok(reaction) => {
                        self.transmit(socket, way, &reaction);
                        self.settle(id, &reaction);
                    }
                    Err(_) => drop(self.clients.end_live(id)),
                }
            }
            let Some(client) = self.clients.get(id) else {
                continue;
            };
            if let Some(pending) = &mut client.pending {
                if pending.give_up <= now {
                    if let Some(pending) = self.clients.end_pending(id)
                        && pending.association.is_verified()
                    {
                        self.tally.dtls_failed(Failure::Timeout);
                    }
                } else if pending.association.deadline().is_some_and(|at| at <= now) {
                    match pending.association.timeout(now) {
                        Ok(reaction) => self.transmit(socket, way, &reaction),
                        Err(error) => self.shaken_off(id, &error),
                    }
                }
            }
            self.clients.schedule(id);
        }
    }
}
