//! Negotiation, over offers of real clients (`offers/`: Chromium 156, Firefox
//! 153, aiortc 1.16, GStreamer 1.22).

#![allow(clippy::unwrap_used, clippy::panic, reason = "test code")]

mod hostile;
mod publisher;
mod renegotiation;
mod subscriber;
mod viewer;

use forebay_controlplane::sdp::{LocalTransport, SentTrack};
use forebay_ipc::media::{Fingerprint, TrackKind};

fn offer(name: &str) -> String {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/sdp/offers");
    std::fs::read_to_string(format!("{folder}/{name}.sdp")).unwrap()
}

fn local() -> LocalTransport {
    LocalTransport {
        ufrag: "fb0+".to_owned(),
        password: "0123456789abcdefghijkl/+".to_owned(),
        fingerprint: Fingerprint(std::array::from_fn(|i| i as u8 * 7)),
        candidates: vec![
            "203.0.113.7:7882".parse().unwrap(),
            "[2001:db8::7]:7882".parse().unwrap(),
        ],
        tcp_candidates: vec!["203.0.113.7:7881".parse().unwrap()],
    }
}

fn track(kind: TrackKind, number: u32) -> SentTrack {
    SentTrack {
        kind,
        stream: format!("p-{number}"),
        track: format!("t-{number}"),
        ssrc: 1_000 + number,
        rtx_ssrc: (kind == TrackKind::Video).then_some(2_000 + number),
    }
}

/// The lines of each section, the session's first.
fn parts(text: &str) -> Vec<Vec<&str>> {
    assert!(text.ends_with("\r\n"), "lines end with CRLF");
    let mut parts = vec![Vec::new()];
    for line in text.split_terminator("\r\n") {
        assert!(
            !line.contains(['\r', '\n']) && line.as_bytes()[1] == b'=',
            "{line}"
        );
        if line.starts_with("m=") {
            parts.push(Vec::new());
        }
        parts.last_mut().unwrap().push(line);
    }
    parts
}

fn has(part: &[&str], line: &str) -> bool {
    part.contains(&line)
}

/// Values of an attribute.
fn values<'a>(part: &[&'a str], key: &str) -> Vec<&'a str> {
    let start = format!("a={key}:");
    part.iter()
        .filter_map(|line| line.strip_prefix(start.as_str()))
        .collect()
}
