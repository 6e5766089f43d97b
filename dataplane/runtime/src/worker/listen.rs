//! Opens the listening sockets of all workers.

use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use forebay_sys::sockets::{self, Role, Tuning};
use forebay_sys::{Errno, steer};

use super::Listener;
use super::error::StartError;

/// How listening sockets are set up.
#[derive(Debug, Clone, Copy)]
pub struct ListenOptions {
    /// SO_RCVBUF of each socket, bytes. Asked for with SO_RCVBUFFORCE where
    /// privileged; what was granted stands in the boot report.
    pub receive_buffer: usize,
    /// SO_SNDBUF of each socket, bytes.
    pub send_buffer: usize,
    /// SO_BUSY_POLL, microseconds; zero is off.
    pub busy_poll: u32,
}

impl Default for ListenOptions {
    /// 1 MiB each way: about 2,000 small datagrams, 5 ms at the rate one core
    /// relays them. With 4 MiB, datagrams wait so long under overload that
    /// they have left the cache, and each costs half as much again.
    fn default() -> Self {
        Self {
            receive_buffer: 1 << 20,
            send_buffer: 1 << 20,
            busy_poll: 0,
        }
    }
}

/// Opens one address for `workers` workers (at least one): element `i` belongs
/// to the worker with index `i`. Port 0 takes a free one, the same for all.
/// Call it before privileges are dropped.
pub fn open(
    address: SocketAddr,
    workers: usize,
    options: ListenOptions,
) -> Result<Vec<Listener>, StartError> {
    let refuse = |reason: String| StartError::Listen { address, reason };
    wait_until_free(address).map_err(|errno| refuse(explain(errno)))?;
    let tuning = Tuning {
        receive_buffer: options.receive_buffer,
        send_buffer: options.send_buffer,
        busy_poll: options.busy_poll,
    };
    let bind = |address| sockets::open(address, Role::Listener, tuning);

    // A socket's place in the group is the order of binding, which is what
    // the steering program counts on.
    let first = bind(address).map_err(|errno| refuse(explain(errno)))?;
    let bound = sockets::local_address(first.as_fd()).map_err(|errno| refuse(explain(errno)))?;
    steer::attach(first.as_fd(), bound.is_ipv6(), workers)
        .map_err(|errno| refuse(format!("cannot attach the steering program: {errno}")))?;
    let mut group = vec![first];
    while group.len() < workers.max(1) * steer::CLASSES {
        group.push(bind(bound).map_err(|errno| refuse(explain(errno)))?);
    }
    let mut group = group.into_iter();
    let mut listeners = Vec::with_capacity(workers);
    // Within a worker the request socket comes first.
    const { assert!(steer::REQUESTS == 0 && steer::MEDIA == 1 && steer::CLASSES == 2) };
    while let (Some(control), Some(media)) = (group.next(), group.next()) {
        listeners.push(listener(bound, control, media));
    }
    Ok(listeners)
}

/// How long an address may still be held by the process we replace: after a
/// crash, the kernel takes its ring, and with it the sockets, apart in the
/// background.
pub(super) const PREDECESSOR: Duration = Duration::from_secs(3);

/// Time between two attempts.
pub(super) const RETRY: Duration = Duration::from_millis(20);

/// Sharing the address with a stranger's SO_REUSEPORT group would split
/// clients between the two, so the address has to be free first.
fn wait_until_free(address: SocketAddr) -> Result<(), Errno> {
    if address.port() == 0 {
        return Ok(());
    }
    let end = Instant::now() + PREDECESSOR;
    while sockets::is_taken(address)? {
        if Instant::now() >= end {
            return Err(Errno::EADDRINUSE);
        }
        std::thread::sleep(RETRY);
    }
    Ok(())
}

fn listener(address: SocketAddr, control: OwnedFd, media: OwnedFd) -> Listener {
    Listener {
        address,
        control,
        media,
    }
}

pub(super) fn explain(errno: Errno) -> String {
    match errno {
        Errno::EADDRINUSE => {
            "another program has this address and port; stop it or choose another port (`ss -lunp` shows who)"
                .to_owned()
        }
        Errno::EADDRNOTAVAIL => "the address is not on any interface of this host".to_owned(),
        Errno::EACCES => {
            "ports below 1024 need CAP_NET_BIND_SERVICE (`AmbientCapabilities=CAP_NET_BIND_SERVICE` in the systemd \
             unit)"
                .to_owned()
        }
        Errno::EAFNOSUPPORT => "this host has no IPv6; leave the address out".to_owned(),
        Errno::EMFILE | Errno::ENFILE => {
            "no file descriptors are left; raise `LimitNOFILE=` in the systemd unit".to_owned()
        }
        other => other.to_string(),
    }
}
