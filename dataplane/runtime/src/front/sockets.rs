//! Opens the listening sockets, before privileges are dropped.

use std::io;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::thread;
use std::time::{Duration, Instant};

use socket2::{Domain, Protocol, Socket, Type};

use crate::worker::StartError;

/// Connections the kernel keeps until they are accepted (net.core.somaxconn
/// caps it).
const BACKLOG: i32 = 4096;
/// How long an address may still be held by the process we replace.
const PREDECESSOR: Duration = Duration::from_secs(3);
const RETRY: Duration = Duration::from_millis(20);
/// What clients send while the thread is busy with a handshake, and before
/// DTLS takes its part.
const DTLS_BUFFER: usize = 1 << 20;

pub(super) fn tcp(address: SocketAddr) -> Result<TcpListener, StartError> {
    retry(address, || {
        let socket = Socket::new(
            Domain::for_address(address),
            Type::STREAM,
            Some(Protocol::TCP),
        )?;
        socket.set_reuse_address(true)?;
        if address.is_ipv6() {
            socket.set_only_v6(true)?;
        }
        // Accepted connections inherit these.
        socket.set_tcp_nodelay(true)?;
        socket.set_keepalive(true)?;
        socket.set_nonblocking(true)?;
        socket.bind(&address.into())?;
        socket.listen(BACKLOG)?;
        Ok(socket.into())
    })
}

pub(super) fn udp(address: SocketAddr) -> Result<UdpSocket, StartError> {
    retry(address, || {
        let socket = Socket::new(
            Domain::for_address(address),
            Type::DGRAM,
            Some(Protocol::UDP),
        )?;
        if address.is_ipv6() {
            socket.set_only_v6(true)?;
        }
        // The kernel grants what it may.
        let _ = socket.set_recv_buffer_size(DTLS_BUFFER);
        let _ = socket.set_send_buffer_size(DTLS_BUFFER);
        socket.set_nonblocking(true)?;
        socket.bind(&address.into())?;
        Ok(socket.into())
    })
}

fn retry<T>(address: SocketAddr, open: impl Fn() -> io::Result<T>) -> Result<T, StartError> {
    let end = Instant::now() + PREDECESSOR;
    loop {
        match open() {
            Ok(socket) => return Ok(socket),
            Err(error) if error.kind() == io::ErrorKind::AddrInUse && Instant::now() < end => {
                thread::sleep(RETRY);
            }
            Err(error) => {
                return Err(StartError::Listen {
                    address,
                    reason: explain(&error),
                });
            }
        }
    }
}

fn explain(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::AddrInUse => "another program has this address and port; stop it or choose another port \
                                     (`ss -lntup` shows who)"
            .to_owned(),
        io::ErrorKind::AddrNotAvailable => {
            "the address is not on any interface of this host".to_owned()
        }
        io::ErrorKind::PermissionDenied => "ports below 1024 need CAP_NET_BIND_SERVICE \
                                            (`AmbientCapabilities=CAP_NET_BIND_SERVICE` in the systemd unit)"
            .to_owned(),
        _ => error.to_string(),
    }
}
