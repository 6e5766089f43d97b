//! What our own server tells about its system calls.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use crate::rig::Rig;
use crate::servers::METRICS;

const ENTERS: &str = "forebay_ring_enters_total";
const PATIENCE: Duration = Duration::from_millis(500);

/// Waits in the ring since the server started, over all workers; nothing when
/// it does not tell.
pub(super) fn ring_enters(rig: &Rig) -> Option<f64> {
    let page = rig
        .in_server_namespace(|| Ok(scrape(METRICS.parse()?)?))
        .ok()?;
    let lines = page.lines().filter(|line| line.starts_with(ENTERS));
    let values: Vec<f64> = lines
        .filter_map(|line| line.rsplit(' ').next()?.parse().ok())
        .collect();
    (!values.is_empty()).then(|| values.iter().sum())
}

fn scrape(address: SocketAddr) -> std::io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n\r\n")?;
    let mut page = String::new();
    stream.read_to_string(&mut page)?;
    Ok(page)
}
