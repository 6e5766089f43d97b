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

#[cfg(test)]
mod tests {
    use super::*;

    fn v2(command: u8, family: u8, body: &[u8]) -> Vec<u8> {
        let mut bytes = SIGNATURE.to_vec();
        bytes.extend([command, family]);
        bytes.extend((body.len() as u16).to_be_bytes());
        bytes.extend(body);
        bytes
    }

    fn from(source: &str, destination: &str) -> Origin {
        Origin::Proxied {
            source: source.parse().expect("an address"),
            destination: destination.parse().expect("an address"),
        }
    }

    #[test]
    fn version_1() {
        let read = |line: &str| parse(line.as_bytes());
        assert_eq!(
            read("PROXY TCP4 203.0.113.5 10.0.0.5 4444 443\r\n\0\x01"),
            Ok(Some((42, from("203.0.113.5:4444", "10.0.0.5:443"))))
        );
        assert_eq!(
            read("PROXY TCP6 2001:db8::5 ::ffff:10.0.0.5 4444 443\r\n"),
            Ok(Some((49, from("[2001:db8::5]:4444", "10.0.0.5:443"))))
        );
        assert_eq!(
            read("PROXY UNKNOWN a b c d e\r\n"),
            Ok(Some((25, Origin::Local)))
        );
        assert_eq!(read("PROXY TCP4 203.0.113.5 10.0.0.5 4444 443\r"), Ok(None));
        for bad in [
            "PROXY TCP4 203.0.113.5 10.0.0.5 4444\r\n",
            "PROXY TCP4 203.0.113.5 10.0.0.5 4444 443 1\r\n",
            "PROXY TCP4 203.0.113.5 10.0.0.5 +444 443\r\n",
            "PROXY TCP4 203.0.113.5 10.0.0.5 4444 65536\r\n",
            "PROXY TCP4 2001:db8::5 10.0.0.5 4444 443\r\n",
            "PROXY TCP4  203.0.113.5 10.0.0.5 4444 443\r\n",
            "PROXY UDP4 203.0.113.5 10.0.0.5 4444 443\r\n",
            "PROXYTCP4",
            "GET / HTTP/1.1\r\n",
        ] {
            assert_eq!(read(bad), Err(NotAHeader), "{bad}");
        }
        let endless = format!("PROXY TCP4 {}", "1".repeat(96));
        assert_eq!(read(&endless), Err(NotAHeader));
        assert_eq!(read(&endless[..106]), Ok(None));
    }

    #[test]
    fn version_2() {
        let mut block = vec![203, 0, 113, 5, 10, 0, 0, 5];
        block.extend([0x11, 0x5C, 0x01, 0xBB]);
        let origin = from("203.0.113.5:4444", "10.0.0.5:443");
        assert_eq!(parse(&v2(0x21, 0x11, &block)), Ok(Some((28, origin))));
        // What stands behind the addresses is passed over, LOCAL's too.
        block.extend([0xE0, 0, 1, 9]);
        assert_eq!(parse(&v2(0x21, 0x11, &block)), Ok(Some((32, origin))));
        assert_eq!(
            parse(&v2(0x20, 0x11, &block)),
            Ok(Some((32, Origin::Local)))
        );
        assert_eq!(parse(&v2(0x21, 0x00, b"")), Ok(Some((16, Origin::Local))));
        for bad in [
            v2(0x31, 0x11, &block),
            v2(0x22, 0x11, &block),
            v2(0x21, 0x11, &block[..11]),
            v2(0x21, 0x21, &block),
            v2(0x21, 0x77, &block),
            v2(0x21, 0x11, &vec![0; LONGEST_V2]),
        ] {
            assert_eq!(parse(&bad), Err(NotAHeader));
        }
    }

    #[test]
    fn every_byte_of_a_header_is_waited_for() {
        let headers = [
            b"PROXY TCP4 203.0.113.5 10.0.0.5 4444 443\r\n".to_vec(),
            v2(0x21, 0x21, &[1; 36]),
        ];
        for header in headers {
            for end in 0..header.len() {
                assert_eq!(parse(&header[..end]), Ok(None), "{end}");
            }
            assert!(parse(&header).is_ok_and(|found| found.is_some()));
        }
    }
}
