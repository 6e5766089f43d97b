//! The unix socket both sides share: `SOCK_SEQPACKET`, so that a packet is a
//! message. Everything here is non-blocking; the caller polls.

use std::fs;
use std::io::{self, ErrorKind, Read as _};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use nix::sys::socket::{getsockopt, sockopt};
use socket2::{Domain, SockAddr, Socket, Type};

use crate::codec::{Buffer, DecodeError, EncodeError, Message, decode};
use crate::limits;

/// Connections that may wait to be accepted.
const BACKLOG: i32 = 16;

/// Kernel memory for packets on their way: four of the largest.
const SEND_BUFFER: usize = 4 * limits::MESSAGE;

/// The longest path a unix socket's address holds, without the final zero.
const PATH: usize = 107;

/// Why the socket cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SocketError {
    /// The path does not fit a socket address.
    #[error("{0:?} is longer than the {PATH} bytes a unix socket's path may have")]
    PathTooLong(PathBuf),
    /// The folder is missing or cannot be read.
    #[error("{folder:?}: {error}; create it for the user both daemons run as")]
    Folder {
        /// The socket's folder.
        folder: PathBuf,
        /// What the kernel said.
        error: io::Error,
    },
    /// Anyone could replace the socket.
    #[error("{0:?} is writable by everyone; chmod o-w it, or use another folder for the socket")]
    FolderWritable(PathBuf),
    /// Something else has the path.
    #[error("{0:?} exists and is not a socket; remove it or use another path")]
    NotASocket(PathBuf),
    /// Another process listens there.
    #[error("another process listens on {0:?}")]
    InUse(PathBuf),
    /// The kernel refused.
    #[error("{path:?}: {error}")]
    System {
        /// The socket's path.
        path: PathBuf,
        /// What the kernel said.
        error: io::Error,
    },
}

