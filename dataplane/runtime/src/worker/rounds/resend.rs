//! Sends the kernel did not take at first.

use forebay_engine::Transmit;
use forebay_sys::Errno;
use forebay_sys::ring::{RingFailed, Wait};

use super::{Rounds, Worker};

/// What is done about a send that failed.
enum Remedy {
    /// Repeat it as it is: it met with the error of an earlier datagram.
    Repeat,
    /// Send its datagrams one by one: no GSO send of this size is possible.
    Split,
    /// Nothing.
    Count,
}

impl Remedy {
    fn of(errno: Errno, transmit: &Transmit, relay: bool, first: bool) -> Self {
        match errno {
            Errno::EINVAL | Errno::EIO if transmit.segment.is_some() => Self::Split,
            _ if relay && first && may_be_of_icmp(errno) => Self::Repeat,
            Errno::EMSGSIZE if transmit.segment.is_some() => Self::Split,
            _ => Self::Count,
        }
    }
}

/// Whether the kernel turns an ICMP error into this (`icmp_err_convert` and
/// `icmpv6_err_convert` in the kernel's source).
fn may_be_of_icmp(errno: Errno) -> bool {
    matches!(
        errno,
        Errno::ECONNREFUSED
            | Errno::EHOSTUNREACH
            | Errno::ENETUNREACH
            | Errno::EHOSTDOWN
            | Errno::ENONET
            | Errno::EACCES
            | Errno::EPROTO
            | Errno::ENOPROTOOPT
            | Errno::EOPNOTSUPP
            | Errno::EMSGSIZE
    )
}

impl Worker {
    /// Sends once more what the kernel refused, while the buffers are still
    /// ours.
    #[inline]
    pub(super) fn resend(&mut self) -> Result<(), RingFailed> {
        if self.state.reaped.failed.is_empty() {
            return Ok(());
        }
        self.remedy(true)?;
        self.reap()?;
        self.remedy(false)
    }

    /// Does what can be done about the sends that failed; `first` for the
    /// first time.
    #[cold]
    fn remedy(&mut self, first: bool) -> Result<(), RingFailed> {
        let Rounds {
            tx,
            resend,
            counts,
            reaped,
            ..
        } = &mut self.state;
        resend.clear();
        for (index, errno) in reaped.failed.drain(..) {
            let Some(transmit) = tx.transmits.get(index as usize) else {
                continue;
            };
            let slot = transmit.socket.0;
            let relay = self.sockets.is_relay(slot);
            match Remedy::of(errno, transmit, relay, first) {
                Remedy::Repeat => {
                    let generation = self.sockets.generation(slot);
                    self.errors.note(&mut self.sockets, slot, generation);
                    resend.repeat(tx, index, transmit, &self.sockets.wildcards);
                }
                Remedy::Split => {
                    counts.gso_retries += 1;
                    resend.split(tx, transmit, &self.sockets.wildcards);
                    if let Some(segment) = transmit.segment {
                        self.shard.lower_max_segment(segment);
                    }
                }
                Remedy::Count => {
                    counts.not_sent(errno, transmit.datagrams.into());
                    if transmit.dont_fragment && errno == Errno::EMSGSIZE {
                        self.errors.too_long(slot, transmit.destination);
                    }
                }
            }
        }
        if resend.is_empty() {
            return Ok(());
        }
        self.ring.enter(&tx.headers, resend.sends(), Wait::Not)
    }
}
