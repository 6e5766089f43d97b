//! The same client over TCP and TLS. Connections are set up one after the
//! other; a load then neither waits for one nor opens what comes back.

mod client;
mod records;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context as _, Result};
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::crypto::aws_lc_rs::{cipher_suite, default_provider};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, SignatureScheme};

use super::access::Access;
use super::{Credentials, REFRESH_AFTER, Step};
use client::Client;

/// Read from one connection at a time: what a socket holds.
const READ: usize = 256 << 10;

/// Many allocations at one server, each over a connection of its own.
pub struct StreamSession {
    access: Access,
    clients: Vec<Client>,
    epoll: Epoll,
    buffer: Vec<u8>,
    next: usize,
    bound_at: Instant,
}

impl StreamSession {
    /// Makes `count` connections to `server` from the addresses `locals` in
    /// turn, over TLS or not, and on each an allocation with a channel to
    /// `peer` of its index.
    ///
    /// # Errors
    /// When the server refuses or does not answer.
    pub fn open(
        server: SocketAddr,
        tls: bool,
        locals: &[IpAddr],
        count: usize,
        credentials: Credentials,
        peer: impl Fn(usize) -> SocketAddr,
    ) -> Result<Self> {
        let config = if tls { Some(config()?) } else { None };
        let mut session = Self {
            access: Access::new(credentials)?,
            clients: Vec::with_capacity(count),
            epoll: Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?,
            buffer: vec![0; READ],
            next: 0,
            bound_at: Instant::now(),
        };
        for (index, local) in (0..count).zip(locals.iter().cycle()) {
            let mut client = Client::connect(server, (*local, 0).into(), config.as_ref())?;
            client.flow.peer = Some(peer(index));
            for step in [Step::Allocate, Step::Bind] {
                client
                    .carry_out(&mut session.access, step)
                    .with_context(|| format!("{step:?} of client {index}"))?;
            }
            let event = EpollEvent::new(EpollFlags::EPOLLIN, index as u64);
            session.epoll.add(&client.socket, event)?;
            session.clients.push(client);
        }
        Ok(session)
    }

    /// The relayed address of each allocation.
    ///
    /// # Errors
    /// Before the allocations are made.
    pub fn relays(&self) -> Result<Vec<SocketAddr>> {
        self.clients
            .iter()
            .map(|client| client.flow.relay.context("not allocated"))
            .collect()
    }

    /// Binds the channels again when they have grown old. Call between
    /// measurements.
    ///
    /// # Errors
    /// When the server refuses or does not answer.
    pub fn keep_alive(&mut self) -> Result<()> {
        if self.bound_at.elapsed() > REFRESH_AFTER {
            for client in &mut self.clients {
                client.carry_out(&mut self.access, Step::Bind)?;
            }
            self.bound_at = Instant::now();
        }
        Ok(())
    }

    /// Sends `message` `count` times over the connection whose turn it is;
    /// whether that had room.
    ///
    /// # Errors
    /// When the connection is lost.
    pub fn burst(&mut self, message: &[u8], count: usize) -> Result<bool> {
        let turn = self.next;
        self.next = (turn + 1) % self.clients.len();
        self.clients[turn].burst(message, count)
    }

    /// Sends what waits, as far as there is room; whether nothing waits.
    ///
    /// # Errors
    /// When a connection is lost.
    pub fn flush(&mut self) -> Result<bool> {
        let mut all = true;
        for client in &mut self.clients {
            all &= client.flush()?;
        }
        Ok(all)
    }

    /// Reads what came, after at most `wait`; how many bytes of messages that
    /// were.
    ///
    /// # Errors
    /// When a connection is lost.
    pub fn drain(&mut self, wait: EpollTimeout) -> Result<u64> {
        let mut events = [EpollEvent::empty(); 256];
        let ready = self.epoll.wait(&mut events, wait)?;
        let mut bytes = 0;
        for event in &events[..ready] {
            let index = usize::try_from(event.data())?;
            bytes += self.clients[index].read(&mut self.buffer)?;
        }
        Ok(bytes)
    }
}

/// Keys that can be kept, and what every server has: coturn knows TLS 1.3 only
/// since 4.6.2, and the records of 1.2 cost the same.
fn config() -> Result<Arc<ClientConfig>> {
    let provider = Arc::new(CryptoProvider {
        cipher_suites: vec![cipher_suite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256],
        ..default_provider()
    });
    let mut config = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&[&rustls::version::TLS12])?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anyone(provider)))
        .with_no_client_auth();
    config.enable_secret_extraction = true;
    Ok(Arc::new(config))
}

/// Takes any certificate: who the server is, the rig knows.
#[derive(Debug)]
struct Anyone(Arc<CryptoProvider>);

impl ServerCertVerifier for Anyone {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
