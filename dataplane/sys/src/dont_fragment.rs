//! DF on single datagrams (RFC 8656 §14). IPv6 has a control message for it,
//! IPv4 a socket option alone, which is turned on before such a datagram and
//! off behind it.

use io_uring::squeue::Entry;

use crate::options;

/// No DF again. With IP_PMTUDISC_DONT, as before the first such datagram, the
/// kernel would keep to itself what ICMP says of the path's MTU.
pub(crate) static OFF: i32 = libc::IP_PMTUDISC_OMIT;
/// DF, up to the MTU of the interface; what a path carries beyond that is the
/// client's to find out.
static ON: i32 = libc::IP_PMTUDISC_PROBE;

/// The request that turns DF of a socket's IPv4 datagrams on or off.
pub(crate) fn turn(on: bool, slot: u32) -> Entry {
    let value = if on { &ON } else { &OFF };
    options::set(slot, libc::IPPROTO_IP, libc::IP_MTU_DISCOVER, value)
}
