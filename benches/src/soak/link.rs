//! How a client of the soak reaches the server: message by message over UDP,
//! TCP or TLS.

use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, StreamOwned};
use serde::Serialize;
use socket2::SockRef;

use crate::turn_client::message::framed_length;

/// The longest a stream may be silent when something is due.
const STREAM_PATIENCE: Duration = Duration::from_secs(5);
/// The same for a datagram, before it is sent again.
pub(super) const DATAGRAM_PATIENCE: Duration = Duration::from_secs(1);

/// What a client speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Transport {
    /// Datagrams.
    Udp,
    /// A plain stream.
    Tcp,
    /// TLS over TCP, its certificate verified.
    Tls,
}

impl Transport {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Udp, Self::Tcp, Self::Tls];

    /// Name in tables.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Udp => "udp",
            Self::Tcp => "tcp",
            Self::Tls => "tls",
        }
    }
}

/// One connection.
pub(super) enum Link {
    Udp(UdpSocket),
    Tcp(TcpStream),
    Tls(Box<StreamOwned<ClientConnection, TcpStream>>),
}

impl Link {
    pub(super) fn open(
        transport: Transport,
        server: SocketAddr,
        local: IpAddr,
        trust: &Arc<ClientConfig>,
    ) -> Result<Self> {
        if transport == Transport::Udp {
            let socket = UdpSocket::bind((local, 0))?;
            socket.connect(server)?;
            socket.set_read_timeout(Some(DATAGRAM_PATIENCE))?;
            return Ok(Self::Udp(socket));
        }
        let stream = TcpStream::connect(server)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(STREAM_PATIENCE))?;
        stream.set_write_timeout(Some(STREAM_PATIENCE))?;
        if transport == Transport::Tcp {
            return Ok(Self::Tcp(stream));
        }
        let name = ServerName::from(server.ip());
        let session = ClientConnection::new(Arc::clone(trust), name)?;
        let mut stream = StreamOwned::new(session, stream);
        while stream.conn.is_handshaking() {
            let (session, socket) = (&mut stream.conn, &mut stream.sock);
            session.complete_io(socket).context("TLS handshake")?;
        }
        Ok(Self::Tls(Box::new(stream)))
    }

    pub(super) const fn is_datagram(&self) -> bool {
        matches!(self, Self::Udp(_))
    }

    /// Sends a message, padded where it has to be.
    pub(super) fn send(&mut self, message: &[u8]) -> Result<()> {
        let mut padded = message.to_vec();
        padded.resize(message.len().next_multiple_of(4), 0);
        match self {
            Self::Udp(socket) => socket.send(message).map(drop)?,
            Self::Tcp(stream) => stream.write_all(&padded)?,
            Self::Tls(stream) => stream.write_all(&padded)?,
        }
        Ok(())
    }

    /// The next message, padding included; nothing when a datagram does not
    /// come in time.
    pub(super) fn receive(&mut self) -> Result<Option<Vec<u8>>> {
        match self {
            Self::Udp(socket) => {
                let mut buffer = vec![0; 2048];
                match socket.recv(&mut buffer) {
                    Ok(length) => {
                        buffer.truncate(length);
                        Ok(Some(buffer))
                    }
                    Err(error)
                        if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) =>
                    {
                        Ok(None)
                    }
                    Err(error) => Err(error.into()),
                }
            }
            Self::Tcp(stream) => framed(stream).map(Some),
            Self::Tls(stream) => framed(stream).map(Some),
        }
    }

    /// Ends a connection the rude way: by a reset.
    pub(super) fn reset(self) {
        let stream = match &self {
            Self::Udp(_) => return,
            Self::Tcp(stream) => stream,
            Self::Tls(stream) => &stream.sock,
        };
        // Closed either way.
        let _ = SockRef::from(stream).set_linger(Some(Duration::ZERO));
    }
}

fn framed(stream: &mut impl Read) -> Result<Vec<u8>> {
    let mut head = [0; 4];
    stream
        .read_exact(&mut head)
        .context("the stream ended, or is silent")?;
    let mut message = vec![0; framed_length(head)];
    message[..4].copy_from_slice(&head);
    stream.read_exact(&mut message[4..])?;
    Ok(message)
}
