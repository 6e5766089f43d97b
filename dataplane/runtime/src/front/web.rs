//! Visitors that are not TURN: passed on to a web server, or told where they
//! are.

use std::cell::Cell;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, split};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_rustls::server::TlsStream;

use super::tally::{Tally, Web};

/// Bytes on their way through us, each direction of each connection.
const BUFFER: usize = 16 << 10;
/// A web server that is meant to be near is down when it takes longer.
const CONNECT: Duration = Duration::from_secs(5);
/// The whole of a conversation with a visitor that is not passed on.
const ANSWER: Duration = Duration::from_secs(10);
/// The longest request that is read before it is answered.
const LONGEST_REQUEST: usize = 8 << 10;

const WELCOME: &str = "This is a TURN server (RFC 8656).\n";
const UNREACHABLE: &str = "The web server behind this port does not answer.\n";

/// A visitor, with what it said so far where that was read already.
pub(super) enum Visitor {
    /// HTTP within TLS.
    Tls(Box<TlsStream<TcpStream>>),
    /// HTTP without TLS.
    Plain(TcpStream, Vec<u8>),
    /// TLS for another server's name.
    OtherName(TcpStream, Vec<u8>),
}

/// Where visitors go.
#[derive(Debug, Clone, Copy)]
pub(super) struct Servers {
    pub(super) backend: Option<SocketAddr>,
    pub(super) passthrough: Option<SocketAddr>,
    pub(super) idle: Duration,
}

impl Visitor {
    /// Sees to the visitor until it or the web server goes.
    pub(super) async fn serve(self, servers: Servers, tally: &Tally) {
        match (self, servers.backend, servers.passthrough) {
            (Self::Tls(stream), Some(backend), _) => match connect(backend).await {
                Some(server) => {
                    tally.web(Web::Backend);
                    join(*stream, server, servers.idle).await;
                }
                None => {
                    tally.web(Web::Unreachable);
                    answer(*stream, Vec::new(), "502 Bad Gateway", UNREACHABLE).await;
                }
            },
            (Self::OtherName(stream, read), _, Some(passthrough)) => {
                match connect(passthrough).await {
                    Some(mut server) => {
                        tally.web(Web::Passthrough);
                        if server.write_all(&read).await.is_ok() {
                            join(stream, server, servers.idle).await;
                        }
                    }
                    None => tally.web(Web::Unreachable),
                }
            }
            (Self::Tls(stream), None, _) => {
                tally.web(Web::Answer);
                answer(*stream, Vec::new(), "200 OK", WELCOME).await;
            }
            (Self::Plain(stream, read), ..) => {
                tally.web(Web::Answer);
                answer(stream, read, "200 OK", WELCOME).await;
            }
            // Refused before it became a visitor.
            (Self::OtherName(..), _, None) => {}
        }
    }
}

async fn connect(address: SocketAddr) -> Option<TcpStream> {
    let connecting = timeout(CONNECT, TcpStream::connect(address)).await;
    let stream = connecting.ok()?.ok()?;
    stream.set_nodelay(true).ok()?;
    Some(stream)
}

/// Waits for the end of a request's head and answers it. HTTP/1.1 alone: no
/// other version is agreed on without a backend.
async fn answer(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    mut request: Vec<u8>,
    status: &str,
    text: &str,
) {
    let conversation = async {
        while !request.windows(4).any(|four| four == b"\r\n\r\n") && request.len() < LONGEST_REQUEST
        {
            if stream.read_buf(&mut request).await? == 0 {
                return Ok(());
            }
        }
        let body = if request.starts_with(b"HEAD ") {
            ""
        } else {
            text
        };
        let response = format!(
            "HTTP/1.1 {status}\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: {}\r\nConnection: \
             close\r\n\r\n{body}",
            text.len()
        );
        stream.write_all(response.as_bytes()).await?;
        stream.flush().await?;
        stream.shutdown().await?;
        // What it still sends would turn our end into a reset, and the answer
        // be lost.
        let mut rest = [0; 1024];
        while stream.read(&mut rest).await? > 0 {}
        Ok::<_, io::Error>(())
    };
    // However it ended, it is over.
    let _ = timeout(ANSWER, conversation).await;
}

/// Copies both ways until both are done, one breaks, or neither said anything
/// for so long.
async fn join(
    visitor: impl AsyncRead + AsyncWrite,
    server: impl AsyncRead + AsyncWrite,
    idle: Duration,
) {
    let heard = Cell::new(Instant::now());
    let (from_visitor, to_visitor) = split(visitor);
    let (from_server, to_server) = split(server);
    let both = async {
        tokio::try_join!(
            copy(from_visitor, to_server, &heard),
            copy(from_server, to_visitor, &heard),
        )
    };
    let silence = async {
        loop {
            let end = heard.get() + idle;
            sleep_until(end).await;
            if heard.get() + idle <= end {
                return;
            }
        }
    };
    tokio::select! {
        _ = both => {}
        () = silence => {}
    }
}

async fn copy(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    heard: &Cell<Instant>,
) -> io::Result<()> {
    let mut buffer = vec![0; BUFFER];
    loop {
        let count = from.read(&mut buffer).await?;
        heard.set(Instant::now());
        if count == 0 {
            return to.shutdown().await;
        }
        to.write_all(&buffer[..count]).await?;
        to.flush().await?;
        heard.set(Instant::now());
    }
}
