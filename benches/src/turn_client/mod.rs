//! A TURN client that holds many allocations, one socket per allocation: over
//! UDP with many requests in flight, over TCP and TLS in [`streams`].

mod access;
mod credentials;
mod exchange;
pub(crate) mod message;
pub mod streams;

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

use access::Access;
pub use credentials::Credentials;
pub use message::channel_data;
use message::{BINDING, Request, Response};

/// The channel every allocation binds to its peer.
pub const CHANNEL: u16 = 0x4000;

/// Requests kept in flight unless stated otherwise.
pub const IN_FLIGHT: usize = 64;

/// Lifetime asked for, seconds.
const LIFETIME_SECONDS: u32 = 3600;

/// Permissions live five minutes (RFC 8656 §9); channels are bound again well
/// before.
const REFRESH_AFTER: Duration = Duration::from_secs(120);

/// A server that keeps saying 401 or 438 refuses the credentials.
const CHALLENGES: u32 = 3;

/// What to ask of the server for every allocation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// An allocation, without credentials first.
    Allocate,
    /// A channel, and with it a permission, to the allocation's peer.
    Bind,
    /// The end of the allocation.
    Release,
}

/// What the server gave one client.
#[derive(Debug, Default)]
struct Flow {
    relay: Option<SocketAddr>,
    peer: Option<SocketAddr>,
    nonce: Vec<u8>,
}

/// Many allocations at one server.
pub struct Session {
    access: Access,
    clients: Vec<UdpSocket>,
    flows: Vec<Flow>,
    bound_at: Option<Instant>,
}

impl Session {
    /// Opens `count` client sockets connected to `server`, on the addresses
    /// `locals` in turn, at `first_port` upwards or at ports of the kernel's
    /// choice.
    ///
    /// # Errors
    /// When a socket cannot be opened.
    pub fn open(
        server: SocketAddr,
        locals: &[IpAddr],
        first_port: Option<u16>,
        count: usize,
        credentials: Credentials,
    ) -> Result<Self> {
        let clients = connected_sockets(locals, first_port, count, |_| server)?;
        let flows = clients.iter().map(|_| Flow::default()).collect();
        Ok(Self {
            access: Access::new(credentials)?,
            clients,
            flows,
            bound_at: None,
        })
    }

    /// The client sockets, connected to the server.
    #[must_use]
    pub fn clients(&self) -> &[UdpSocket] {
        &self.clients
    }

    /// The relayed address of each allocation.
    ///
    /// # Errors
    /// Before the allocations are made.
    pub fn relays(&self) -> Result<Vec<SocketAddr>> {
        self.flows
            .iter()
            .map(|flow| flow.relay.context("not allocated"))
            .collect()
    }

    /// Sets where each allocation's channel shall lead.
    pub fn set_peers(&mut self, peer: impl Fn(usize) -> SocketAddr) {
        for (index, flow) in self.flows.iter_mut().enumerate() {
            flow.peer = Some(peer(index));
        }
    }

    /// Carries `step` out for every allocation with `in_flight` requests
    /// outstanding, and returns how long that took.
    ///
    /// # Errors
    /// When the server refuses, or stays silent over all retransmissions.
    pub fn run(&mut self, step: Step, in_flight: usize) -> Result<Duration> {
        let started = Instant::now();
        exchange::run(self, step, in_flight)?;
        if step == Step::Bind {
            self.bound_at = Some(Instant::now());
        }
        Ok(started.elapsed())
    }

    /// Binds the channels again when they have grown old. Call between
    /// measurements.
    ///
    /// # Errors
    /// As [`Session::run`].
    pub fn keep_alive(&mut self) -> Result<()> {
        if self.bound_at.is_some_and(|at| at.elapsed() > REFRESH_AFTER) {
            self.run(Step::Bind, IN_FLIGHT)?;
        }
        Ok(())
    }

    /// Ends the allocations and closes the sockets.
    ///
    /// # Errors
    /// As [`Session::run`].
    pub fn release(mut self) -> Result<()> {
        self.run(Step::Release, IN_FLIGHT).map(drop)
    }
}

/// `count` non-blocking UDP sockets on the addresses `locals` in turn, the
/// i-th connected to `remote(i)`.
///
/// # Errors
/// When one cannot be opened.
pub fn connected_sockets(
    locals: &[IpAddr],
    first_port: Option<u16>,
    count: usize,
    remote: impl Fn(usize) -> SocketAddr,
) -> Result<Vec<UdpSocket>> {
    let mut sockets = Vec::with_capacity(count);
    for (index, local) in (0..count).zip(locals.iter().cycle()) {
        let port = match first_port {
            Some(first) => first
                .checked_add(u16::try_from(index)?)
                .context("not that many ports")?,
            None => 0,
        };
        let socket = UdpSocket::bind((*local, port))
            .with_context(|| format!("cannot open client socket {index} on {local}:{port}"))?;
        socket.connect(remote(index))?;
        socket.set_nonblocking(true)?;
        sockets.push(socket);
    }
    Ok(sockets)
}

/// Waits until a server answers a STUN Binding request.
///
/// # Errors
/// When `patience` runs out.
pub fn wait_until_answering(server: SocketAddr, local: IpAddr, patience: Duration) -> Result<()> {
    let socket = UdpSocket::bind((local, 0))?;
    socket.set_read_timeout(Some(Duration::from_millis(50)))?;
    let started = Instant::now();
    let id = [1; 12];
    let request = Request::new(BINDING, &id).finish(None);
    let mut buffer = [0; 1500];
    while started.elapsed() < patience {
        // Refused while nobody listens yet.
        let _ = socket.send_to(&request, server);
        if let Ok(length) = socket.recv(&mut buffer)
            && Response::parse(&buffer[..length]).is_some_and(|response| response.answers(&id))
        {
            return Ok(());
        }
        thread::sleep(Duration::from_millis(20));
    }
    bail!("{server} does not answer a Binding request")
}
