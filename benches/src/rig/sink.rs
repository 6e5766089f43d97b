//! The sink: packets to one address are counted and dropped at the ingress
//! hook of the generator's device, before the IP layer sees them.
//!
//! A server may send several datagrams as one super-packet, which crosses the
//! virtual wire whole and is counted as one frame; the counter's bytes still
//! tell the datagrams apart because every datagram of a round has one size.

use std::net::Ipv4Addr;

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use super::command::{feed, run};
use super::{GENERATOR_DEVICE, GENERATOR_NAMESPACE};

const IPV4_UDP_HEADERS: u64 = 20 + 8;

/// What arrived in one round.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Arrived {
    /// Frames that crossed the wire; fewer than datagrams when coalesced.
    pub frames: u64,
    /// UDP datagrams.
    pub datagrams: u64,
}

/// Creates the table and its chain.
pub(super) fn create() -> Result<()> {
    nft(&format!(
        "table netdev fbbench {{\n counter hits {{}}\n chain sink {{ type filter hook ingress \
         device {GENERATOR_DEVICE} priority 0; policy accept; }}\n}}\n"
    ))
}

/// From now on counts and drops everything sent to `address`.
///
/// # Errors
/// When nft fails.
pub fn arm(address: Ipv4Addr) -> Result<()> {
    nft(&format!(
        "flush chain netdev fbbench sink\nreset counter netdev fbbench hits\n\
         add rule netdev fbbench sink ip daddr {address} counter name hits drop\n"
    ))
}

/// Lets everything through again.
///
/// # Errors
/// When nft fails.
pub fn disarm() -> Result<()> {
    nft("flush chain netdev fbbench sink\n")
}

/// What was counted since [`arm`], when every datagram carries `payload` bytes.
///
/// # Errors
/// When nft fails or the bytes do not divide into datagrams of that size,
/// which means that something else was counted too.
pub fn read(payload: u64) -> Result<Arrived> {
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
    datagrams(frames, bytes, payload)
}

fn datagrams(frames: u64, bytes: u64, payload: u64) -> Result<Arrived> {
    let payloads = bytes.saturating_sub(frames * IPV4_UDP_HEADERS);
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
        assert_eq!(
            datagrams(11, bytes, 172).unwrap(),
            Arrived {
                frames: 11,
                datagrams: 18
            }
        );
    }

    #[test]
    fn refuses_foreign_bytes() {
        assert!(datagrams(1, 28 + 171, 172).is_err());
    }
}
