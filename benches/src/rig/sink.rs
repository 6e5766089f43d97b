//! The sink: where relayed packets end, counted, at next to no cost to the
//! server on whose time they are delivered.
//!
//! To the server's namespace the sink address lies behind a MAC address that
//! the generator's device does not have, so its IP layer drops each frame at
//! first sight, and the device's own counters tell how many there were. A
//! server may send several datagrams as one super-packet, which crosses the
//! virtual wire whole and is counted as one frame; the bytes still tell the
//! datagrams apart because every datagram of a round has one size.
//!
//! Where other packets flow meanwhile, a [`Filter`] tells them apart, at a
//! quarter of a microsecond per frame.

use std::net::Ipv4Addr;

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use super::command::{feed, run};
use super::{
    GENERATOR_DEVICE, GENERATOR_MAC, GENERATOR_NAMESPACE, SERVER_DEVICE, SERVER_NAMESPACE,
};

/// Locally administered, and nobody's.
const NOBODY: &str = "02:00:00:00:00:ff";
const ETHERNET: u64 = 14;
const IPV4_UDP: u64 = 20 + 8;

/// What arrived in one round.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Arrived {
    /// Frames that crossed the wire; fewer than datagrams when coalesced.
    pub frames: u64,
    /// UDP datagrams.
    pub datagrams: u64,
}

#[derive(Clone, Copy)]
struct Count {
    frames: u64,
    bytes: u64,
}

/// A way to end and count what is sent to one address.
pub trait Sink {
    /// What was counted since the sink was made, when every datagram carries
    /// `payload` bytes.
    ///
    /// # Errors
    /// When a tool fails, or the bytes do not divide into datagrams of that
    /// size, which means that something else was counted too.
    fn read(&self, payload: u64) -> Result<Arrived>;
}

/// Ends everything sent to one address; counts everything on the wire.
pub struct Unreached {
    address: Ipv4Addr,
    before: Count,
}

impl Unreached {
    /// From now on everything sent to `address` ends at the device.
    ///
    /// # Errors
    /// When a tool fails.
    pub fn new(address: Ipv4Addr) -> Result<Self> {
        neighbour(address, NOBODY)?;
        Ok(Self {
            address,
            before: device()?,
        })
    }
}

impl Unreached {
    /// What was counted where other packets mingle (reports, checks) that are
    /// few: datagrams of `payload` bytes as the bytes say.
    ///
    /// # Errors
    /// When a tool fails.
    pub fn about(&self, payload: u64) -> Result<Arrived> {
        let now = device()?;
        let frames = now.frames - self.before.frames;
        let bytes = now.bytes - self.before.bytes;
        let payloads = bytes.saturating_sub(frames * (ETHERNET + IPV4_UDP));
        Ok(Arrived {
            frames,
            datagrams: payloads / payload.max(1),
        })
    }
}

impl Sink for Unreached {
    fn read(&self, payload: u64) -> Result<Arrived> {
        let now = device()?;
        let frames = now.frames - self.before.frames;
        datagrams(
            frames,
            now.bytes - self.before.bytes,
            ETHERNET + IPV4_UDP,
            payload,
        )
    }
}

impl Drop for Unreached {
    fn drop(&mut self) {
        // Fails only when the rig is gone already.
        let _ = neighbour(self.address, GENERATOR_MAC);
    }
}

/// Ends everything sent to one address beside connections that live on: what
/// the device received and the IP layer did not.
pub struct Beside {
    unreached: Unreached,
    delivered: Count,
}

impl Beside {
    /// From now on everything sent to `address` ends at the device. The
    /// calling thread is in the generator's namespace.
    ///
    /// # Errors
    /// When a tool fails.
    pub fn new(address: Ipv4Addr) -> Result<Self> {
        Ok(Self {
            unreached: Unreached::new(address)?,
            delivered: delivered()?,
        })
    }
}

impl Sink for Beside {
    fn read(&self, payload: u64) -> Result<Arrived> {
        let (now, before) = (device()?, &self.unreached.before);
        let delivered = delivered()?;
        let others = delivered.frames - self.delivered.frames;
        let bytes = delivered.bytes - self.delivered.bytes;
        datagrams(
            now.frames - before.frames - others,
            now.bytes - before.bytes - bytes - others * ETHERNET,
            ETHERNET + IPV4_UDP,
            payload,
        )
    }
}

