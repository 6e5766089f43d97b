//! One connection.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection};
use socket2::{Domain, Socket, Type};

use super::super::access::Access;
use super::super::message::{Response, XOR_RELAYED_ADDRESS};
use super::super::{CHALLENGES, Flow, Step};
use super::records::Records;

/// How long a server may take to answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// What may wait in the client's socket: some bursts, so that what a server
/// has to work off after a round stays short.
const SEND_BUFFER: usize = 64 << 10;
const MESSAGE_HEADER: usize = 20;

/// See the module.
pub(super) struct Client {
    pub(super) socket: TcpStream,
    pub(super) flow: Flow,
    records: Option<Records>,
    /// What the socket has not taken yet, from `sent` on.
    output: Vec<u8>,
    sent: usize,
}

impl Client {
    /// Connects from `local`, and shakes hands where there is a `tls`.
    pub(super) fn connect(
        server: SocketAddr,
        local: SocketAddr,
        tls: Option<&Arc<ClientConfig>>,
    ) -> Result<Self> {
        let socket = Socket::new(Domain::for_address(local), Type::STREAM, None)?;
        socket.set_send_buffer_size(SEND_BUFFER)?;
        socket.set_tcp_nodelay(true)?;
        socket.bind(&local.into())?;
        socket
            .connect_timeout(&server.into(), PATIENCE)
            .with_context(|| format!("cannot connect to {server}"))?;
        let mut socket = TcpStream::from(socket);
        socket.set_read_timeout(Some(PATIENCE))?;
        let records = match tls {
            None => None,
            Some(config) => {
                let name = ServerName::from(server.ip());
                let mut connection = ClientConnection::new(Arc::clone(config), name)?;
                while connection.is_handshaking() || connection.wants_write() {
                    connection
                        .complete_io(&mut socket)
                        .context("the TLS handshake fails")?;
                }
                Some(Records::new(connection.dangerous_extract_secrets()?)?)
            }
        };
        Ok(Self {
            socket,
            flow: Flow::default(),
            records,
            output: Vec::new(),
            sent: 0,
        })
    }

    /// Carries `step` out, waiting for the answers.
    pub(super) fn carry_out(&mut self, access: &mut Access, step: Step) -> Result<()> {
        self.socket.set_nonblocking(false)?;
        for _ in 0..=CHALLENGES {
            let id = access.transaction();
            self.put(&access.request(step, &id, &self.flow)?)?;
            self.socket.write_all(&self.output[self.sent..])?;
            self.output.clear();
            self.sent = 0;
            let answer = self.message()?;
            let response = Response::parse(&answer)
                .filter(|response| response.answers(&id))
                .context("an answer to something else")?;
            if response.is_success() {
                if step == Step::Allocate {
                    self.flow.relay = response.address(XOR_RELAYED_ADDRESS);
                    ensure!(self.flow.relay.is_some(), "no relayed address");
                }
                self.socket.set_nonblocking(true)?;
                return Ok(());
            }
            match response.error_code() {
                Some(401 | 438) => access.challenge(&mut self.flow, &response)?,
                code => bail!("{step:?} is refused with {code:?}"),
            }
        }
        bail!("the server keeps refusing the credentials")
    }

    /// Waits for one STUN message.
    fn message(&mut self) -> Result<Vec<u8>> {
        let mut raw = Vec::new();
        let mut message = Vec::new();
        loop {
            let mut buffer = [0; 4096];
            let read = self.socket.read(&mut buffer).context("no answer")?;
            ensure!(read > 0, "the server closed the connection");
            match &mut self.records {
                None => message.extend_from_slice(&buffer[..read]),
                Some(records) => {
                    raw.extend_from_slice(&buffer[..read]);
                    while let Some((text, end)) = records.open(&raw)? {
                        message.extend(text);
                        raw.drain(..end);
                    }
                }
            }
            if let [_, _, high, low, ..] = message[..] {
                let body = usize::from(u16::from_be_bytes([high, low]));
                if message.len() >= MESSAGE_HEADER + body {
                    ensure!(raw.is_empty(), "more than the answer came");
                    return Ok(message);
                }
            }
        }
    }

    /// Adds one message to the output.
    fn put(&mut self, message: &[u8]) -> Result<()> {
        match &mut self.records {
            None => self.output.extend_from_slice(message),
            Some(records) => records.seal(message, &mut self.output)?,
        }
        Ok(())
    }

    /// Sends `message` `count` times in one call, unless earlier ones still
    /// wait; whether it did. What the socket has no room for waits.
    pub(super) fn burst(&mut self, message: &[u8], count: usize) -> Result<bool> {
        if !self.flush()? {
            return Ok(false);
        }
        for _ in 0..count {
            self.put(message)?;
        }
        self.flush()?;
        Ok(true)
    }

    /// Sends what waits; whether nothing does any more.
    pub(super) fn flush(&mut self) -> Result<bool> {
        while self.sent < self.output.len() {
            match self.socket.write(&self.output[self.sent..]) {
                Ok(sent) => self.sent += sent,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
                Err(error) => return Err(error).context("a connection is lost"),
            }
        }
        self.output.clear();
        self.sent = 0;
        Ok(true)
    }

    /// Reads once into `buffer`; how many bytes of messages came.
    pub(super) fn read(&mut self, buffer: &mut [u8]) -> Result<u64> {
        match self.socket.read(buffer) {
            Ok(0) => bail!("the server closed a connection"),
            Ok(read) => match &mut self.records {
                None => Ok(read as u64),
                Some(records) => records.count(&buffer[..read]),
            },
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(0),
            Err(error) => Err(error).context("a connection is lost"),
        }
    }
}
