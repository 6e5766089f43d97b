//! Fuzz targets as plain functions: each takes any bytes and panics only when
//! an invariant of ours is broken. The fuzzer in `fuzz/` and the replay test
//! in `tests/` run the same functions over the same corpus.

mod channel_data;
mod codec;
mod config;
mod demux;
mod dtls;
mod forwarder;
mod framing;
mod import_coturn;
mod ipc;
mod proxy_protocol;
mod rtcp;
mod rtp;
mod sdp;
mod send_indication;
mod shard;
mod srtp;
mod stun;

/// A function to fuzz and the name of its folder in `corpus/`.
#[derive(Clone, Copy)]
pub struct Target {
    /// Also the name of the fuzzer's binary.
    pub name: &'static str,
    /// Panics when an invariant is broken.
    pub run: fn(&[u8]),
}

/// Every target.
pub const TARGETS: [Target; 17] = [
    Target {
        name: "channel_data",
        run: channel_data::run,
    },
    Target {
        name: "codec",
        run: codec::run,
    },
    Target {
        name: "config",
        run: config::run,
    },
    Target {
        name: "demux",
        run: demux::run,
    },
    Target {
        name: "dtls",
        run: dtls::run,
    },
    Target {
        name: "forwarder",
        run: forwarder::run,
    },
    Target {
        name: "framing",
        run: framing::run,
    },
    Target {
        name: "import_coturn",
        run: import_coturn::run,
    },
    Target {
        name: "ipc",
        run: ipc::run,
    },
    Target {
        name: "proxy_protocol",
        run: proxy_protocol::run,
    },
    Target {
        name: "rtcp",
        run: rtcp::run,
    },
    Target {
        name: "rtp",
        run: rtp::run,
    },
    Target {
        name: "sdp",
        run: sdp::run,
    },
    Target {
        name: "send_indication",
        run: send_indication::run,
    },
    Target {
        name: "shard",
        run: shard::run,
    },
    Target {
        name: "srtp",
        run: srtp::run,
    },
    Target {
        name: "stun",
        run: stun::run,
    },
];

/// Runs the target of this name.
///
/// # Panics
/// When the target does, or without a target of this name.
pub fn run(name: &str, input: &[u8]) {
    let target = TARGETS.iter().find(|target| target.name == name);
    (target.expect("a target of this name").run)(input);
}
