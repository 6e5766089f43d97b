//! DTLS clients (RFC 6347, RFC 9147), on a thread of their own. To a worker
//! each is one end of a pair of sockets with one message per packet.

mod association;
mod bridge;
mod clients;
mod datagrams;

use std::net::UdpSocket;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags};
use nix::sys::eventfd::{EfdFlags, EventFd};

use super::certificate::Certificates;
use super::tally::Tally;
use super::workers::Workers;
use crate::worker::StartError;
use association::Terms;
use bridge::{Bridge, STOP};
use clients::Clients;
use datagrams::Datagrams;

/// How much of it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    pub(super) clients: usize,
    pub(super) half_open: u32,
    pub(super) half_open_per_source: u32,
    pub(super) per_second: u32,
    pub(super) per_source: u32,
    pub(super) timeout: Duration,
}

/// The thread. Dropping it ends it and its associations.
pub(super) struct DtlsThread {
    stop: Arc<EventFd>,
    thread: Option<JoinHandle<()>>,
}

impl DtlsThread {
    pub(super) fn start(
        sockets: Vec<UdpSocket>,
        limits: Limits,
        certificates: Arc<Certificates>,
        workers: Workers,
        tally: Arc<Tally>,
    ) -> Result<Self, StartError> {
        let failed = |what: &str, error: &dyn std::fmt::Display| {
            StartError::Host(format!("DTLS: {what}: {error}"))
        };
        let terms = Terms::new(limits.timeout)
            .ok_or_else(|| failed("the crypto provider is not usable", &"refused"))?;
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)
            .map_err(|errno| failed("no epoll", &errno))?;
        let stop = EventFd::from_flags(EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK)
            .map_err(|errno| failed("no eventfd", &errno))?;
        let stop = Arc::new(stop);
        let watched = |errno: nix::errno::Errno| failed("cannot watch a socket", &errno);
        epoll
            .add(&*stop, EpollEvent::new(EpollFlags::EPOLLIN, STOP))
            .map_err(watched)?;
        let mut listening = Vec::with_capacity(sockets.len());
        for (place, socket) in sockets.into_iter().enumerate() {
            let socket = Datagrams::new(socket).map_err(watched)?;
            let event = EpollEvent::new(EpollFlags::EPOLLIN, place as u64);
            epoll.add(&socket, event).map_err(watched)?;
            listening.push(socket);
        }
        let clients = Clients::new(
            limits.clients.saturating_add(limits.half_open as usize),
            limits.half_open as usize,
            limits.half_open_per_source as usize,
        );
        let bridge = Bridge::new(
            epoll,
            listening,
            clients,
            terms,
            limits,
            certificates,
            workers,
            tally,
        );
        let thread = std::thread::Builder::new()
            .name("front-dtls".to_owned())
            .spawn(move || bridge.run())
            .map_err(|error| failed("no thread", &error))?;
        Ok(Self {
            stop,
            thread: Some(thread),
        })
    }

    pub(super) fn is_finished(&self) -> bool {
        self.thread.as_ref().is_none_or(JoinHandle::is_finished)
    }
}

impl Drop for DtlsThread {
    fn drop(&mut self) {
        // Fails only when it was written before.
        let _ = self.stop.write(1);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
