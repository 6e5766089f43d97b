//! One TCP connection from its first byte to where it belongs.

use std::cell::{Cell, RefCell};
use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ipnet::IpNet;
use rustls::server::Accepted;
use socket2::SockRef;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};
use tokio_rustls::server::TlsStream;

use super::admission::{HalfOpen, Place, Prefix, Rate};
use super::first_message::First;
use super::opening::Opening;
use super::owners::{Greeting, Owners};
use super::proxy_protocol::{self, Origin};
use super::tally::{Failure, Refusal, Tally};
use super::tls::{self, Configs, Purpose};
use super::web::{Servers, Visitor};
use super::workers::Workers;
use crate::streams::{ClientTransport, Connection, Speaks};

/// What is read at first; most clients say less before they get an answer.
const FIRST_READ: usize = 2048;
/// A pause when the kernel gives no connection although one waits: out of
/// descriptors, most likely.
const EXHAUSTED: Duration = Duration::from_millis(100);

/// What all connections share.
pub(super) struct Entrance {
    pub(super) tally: Arc<Tally>,
    pub(super) workers: Workers,
    pub(super) proxies: Vec<IpNet>,
    pub(super) names: Vec<String>,
    pub(super) configs: Option<Configs>,
    pub(super) servers: Servers,
    pub(super) half_open: HalfOpen,
    pub(super) rate: RefCell<Rate>,
    pub(super) web: Arc<Semaphore>,
    pub(super) timeout: Duration,
    pub(super) owners: Arc<Owners>,
}

/// Which port a connection came to.
#[derive(Clone, Copy)]
pub(super) enum Door {
    /// One of TURN and the web.
    Front,
    /// That of media.
    Media,
}

/// Who is connected to what: as the socket says, or a proxy.
#[derive(Clone, Copy)]
struct Ends {
    client: SocketAddr,
    local: SocketAddr,
}

/// Where a connection belongs.
enum Found {
    /// With the CONNECTION-ID of a ConnectionBind that it begins with.
    Stream(Box<Connection>, Option<u32>),
    /// Its session's worker has to take it.
    Media(u16, Box<Connection>),
    Web(Visitor),
}

enum End {
    Refused(Refusal),
    Failed(Failure),
}

impl From<Refusal> for End {
    fn from(why: Refusal) -> Self {
        Self::Refused(why)
    }
}

/// Accepts for ever.
pub(super) async fn accept(listener: TcpListener, door: Door, entrance: Rc<Entrance>) {
    loop {
        let (stream, peer) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => continue,
            Err(_) => {
                entrance.tally.refuse(Refusal::System);
                sleep(EXHAUSTED).await;
                continue;
            }
        };
        Tally::add(&entrance.tally.accepted);
        match entrance.half_open.enter() {
            Ok(place) => {
                tokio::task::spawn_local(Rc::clone(&entrance).serve(stream, door, peer, place));
            }
            Err(why) => {
                entrance.tally.refuse(why);
                reset(&stream);
            }
        }
    }
}

/// Closes without the kernel having to remember it for a minute.
fn reset(stream: &TcpStream) {
    // It is closed either way.
    let _ = SockRef::from(stream).set_linger(Some(Duration::ZERO));
}

impl Entrance {
    async fn serve(
        self: Rc<Self>,
        stream: TcpStream,
        door: Door,
        peer: SocketAddr,
        mut place: Place,
    ) {
        let shaking = Cell::new(false);
        let find = self.find(stream, door, peer, &mut place, &shaking);
        let found = timeout(self.timeout, find).await;
        let found = match found {
            Ok(found) => found,
            Err(_) if shaking.get() => Err(End::Failed(Failure::Timeout)),
            Err(_) => Err(End::Refused(Refusal::Timeout)),
        };
        drop(place);
        match found {
            Ok(Found::Stream(connection, binds)) => self.workers.adopt(*connection, binds),
            Ok(Found::Media(worker, connection)) => self.workers.give(worker, *connection),
            Ok(Found::Web(visitor)) => match Arc::clone(&self.web).try_acquire_owned() {
                Ok(_permit) => visitor.serve(self.servers, &self.tally).await,
                Err(_) => self.tally.refuse(Refusal::Web),
            },
            Err(End::Refused(why)) => self.tally.refuse(why),
            Err(End::Failed(why)) => self.tally.tls_failed(why),
        }
    }