/// Why a connection is over.
#[derive(Debug, thiserror::Error)]
pub enum ConnectionError {
    /// The peer closed it.
    #[error("the peer closed the connection")]
    Closed,
    /// The kernel reported an error.
    #[error(transparent)]
    System(#[from] io::Error),
    /// The peer sent no message of this protocol.
    #[error(transparent)]
    Decode(#[from] DecodeError),
    /// We tried to send more than a message.
    #[error(transparent)]
    Encode(#[from] EncodeError),
}

/// The process at the other end when it connected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PeerCredentials {
    /// Process id.
    pub pid: i32,
    /// User id.
    pub uid: u32,
    /// Group id.
    pub gid: u32,
}

impl PeerCredentials {
    /// Whether it is root, our own user or of our own group: whom the socket's
    /// mode admits too. Checked again because a mode can be widened.
    pub fn trusted(&self) -> bool {
        self.uid == 0
            || self.uid == nix::unistd::geteuid().as_raw()
            || self.gid == nix::unistd::getegid().as_raw()
    }
}

/// A listening socket; its path is removed when dropped.
#[derive(Debug)]
pub struct Listening {
    socket: Socket,
    path: PathBuf,
    /// Device and inode of our path, so that a successor's is left alone.
    identity: (u64, u64),
}

impl Listening {
    /// Binds `path` with mode 0660, taking over from a dead predecessor.
    pub fn bind(path: &Path) -> Result<Self, SocketError> {
        let system = |error| SocketError::System {
            path: path.to_owned(),
            error,
        };
        let address = address(path)?;
        check_folder(path)?;
        match fs::symlink_metadata(path) {
            Ok(metadata) if !metadata.file_type().is_socket() => {
                return Err(SocketError::NotASocket(path.to_owned()));
            }
            Ok(_) => match Connection::open(path) {
                Ok(_) => return Err(SocketError::InUse(path.to_owned())),
                Err(SocketError::System { error, .. })
                    if error.kind() == ErrorKind::ConnectionRefused =>
                {
                    fs::remove_file(path).map_err(system)?;
                }
                Err(SocketError::System { error, .. }) if error.kind() == ErrorKind::WouldBlock => {
                    return Err(SocketError::InUse(path.to_owned()));
                }
                Err(error) => return Err(error),
            },
            Err(_) => {}
        }
        let socket = unconnected().map_err(system)?;
        socket.bind(&address).map_err(system)?;
        // Nobody can connect before listen, so the mode is right in time.
        fs::set_permissions(path, fs::Permissions::from_mode(0o660)).map_err(system)?;
        let metadata = fs::symlink_metadata(path).map_err(system)?;
        socket.listen(BACKLOG).map_err(system)?;
        Ok(Self {
            socket,
            path: path.to_owned(),
            identity: (metadata.dev(), metadata.ino()),
        })
    }

    /// The next connection and who it is; `None` when none waits.
    pub fn accept(&self) -> io::Result<Option<(Connection, PeerCredentials)>> {
        let socket = match self.socket.accept() {
            Ok((socket, _)) => socket,
            Err(error)
                if matches!(
                    error.kind(),
                    ErrorKind::WouldBlock | ErrorKind::Interrupted | ErrorKind::ConnectionAborted
                ) =>
            {
                return Ok(None);
            }
            Err(error) => return Err(error),
        };
        socket.set_nonblocking(true)?;
        socket.set_send_buffer_size(SEND_BUFFER)?;
        let peer = getsockopt(&socket, sockopt::PeerCredentials)?;
        let peer = PeerCredentials {
            pid: peer.pid(),
            uid: peer.uid(),
            gid: peer.gid(),
        };
        Ok(Some((Connection(socket), peer)))
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        if fs::symlink_metadata(&self.path).is_ok_and(|m| (m.dev(), m.ino()) == self.identity) {
            // Failing to tidy up is harmless: the next bind takes the path over.
            let _ = fs::remove_file(&self.path);
        }
    }
}

impl AsFd for Listening {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl AsRawFd for Listening {
    fn as_raw_fd(&self) -> RawFd {
        self.socket.as_raw_fd()
    }
}

/// One end of a connection.
#[derive(Debug)]
pub struct Connection(Socket);

impl Connection {
    /// Connects to who listens on `path`.
    pub fn open(path: &Path) -> Result<Self, SocketError> {
        let system = |error| SocketError::System {
            path: path.to_owned(),
            error,
        };
        let address = address(path)?;
        let socket = unconnected().map_err(system)?;
        socket.set_send_buffer_size(SEND_BUFFER).map_err(system)?;
        socket.connect(&address).map_err(system)?;
        Ok(Self(socket))
    }

    /// Sends a message whole, or not at all: `Ok(false)` when the kernel has no
    /// room for it now.
    pub fn send<M: Message>(
        &self,
        message: &M,
        buffer: &mut Buffer,
    ) -> Result<bool, ConnectionError> {
        let packet = buffer.encode(message)?;
        loop {
            return match self.0.send(packet) {
                Ok(_) => Ok(true),
                Err(error) => match error.kind() {
                    ErrorKind::Interrupted => continue,
                    ErrorKind::WouldBlock => Ok(false),
                    ErrorKind::BrokenPipe | ErrorKind::ConnectionReset => {
                        Err(ConnectionError::Closed)
                    }
                    _ => Err(error.into()),
                },
            };
        }
    }

    /// The next message; `None` when none waits.
    pub fn receive<M: Message>(&self, buffer: &mut Buffer) -> Result<Option<M>, ConnectionError> {
        loop {
            return match (&self.0).read(buffer.space()) {
                Ok(0) => Err(ConnectionError::Closed),
                Ok(length) => Ok(Some(decode(buffer.filled(length))?)),
                Err(error) => match error.kind() {
                    ErrorKind::Interrupted => continue,
                    ErrorKind::WouldBlock => Ok(None),
                    ErrorKind::ConnectionReset => Err(ConnectionError::Closed),
                    _ => Err(error.into()),
                },
            };
        }
    }
}

impl AsFd for Connection {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl AsRawFd for Connection {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}

fn unconnected() -> io::Result<Socket> {
    let socket = Socket::new(Domain::UNIX, Type::SEQPACKET, None)?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

fn address(path: &Path) -> Result<SockAddr, SocketError> {
    if path.as_os_str().len() > PATH {
        return Err(SocketError::PathTooLong(path.to_owned()));
    }
    SockAddr::unix(path).map_err(|error| SocketError::System {
        path: path.to_owned(),
        error,
    })
}

/// The folder must exist and not let strangers swap the socket.
fn check_folder(path: &Path) -> Result<(), SocketError> {
    const STICKY: u32 = 0o1000;
    const OTHERS_WRITE: u32 = 0o002;
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let metadata = fs::metadata(folder).map_err(|error| SocketError::Folder {
        folder: folder.to_owned(),
        error,
    })?;
    if metadata.mode() & OTHERS_WRITE != 0 && metadata.mode() & STICKY == 0 {
        return Err(SocketError::FolderWritable(folder.to_owned()));
    }
    Ok(())
}
