//! The connection's readiness in tokio's terms.

use std::io::{self, ErrorKind};
use std::os::fd::AsFd as _;
use std::os::unix::net::UnixStream as StdUnixStream;
use std::path::Path;

use forebay_ipc::codec::Buffer;
use forebay_ipc::socket::{Connection, ConnectionError};
use forebay_ipc::{FromDataplane, ToDataplane};
use tokio::io::Interest;
use tokio::net::UnixStream;

use super::LinkError;

/// A connection and a second descriptor of the same socket. Tokio has no
/// packet socket; its stream is only asked when the socket is ready, and the
/// connection does the reading and writing.
#[derive(Debug)]
pub(super) struct Wire {
    connection: Connection,
    readiness: UnixStream,
}

impl Wire {
    pub(super) fn open(socket: &Path) -> Result<Self, LinkError> {
        let connection = Connection::open(socket)?;
        let second = StdUnixStream::from(connection.as_fd().try_clone_to_owned()?);
        Ok(Self {
            connection,
            readiness: UnixStream::from_std(second)?,
        })
    }

    /// The next message. Dropping the future loses none.
    pub(super) async fn receive(&self, buffer: &mut Buffer) -> Result<FromDataplane, LinkError> {
        loop {
            self.readiness.readable().await?;
            let received = self.attempt(Interest::READABLE, || {
                self.connection.receive(buffer).transpose()
            });
            if let Some(message) = received {
                return Ok(message?);
            }
        }
    }

    /// Sends a message as soon as the kernel has room for it.
    pub(super) async fn send(
        &self,
        message: &ToDataplane,
        buffer: &mut Buffer,
    ) -> Result<(), LinkError> {
        loop {
            self.readiness.writable().await?;
            let sent = self.attempt(Interest::WRITABLE, || {
                match self.connection.send(message, buffer) {
                    Ok(true) => Some(Ok(())),
                    Ok(false) => None,
                    Err(error) => Some(Err(error)),
                }
            });
            if let Some(result) = sent {
                return Ok(result?);
            }
        }
    }

    /// Tries once; `None`, the socket was not ready after all, is what makes
    /// tokio wait for readiness anew.
    fn attempt<T>(
        &self,
        interest: Interest,
        once: impl FnOnce() -> Option<Result<T, ConnectionError>>,
    ) -> Option<Result<T, ConnectionError>> {
        let mut result = None;
        let _ = self.readiness.try_io(interest, || {
            result = once();
            if result.is_some() {
                Ok(())
            } else {
                Err(io::Error::from(ErrorKind::WouldBlock))
            }
        });
        result
    }
}
