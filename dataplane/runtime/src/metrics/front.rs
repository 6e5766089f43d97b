//! What is in front of the workers.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

use forebay_ipc::stats::Kind;
use prometheus_client::encoding::DescriptorEncoder;
use prometheus_client::metrics::MetricType;

use super::exposition::{gauge, put};
use crate::front::{Failure, PerTransport, Refusal, TRANSPORTS, Tally, Web, days_left, label};

pub(super) fn encode(tally: &Tally, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
    single(
        encoder,
        "forebay_connections_accepted",
        "TCP connections accepted.",
        &tally.accepted,
    )?;
    counter(
        encoder,
        "forebay_connections_refused",
        "TCP and TLS connections closed before they became a stream, and DTLS ones no worker took.",
        "reason",
        Refusal::ALL
            .iter()
            .map(|why| (why.label(), &tally.refused[*why as usize])),
    )?;
    counter(
        encoder,
        "forebay_connections_adopted",
        "Connections of TURN clients handed to a worker.",
        "transport",
        transports(&tally.streams),
    )?;
    single(
        encoder,
        "forebay_media_connections_adopted",
        "TCP connections of media handed to the worker of their session.",
        &tally.media,
    )?;
    counter(
        encoder,
        "forebay_client_handshakes",
        "Handshakes with clients that were done.",
        "transport",
        transports(&tally.handshakes).filter(|(transport, _)| *transport != "tcp"),
    )?;
    let mut family = encoder.encode_descriptor(
        "forebay_client_handshakes_failed",
        "Handshakes with clients that failed.",
        None,
        MetricType::Counter,
    )?;
    for (transport, counters) in [("tls", &tally.tls_failed), ("dtls", &tally.dtls_failed)] {
        for why in Failure::ALL {
            let labels = [("transport", transport), ("reason", why.label())];
            put(
                family.encode_family(&labels)?,
                Kind::Counter,
                counters[*why as usize].load(Ordering::Relaxed),
            )?;
        }
    }
    counter(
        encoder,
        "forebay_web_connections",
        "Connections that were not TURN and went to a web server or got an answer.",
        "to",
        Web::ALL
            .iter()
            .map(|what| (what.label(), &tally.web[*what as usize])),
    )?;
    counter(
        encoder,
        "forebay_dtls_client_datagrams_dropped",
        "Datagrams of DTLS clients that were dropped.",
        "reason",
        [
            ("over_budget", &tally.dtls_over_budget),
            ("no_room", &tally.dtls_dropped),
        ],
    )?;
    gauge(
        encoder,
        "forebay_connections_half_open",
        "TCP and TLS connections that have not shown yet what they want.",
        signed(&tally.half_open),
    )?;
    let not_after = tally.certificate_not_after.load(Ordering::Relaxed);
    if not_after == 0 {
        return Ok(());
    }
    single(
        encoder,
        "forebay_certificates_loaded",
        "Certificates taken into use, the first one included.",
        &tally.certificates,
    )?;
    gauge(
        encoder,
        "forebay_certificate_broken",
        "Whether the certificate files cannot be used, so that an old pair is.",
        signed(&tally.certificate_broken),
    )?;
    gauge(
        encoder,
        "forebay_certificate_days_left",
        "Whole days until the certificate in use ends; negative when it is over.",
        days_left(not_after),
    )
}

fn transports(counters: &PerTransport) -> impl Iterator<Item = (&'static str, &AtomicU64)> {
    TRANSPORTS.map(label).into_iter().zip(counters)
}

/// A counter by one label.
fn counter<'a>(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    key: &'static str,
    values: impl IntoIterator<Item = (&'static str, &'a AtomicU64)>,
) -> fmt::Result {
    let mut family = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
    for (value, counter) in values {
        let count = counter.load(Ordering::Relaxed);
        put(family.encode_family(&[(key, value)])?, Kind::Counter, count)?;
    }
    Ok(())
}

/// A counter without a label.
fn single(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    counter: &AtomicU64,
) -> fmt::Result {
    let encoder = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
    put(encoder, Kind::Counter, counter.load(Ordering::Relaxed))
}

fn signed(value: &AtomicU64) -> i64 {
    i64::try_from(value.load(Ordering::Relaxed)).unwrap_or(i64::MAX)
}