    async fn find(
        &self,
        mut stream: TcpStream,
        door: Door,
        peer: SocketAddr,
        place: &mut Place,
        shaking: &Cell<bool>,
    ) -> Result<Found, End> {
        let mut ends = Ends {
            client: canonical(peer),
            local: canonical(stream.local_addr().map_err(|_| Refusal::Gone)?),
        };
        let mut read = Vec::with_capacity(FIRST_READ);
        if self
            .proxies
            .iter()
            .any(|net| net.contains(&ends.client.ip()))
        {
            self.proxied(&mut stream, &mut read, &mut ends).await?;
        }
        let prefix = Prefix::of(ends.client.ip());
        let entered = place.is_from(prefix);
        if let Err(why) = entered {
            reset(&stream);
            return Err(why.into());
        }
        if read.is_empty() {
            more(&mut stream, &mut read).await?;
        }
        if let Door::Media = door {
            let worker = self.greet(&mut stream, &mut read).await?;
            self.admit(prefix, &stream)?;
            let connection = plain(stream, Speaks::Media, ends, read)?;
            return Ok(Found::Media(worker, connection));
        }
        match Opening::of(read[0]) {
            Opening::Turn => {
                self.admit(prefix, &stream)?;
                let binds = first_message(&mut stream, &mut read).await?;
                let connection = plain(stream, Speaks::Turn, ends, read)?;
                Ok(Found::Stream(connection, binds))
            }
            Opening::Tls => {
                let Some(configs) = &self.configs else {
                    return Err(Refusal::NoCertificate.into());
                };
                shaking.set(true);
                let accepted = tls::hello(&mut stream, &mut read)
                    .await
                    .map_err(End::Failed)?;
                if !self.is_ours(&accepted) {
                    shaking.set(false);
                    return match self.servers.passthrough {
                        Some(_) => Ok(Found::Web(Visitor::OtherName(stream, read))),
                        None => Err(Refusal::OtherName.into()),
                    };
                }
                self.admit(prefix, &stream)?;
                let (stream, purpose) =
                    configs.shake(stream, accepted).await.map_err(End::Failed)?;
                shaking.set(false);
                Tally::per(&self.tally.handshakes, ClientTransport::Tls);
                sort(stream, purpose, ends).await
            }
            Opening::Http if proxy_protocol::parse(&read).is_ok() => {
                Err(Refusal::ProxyHeader.into())
            }
            Opening::Http => Ok(Found::Web(Visitor::Plain(stream, read))),
            Opening::Other if proxy_protocol::parse(&read).is_ok() => {
                Err(Refusal::ProxyHeader.into())
            }
            Opening::Other => Err(Refusal::Unknown.into()),
        }
    }

    /// Reads the first check of a connection of media; the worker of the
    /// session it is for.
    async fn greet(&self, stream: &mut TcpStream, read: &mut Vec<u8>) -> Result<u16, Refusal> {
        loop {
            match self.owners.greet(read) {
                Greeting::Owned(worker) => return Ok(worker),
                Greeting::Stranger => {
                    reset(stream);
                    return Err(Refusal::NoSession);
                }
                Greeting::Foreign => {
                    reset(stream);
                    return Err(Refusal::Unknown);
                }
                Greeting::Incomplete => more(stream, read).await?,
            }
        }
    }

