//! The PROXY protocol, versions 1 and 2: what a load balancer says about a
//! connection before its first byte. Sans-IO.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use core::str::FromStr;

/// The longest header of version 1, line end included.
const LONGEST_V1: usize = 107;
/// The longest header of version 2 that is read. Load balancers add some
/// hundred bytes of extensions; certificates of clients are among them.
const LONGEST_V2: usize = 4096;
const SIGNATURE: [u8; 12] = *b"\r\n\r\n\0\r\nQUIT\n";
const FIXED: usize = 16;
const PREFIX: &[u8] = b"PROXY ";

/// The most bytes [`parse`] asks for.
pub const LONGEST: usize = LONGEST_V2;

/// Whom a connection is from, as its header says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// The load balancer itself (health checks), or nobody with an address:
    /// the connection's own addresses hold.
    Local,
    /// A client.
    Proxied {
        /// The client.
        source: SocketAddr,
        /// Where it connected to.
        destination: SocketAddr,
    },
}

/// These bytes are not, and never become, a header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotAHeader;

/// Reads the header that `bytes` begin with: its length and what it says, or
/// `None` when it goes on after them.
///
/// # Errors
/// When they begin otherwise.
pub fn parse(bytes: &[u8]) -> Result<Option<(usize, Origin)>, NotAHeader> {
    if starts(bytes, &SIGNATURE) {
        return v2(bytes);
    }
    if starts(bytes, PREFIX) {
        return v1(bytes);
    }
    Err(NotAHeader)
}

/// Whether one begins with the other.
fn starts(bytes: &[u8], with: &[u8]) -> bool {
    let common = bytes.len().min(with.len());
    bytes[..common] == with[..common]
}

fn v1(bytes: &[u8]) -> Result<Option<(usize, Origin)>, NotAHeader> {
    let head = &bytes[..bytes.len().min(LONGEST_V1)];
    let Some(end) = head.windows(2).position(|pair| pair == b"\r\n") else {
        return if head.len() < LONGEST_V1 {
            Ok(None)
        } else {
            Err(NotAHeader)
        };
    };
    let line = core::str::from_utf8(&head[..end]).map_err(|_| NotAHeader)?;
    let mut words = line.split(' ').skip(1);
    let mut word = || words.next().ok_or(NotAHeader);
    let origin = match word()? {
        // What follows has no meaning.
        "UNKNOWN" => return Ok(Some((end + 2, Origin::Local))),
        "TCP4" => addresses::<Ipv4Addr>([word()?, word()?, word()?, word()?])?,
        "TCP6" => addresses::<Ipv6Addr>([word()?, word()?, word()?, word()?])?,
        _ => return Err(NotAHeader),
    };
    if words.next().is_some() {
        return Err(NotAHeader);
    }
    Ok(Some((end + 2, origin)))
}

/// Source, destination, source port, destination port.
fn addresses<A: FromStr + Into<IpAddr>>(words: [&str; 4]) -> Result<Origin, NotAHeader> {
    let [source, destination, source_port, destination_port] = words;
    let ip = |word: &str| word.parse::<A>().map_err(|_| NotAHeader);
    Ok(proxied(
        (ip(source)?.into(), port(source_port)?),
        (ip(destination)?.into(), port(destination_port)?),
    ))
}

/// Digits alone: the number parser would take a sign too.
fn port(word: &str) -> Result<u16, NotAHeader> {
    if word.bytes().all(|byte| byte.is_ascii_digit()) {
        word.parse().map_err(|_| NotAHeader)
    } else {
        Err(NotAHeader)
    }
}

fn v2(bytes: &[u8]) -> Result<Option<(usize, Origin)>, NotAHeader> {
    let Some(fixed) = bytes.first_chunk::<FIXED>() else {
        return Ok(None);
    };
    let end = FIXED + usize::from(u16::from_be_bytes([fixed[14], fixed[15]]));
    let local = match fixed[12] {
        0x20 => true,
        0x21 => false,
        _ => return Err(NotAHeader),
    };
    if end > LONGEST_V2 {
        return Err(NotAHeader);
    }
    let Some(body) = bytes.get(FIXED..end) else {
        return Ok(None);
    };
    let origin = match fixed[13] {
        _ if local => Origin::Local,
        0x11 => {
            let block = body.first_chunk::<12>().ok_or(NotAHeader)?;
            let ip =
                |at: usize| IpAddr::from([block[at], block[at + 1], block[at + 2], block[at + 3]]);
            proxied((ip(0), port_at(block, 8)), (ip(4), port_at(block, 10)))
        }
        0x21 => {
            let block = body.first_chunk::<36>().ok_or(NotAHeader)?;
            let ip = |at: usize| {
                let mut octets = [0; 16];
                octets.copy_from_slice(&block[at..at + 16]);
                IpAddr::from(octets)
            };
            proxied((ip(0), port_at(block, 32)), (ip(16), port_at(block, 34)))
        }
        // Unspecified, or sockets that are no streams over IP.
        0x00 | 0x12 | 0x22 | 0x31 | 0x32 => Origin::Local,
        _ => return Err(NotAHeader),
    };
    Ok(Some((end, origin)))
}

fn port_at(block: &[u8], at: usize) -> u16 {
    u16::from_be_bytes([block[at], block[at + 1]])
}

/// IPv4 in IPv6 is IPv4: budgets and permissions are by family.
fn proxied(source: (IpAddr, u16), destination: (IpAddr, u16)) -> Origin {
    let address = |(ip, port): (IpAddr, u16)| SocketAddr::new(ip.to_canonical(), port);
    Origin::Proxied {
        source: address(source),
        destination: address(destination),
    }
}
