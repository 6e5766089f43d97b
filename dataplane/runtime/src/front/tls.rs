//! TLS: the hello, what is offered in answer, and why a handshake failed.

use std::io;
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::server::{Accepted, Acceptor, ClientHello};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::StartHandshake;
use tokio_rustls::server::TlsStream;

use super::certificate::Certificates;
use super::tally::Failure;

/// The longest ClientHello, with its records' headers: a handful of key shares
/// and names are some 2,000 bytes.
pub(super) const LONGEST_HELLO: usize = 16 << 10;

/// RFC 7443.
const TURN: [&[u8]; 2] = [b"stun.turn", b"stun.nat-discovery"];
const HTTP_1: &[u8] = b"http/1.1";
const HTTP_2: &[u8] = b"h2";

/// What a client is for, as far as its handshake says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    Turn,
    Web,
    /// Its first byte will tell.
    Unsaid,
}

/// The terms of handshakes, by what the client offers.
pub(super) struct Configs {
    turn: Arc<ServerConfig>,
    web: Arc<ServerConfig>,
    unsaid: Arc<ServerConfig>,
}

impl Configs {
    /// `http2`: whether web visitors may speak it.
    pub(super) fn new(
        certificates: &Arc<Certificates>,
        http2: bool,
    ) -> Result<Self, rustls::Error> {
        let with = |protocols: &[&[u8]]| {
            let builder = ServerConfig::builder_with_provider(Arc::new(default_provider()))
                .with_safe_default_protocol_versions()?;
            let mut config = builder
                .with_no_client_auth()
                .with_cert_resolver(Arc::clone(certificates) as _);
            config.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
            Ok::<_, rustls::Error>(Arc::new(config))
        };
        Ok(Self {
            turn: with(&TURN)?,
            web: if http2 {
                with(&[HTTP_2, HTTP_1])?
            } else {
                with(&[HTTP_1])?
            },
            // Offers that have nothing in common with ours are overlooked:
            // TURN clients with a protocol name of their own get through.
            unsaid: with(&[])?,
        })
    }

    fn for_hello(&self, hello: &ClientHello<'_>) -> &Arc<ServerConfig> {
        let offers = |names: &[Vec<u8>]| {
            hello
                .alpn()
                .is_some_and(|mut offered| offered.any(|one| names.iter().any(|name| name == one)))
        };
        if offers(&self.turn.alpn_protocols) {
            &self.turn
        } else if offers(&self.web.alpn_protocols) {
            &self.web
        } else {
            &self.unsaid
        }
    }

    /// Does the rest of the handshake.
    pub(super) async fn shake(
        &self,
        stream: TcpStream,
        accepted: Accepted,
    ) -> Result<(TlsStream<TcpStream>, Purpose), Failure> {
        let config = Arc::clone(self.for_hello(&accepted.client_hello()));
        let stream = StartHandshake::from_parts(accepted, stream)
            .into_stream(config)
            .await
            .map_err(|error| failure(&error))?;
        let purpose = match stream.get_ref().1.alpn_protocol() {
            None => Purpose::Unsaid,
            Some(name) if TURN.contains(&name) => Purpose::Turn,
            Some(_) => Purpose::Web,
        };
        Ok((stream, purpose))
    }
}

/// Reads on until the ClientHello is complete. `read` holds what came so far,
/// and at the end all of it.
pub(super) async fn hello(stream: &mut TcpStream, read: &mut Vec<u8>) -> Result<Accepted, Failure> {
    let mut acceptor = Acceptor::default();
    let mut fed = 0;
    loop {
        while fed < read.len() {
            let count = acceptor
                .read_tls(&mut &read[fed..])
                .map_err(|_| Failure::Protocol)?;
            fed += count;
            match acceptor.accept() {
                // Nobody may go on before our answer.
                Ok(Some(_)) if fed < read.len() => return Err(Failure::Protocol),
                Ok(Some(accepted)) => return Ok(accepted),
                Ok(None) if count > 0 => {}
                Ok(None) => return Err(Failure::Protocol),
                Err((error, mut alert)) => {
                    let mut bytes = Vec::new();
                    if alert.write_all(&mut bytes).is_ok() {
                        // The client may be gone; it is refused either way.
                        let _ = stream.write_all(&bytes).await;
                    }
                    return Err(of_tls(&error));
                }
            }
        }
        if read.len() >= LONGEST_HELLO {
            return Err(Failure::Protocol);
        }
        match stream.read_buf(read).await {
            Ok(0) | Err(_) => return Err(Failure::Gone),
            Ok(_) => {}
        }
    }
}

fn failure(error: &io::Error) -> Failure {
    let tls = error
        .get_ref()
        .and_then(|inner| inner.downcast_ref::<rustls::Error>());
    match tls {
        Some(error) => of_tls(error),
        None => Failure::Gone,
    }
}

fn of_tls(error: &rustls::Error) -> Failure {
    match error {
        rustls::Error::AlertReceived(_) => Failure::Alert,
        rustls::Error::PeerIncompatible(_) | rustls::Error::NoApplicationProtocol => {
            Failure::NothingCommon
        }
        _ => Failure::Protocol,
    }
}