/// What the IP layer of this thread's namespace has received; bytes without
/// Ethernet headers.
fn delivered() -> Result<Count> {
    Ok(Count {
        frames: counter("snmp", "Ip", "InReceives")?,
        bytes: counter("netstat", "IpExt", "InOctets")?,
    })
}

/// One of the kernel's counters: a line of names, then a line of values.
fn counter(file: &str, group: &str, name: &str) -> Result<u64> {
    let text = std::fs::read_to_string(format!("/proc/thread-self/net/{file}"))?;
    let mut lines = text
        .lines()
        .filter_map(|line| line.strip_prefix(group)?.strip_prefix(':'));
    let names = lines.next().unwrap_or_default();
    let values = lines.next().unwrap_or_default();
    names
        .split_whitespace()
        .zip(values.split_whitespace())
        .find_map(|(found, value)| (found == name).then(|| value.parse().ok())?)
        .with_context(|| format!("the kernel does not show {group} {name}"))
}

/// Ends and counts what is sent to one address, at the ingress hook.
pub struct Filter;

impl Filter {
    /// From now on counts and drops everything sent to `address`.
    ///
    /// # Errors
    /// When nft fails.
    pub fn new(address: Ipv4Addr) -> Result<Self> {
        nft(&format!(
            "table netdev fbbench {{\n counter hits {{}}\n chain sink {{ type filter hook ingress \
             device {GENERATOR_DEVICE} priority 0; policy accept; ip daddr {address} counter name \
             hits drop; }}\n}}\n"
        ))?;
        Ok(Self)
    }
}

impl Sink for Filter {
    fn read(&self, payload: u64) -> Result<Arrived> {
        let text = run(&format!(
            "ip netns exec {GENERATOR_NAMESPACE} nft -j list counter netdev fbbench hits"
        ))?;
        let json: Value = serde_json::from_str(&text)?;
        let counter = json["nftables"]
            .as_array()
            .and_then(|objects| objects.iter().find_map(|object| object.get("counter")))
            .context("nft shows no counter")?;
        let frames = counter["packets"]
            .as_u64()
            .context("nft shows no packets")?;
        let bytes = counter["bytes"].as_u64().context("nft shows no bytes")?;
        datagrams(frames, bytes, IPV4_UDP, payload)
    }
}

impl Drop for Filter {
    fn drop(&mut self) {
        // Fails only when the rig is gone already.
        let _ = nft("delete table netdev fbbench\n");
    }
}

/// Tells the server's namespace that `address` is at `mac`.
pub(super) fn neighbour(address: Ipv4Addr, mac: &str) -> Result<()> {
    run(&format!(
        "ip -n {SERVER_NAMESPACE} neigh replace {address} lladdr {mac} dev {SERVER_DEVICE} nud \
         permanent"
    ))
    .map(drop)
}

fn device() -> Result<Count> {
    let text = run(&format!(
        "ip -n {GENERATOR_NAMESPACE} -s -j link show dev {GENERATOR_DEVICE}"
    ))?;
    let json: Value = serde_json::from_str(&text)?;
    let received = &json[0]["stats64"]["rx"];
    Ok(Count {
        frames: received["packets"]
            .as_u64()
            .context("ip shows no packets")?,
        bytes: received["bytes"].as_u64().context("ip shows no bytes")?,
    })
}

fn datagrams(frames: u64, bytes: u64, headers: u64, payload: u64) -> Result<Arrived> {
    let payloads = bytes.saturating_sub(frames * headers);
    if payload == 0 || !payloads.is_multiple_of(payload) {
        bail!("{frames} frames of {bytes} bytes are not all datagrams of {payload} bytes");
    }
    Ok(Arrived {
        frames,
        datagrams: payloads / payload,
    })
}

fn nft(script: &str) -> Result<()> {
    feed(
        &format!("ip netns exec {GENERATOR_NAMESPACE} nft -f -"),
        script,
    )
    .map(drop)
}

#[cfg(test)]
mod tests {
    use super::{Arrived, datagrams};

    #[test]
    fn counts_datagrams_inside_super_packets() {
        // Ten plain datagrams and one super-packet of eight.
        let bytes = 10 * (28 + 172) + 28 + 8 * 172;
        let arrived = datagrams(11, bytes, 28, 172).unwrap();
        assert_eq!(
            arrived,
            Arrived {
                frames: 11,
                datagrams: 18
            }
        );
    }

    #[test]
    fn refuses_foreign_bytes() {
        assert!(datagrams(1, 28 + 171, 28, 172).is_err());
    }
}
