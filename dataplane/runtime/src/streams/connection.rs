//! A connection on its way from the thread that accepted it to a worker.

use std::fmt;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use forebay_sys::Errno;

/// What the kernel may hold of a connection before it is on its way, bytes:
/// media that waits longer than that takes is worth less than what follows.
const UNSENT: u32 = 128 << 10;
/// The same where a session's media goes: a second of it would be too late.
const UNSENT_MEDIA: u32 = 48 << 10;
/// How long what is on its way may stay unacknowledged before the kernel gives
/// the connection up.
const UNACKNOWLEDGED: Duration = Duration::from_secs(30);

/// How a client is connected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ClientTransport {
    /// A TCP socket.
    Tcp,
    /// A TCP socket whose TLS handshake is done.
    Tls,
    /// One end of an AF_UNIX pair of type SOCK_SEQPACKET: each packet is one
    /// message, decrypted and encrypted at the other end. A message that finds
    /// the pair full is lost, as it would be on the way.
    Dtls,
}

/// What goes over a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Speaks {
    /// TURN: STUN and ChannelData (RFC 8656 §3.1).
    Turn,
    /// A session's checks, handshake and media (RFC 6544), each packet with
    /// its length before it (RFC 4571); over TCP alone.
    Media,
}

/// A client's connection, ready for a worker.
pub struct Connection {
    /// The socket.
    pub socket: OwnedFd,
    /// The client's address; behind a proxy, the one the proxy states.
    pub client: SocketAddr,
    /// The address the client connected to; behind a proxy, the one the proxy
    /// states.
    pub local: SocketAddr,
    /// What `socket` is.
    pub transport: ClientTransport,
    /// What goes over it.
    pub speaks: Speaks,
    /// For TLS: its state. It may hold records that were not decrypted yet and
    /// plaintext that was not read; what it wants to write is written by the
    /// worker.
    pub tls: Option<Box<rustls::ServerConnection>>,
    /// For TLS: what was decrypted and read already, the beginning of what the
    /// client says. At most [`Connection::EARLY`].
    pub plain: Vec<u8>,
    /// Bytes read from the socket that were not consumed: messages for TCP,
    /// TLS records for TLS, nothing for DTLS. At most
    /// [`Connection::EARLY`].
    pub early: Vec<u8>,
}

impl Connection {
    /// The most bytes in [`Connection::early`] and [`Connection::plain`].
    pub const EARLY: usize = 16 << 10;

    /// Sets the socket up as a worker needs it.
    pub(crate) fn prepare(&self) -> Result<(), Errno> {
        let socket = self.socket.as_fd();
        forebay_sys::streams::set_blocking(socket)?;
        let unsent = match self.speaks {
            Speaks::Turn => UNSENT,
            Speaks::Media => UNSENT_MEDIA,
        };
        match self.transport {
            ClientTransport::Tcp | ClientTransport::Tls => {
                forebay_sys::streams::tune(socket, unsent, UNACKNOWLEDGED)
            }
            ClientTransport::Dtls => Ok(()),
        }
    }
}

/// Sets a socket up that is, or is going to be, connected to a peer.
pub(crate) fn prepare_peer(socket: BorrowedFd<'_>) -> Result<(), Errno> {
    forebay_sys::streams::tune(socket, UNSENT, UNACKNOWLEDGED)
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection")
            .field("client", &self.client)
            .field("local", &self.local)
            .field("transport", &self.transport)
            .field("speaks", &self.speaks)
            .finish_non_exhaustive()
    }
}
