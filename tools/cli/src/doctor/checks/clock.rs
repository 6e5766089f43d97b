//! The clock. REST credentials carry their expiry: a wrong clock refuses good
//! ones and accepts old ones.

use std::net::{ToSocketAddrs, UdpSocket};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::super::{Check, Finding, Scene};

/// Seconds from which it is worth a word, and from which it does harm.
const WARNING: f64 = 1.0;
const FAILED: f64 = 30.0;

const FIX: &str = "apt install chrony     (or: timedatectl set-ntp true)";

pub(super) struct Clock;

impl Check for Clock {
    fn name(&self) -> &'static str {
        "clock"
    }

    fn look(&self, scene: &Scene) -> Vec<Finding> {
        let kernel = kernel(scene);
        let Some(server) = &scene.ntp else {
            return vec![kernel];
        };
        match offset(server) {
            Some(offset) => vec![judge(server, offset)],
            // Many networks let no NTP out; the kernel knows as well.
            None => vec![kernel],
        }
    }
}

fn judge(server: &str, offset: f64) -> Finding {
    let direction = if offset > 0.0 { "behind" } else { "ahead of" };
    let seen = format!("{:.3} s {direction} {server}", offset.abs());
    if offset.abs() >= FAILED {
        Finding::failed(
            format!("{seen}: credentials are refused, or accepted for too long"),
            FIX,
        )
    } else if offset.abs() >= WARNING {
        Finding::warning(seen, FIX)
    } else {
        Finding::ok(seen)
    }
}

/// What the kernel says (adjtimex), asked through the programs that show it.
fn kernel(scene: &Scene) -> Finding {
    if let Some(text) = scene
        .host
        .command("timedatectl", &["show", "-p", "NTPSynchronized", "--value"])
    {
        return if text.trim() == "yes" {
            Finding::ok("the kernel says it is synchronised")
        } else {
            Finding::warning("the kernel says it is not synchronised", FIX)
        };
    }
    if let Some(text) = scene.host.command("chronyc", &["-c", "tracking"]) {
        let fields: Vec<&str> = text.trim().split(',').collect();
        if let Some(offset) = fields.get(4).and_then(|text| text.parse::<f64>().ok()) {
            return judge("chrony's servers", offset);
        }
    }
    Finding::warning(
        "no time server answers, and neither timedatectl nor chronyc tells whether the clock is synchronised",
        FIX,
    )
}

/// Seconds that the server's clock is ahead of ours: one SNTP exchange
/// (RFC 4330), repeated once.
fn offset(server: &str) -> Option<f64> {
    let has_port = server
        .rsplit_once(':')
        .is_some_and(|(host, port)| port.parse::<u16>().is_ok() && !host.ends_with(':'));
    let mut addresses = if has_port {
        server.to_socket_addrs().ok()?
    } else {
        (server, 123).to_socket_addrs().ok()?
    };
    let address = addresses.next()?;
    let local = if address.is_ipv4() {
        "0.0.0.0:0"
    } else {
        "[::]:0"
    };
    let socket = UdpSocket::bind(local).ok()?;
    socket.connect(address).ok()?;
    socket.set_read_timeout(Some(Duration::from_secs(1))).ok()?;
    (0..2).find_map(|_| exchange(&socket))
}

fn exchange(socket: &UdpSocket) -> Option<f64> {
    let mut request = [0_u8; 48];
    // Version 4, client.
    request[0] = 0x23;
    let sent = seconds(SystemTime::now())?;
    request[40..48].copy_from_slice(&stamp(sent));
    socket.send(&request).ok()?;
    let mut answer = [0_u8; 128];
    let length = socket.recv(&mut answer).ok()?;
    let arrived = seconds(SystemTime::now())?;
    let of_server = answer[0] & 7 == 4;
    let stratum = answer[1];
    if length < 48 || !of_server || stratum == 0 || answer[24..32] != request[40..48] {
        return None;
    }
    let (received, transmitted) = (unstamp(&answer[32..40])?, unstamp(&answer[40..48])?);
    Some(((received - sent) + (transmitted - arrived)) / 2.0)
}

/// From 1900 to 1970.
const EPOCH: f64 = 2_208_988_800.0;
const FRACTION: f64 = 4_294_967_296.0;

fn seconds(time: SystemTime) -> Option<f64> {
    Some(time.duration_since(UNIX_EPOCH).ok()?.as_secs_f64())
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "NTP's seconds wrap in 2036 by design"
)]
fn stamp(seconds: f64) -> [u8; 8] {
    let since = seconds + EPOCH;
    let whole = since as u64 as u32;
    let fraction = (since.fract() * FRACTION) as u32;
    let mut bytes = [0; 8];
    bytes[..4].copy_from_slice(&whole.to_be_bytes());
    bytes[4..].copy_from_slice(&fraction.to_be_bytes());
    bytes
}

fn unstamp(bytes: &[u8]) -> Option<f64> {
    let word = |at: usize| Some(u32::from_be_bytes(bytes.get(at..at + 4)?.try_into().ok()?));
    Some(f64::from(word(0)?) + f64::from(word(4)?) / FRACTION - EPOCH)
}
