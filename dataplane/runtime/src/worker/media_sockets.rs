//! Opens the media sockets of all workers: on every address, one port per
//! worker.

use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

use forebay_sys::Errno;
use forebay_sys::sockets::{self, Role, Tuning};

use super::MediaSocket;
use super::error::StartError;
use super::listen::{ListenOptions, PREDECESSOR, RETRY, explain};

/// Opens `port` + i on every address for worker i; element i of the result is
/// that worker's. Call it before privileges are dropped.
pub fn open(
    addresses: &[IpAddr],
    port: u16,
    workers: usize,
    options: ListenOptions,
) -> Result<Vec<Vec<MediaSocket>>, StartError> {
    let tuning = Tuning {
        receive_buffer: options.receive_buffer,
        send_buffer: options.send_buffer,
        busy_poll: options.busy_poll,
    };
    (0..workers)
        .map(|worker| {
            let address = |ip: &IpAddr| SocketAddr::new(*ip, port_of(port, worker));
            addresses
                .iter()
                .map(|ip| open_one(address(ip), tuning))
                .collect()
        })
        .collect()
}

/// The media port of a worker.
pub(crate) fn port_of(first: u16, worker: usize) -> u16 {
    u16::try_from(worker).map_or(u16::MAX, |worker| first.saturating_add(worker))
}

fn open_one(address: SocketAddr, tuning: Tuning) -> Result<MediaSocket, StartError> {
    let end = Instant::now() + PREDECESSOR;
    loop {
        match sockets::open(address, Role::Media, tuning) {
            Ok(socket) => return Ok(MediaSocket { address, socket }),
            Err(Errno::EADDRINUSE) if Instant::now() < end => std::thread::sleep(RETRY),
            Err(errno) => {
                return Err(StartError::Listen {
                    address,
                    reason: explain(errno),
                });
            }
        }
    }
}