    /// Takes the header of the PROXY protocol off what is read.
    async fn proxied(
        &self,
        stream: &mut TcpStream,
        read: &mut Vec<u8>,
        ends: &mut Ends,
    ) -> Result<(), Refusal> {
        loop {
            more(stream, read).await?;
            match proxy_protocol::parse(read) {
                Ok(Some((length, origin))) => {
                    read.drain(..length);
                    if let Origin::Proxied {
                        source,
                        destination,
                    } = origin
                    {
                        *ends = Ends {
                            client: source,
                            local: destination,
                        };
                    }
                    return Ok(());
                }
                Ok(None) if read.len() < proxy_protocol::LONGEST => {}
                Ok(None) | Err(_) => return Err(Refusal::NoProxyHeader),
            }
        }
    }

    fn is_ours(&self, accepted: &Accepted) -> bool {
        match accepted.client_hello().server_name() {
            Some(name) if !self.names.is_empty() => self
                .names
                .iter()
                .any(|ours| ours.eq_ignore_ascii_case(name)),
            _ => true,
        }
    }

    fn admit(&self, prefix: Prefix, stream: &TcpStream) -> Result<(), End> {
        let taken = self.rate.borrow_mut().take(Instant::now(), prefix);
        taken.map_err(|why| {
            reset(stream);
            End::Refused(why)
        })
    }
}

/// By what was agreed on, or else by the first byte, which stays in the
/// connection for the worker.
async fn sort(
    mut stream: TlsStream<TcpStream>,
    purpose: Purpose,
    ends: Ends,
) -> Result<Found, End> {
    let opening = match purpose {
        Purpose::Turn => Opening::Turn,
        Purpose::Web => Opening::Http,
        Purpose::Unsaid => match stream.fill_buf().await {
            Ok([first, ..]) => Opening::of(*first),
            Ok([]) | Err(_) => return Err(Refusal::Gone.into()),
        },
    };
    if opening != Opening::Turn {
        return Ok(Found::Web(Visitor::Tls(Box::new(stream))));
    }
    let mut plain = Vec::with_capacity(FIRST_READ);
    let binds = first_message(&mut stream, &mut plain).await?;
    let (stream, session) = stream.into_inner();
    let connection = Connection {
        socket: descriptor(stream)?,
        client: ends.client,
        local: ends.local,
        transport: ClientTransport::Tls,
        speaks: Speaks::Turn,
        tls: Some(Box::new(session)),
        plain,
        early: Vec::new(),
    };
    Ok(Found::Stream(Box::new(connection), binds))
}

/// Reads until it is known whether the first message is a ConnectionBind; gives
/// its CONNECTION-ID.
async fn first_message(
    stream: &mut (impl AsyncRead + Unpin),
    read: &mut Vec<u8>,
) -> Result<Option<u32>, Refusal> {
    loop {
        match First::of(read) {
            First::Incomplete => more(stream, read).await?,
            First::Bind(id) => return Ok(Some(id)),
            First::Other => return Ok(None),
        }
    }
}

fn plain(
    stream: TcpStream,
    speaks: Speaks,
    ends: Ends,
    early: Vec<u8>,
) -> Result<Box<Connection>, Refusal> {
    Ok(Box::new(Connection {
        socket: descriptor(stream)?,
        client: ends.client,
        local: ends.local,
        transport: ClientTransport::Tcp,
        speaks,
        tls: None,
        plain: Vec::new(),
        early,
    }))
}

/// Reads once more.
async fn more(stream: &mut (impl AsyncRead + Unpin), read: &mut Vec<u8>) -> Result<(), Refusal> {
    match stream.read_buf(read).await {
        Ok(0) | Err(_) => Err(Refusal::Gone),
        Ok(_) => Ok(()),
    }
}

fn descriptor(stream: TcpStream) -> Result<OwnedFd, Refusal> {
    stream
        .into_std()
        .map(OwnedFd::from)
        .map_err(|_| Refusal::System)
}

/// IPv4 in IPv6 is IPv4.
fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}
