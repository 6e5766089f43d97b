//! What a DTLS handshake costs the helper thread that runs our side of it:
//! microseconds, handshakes per second, and the memory an established
//! association keeps.

use std::alloc::System;
use std::sync::Arc;
use std::time::{Duration, Instant};

use dimpl::certificate::{calculate_fingerprint, generate_self_signed_certificate};
use dimpl::{Config, Dtls, DtlsCertificate, Output};
use forebay_runtime::dtls::{Association, Fingerprint, Identity, News, Terms};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const HANDSHAKES: u32 = 200;

fn main() {
    println!(
        "{:<10} {:>13} {:>13} {:>12}",
        "version", "µs, our side", "per second", "bytes kept"
    );
    for (name, dtls13) in [("DTLS 1.2", false), ("DTLS 1.3", true)] {
        let bench = Bench::new(dtls13);
        let mut kept = Vec::new();
        let mut spent = Duration::ZERO;
        let mut bytes = 0;
        for _ in 0..HANDSHAKES {
            let (association, time, memory) = bench.shake();
            kept.push(association);
            spent += time;
            bytes += memory;
        }
        let each = spent / HANDSHAKES;
        println!(
            "{name:<10} {:>13.0} {:>13.0} {:>12}",
            each.as_secs_f64() * 1e6,
            1.0 / each.as_secs_f64(),
            bytes / HANDSHAKES as usize
        );
    }
}

struct Bench {
    terms: Terms,
    identity: Arc<Identity>,
    config: Arc<Config>,
    certificate: DtlsCertificate,
    expected: Fingerprint,
    dtls13: bool,
}

impl Bench {
    fn new(dtls13: bool) -> Self {
        let certificate = generate_self_signed_certificate().expect("a certificate");
        let expected = calculate_fingerprint(&certificate.certificate);
        Self {
            terms: Terms::new().expect("usable"),
            identity: Arc::new(Identity::new(Instant::now()).expect("a certificate")),
            config: Arc::new(Config::builder().build().expect("valid")),
            certificate,
            expected: expected.try_into().expect("SHA-256"),
            dtls13,
        }
    }

    /// The association, the time spent in it, and the bytes it holds.
    fn shake(&self) -> (Association, Duration, usize) {
        let start = Instant::now();
        let mut client = if self.dtls13 {
            Dtls::new_13(self.config.clone(), self.certificate.clone(), start)
        } else {
            Dtls::new_12(self.config.clone(), self.certificate.clone(), start)
        };
        client.set_active(true);
        client.handle_timeout(start).expect("a first flight");
        let mut spent = Duration::ZERO;
        let mut bytes = 0_isize;
        let mut ours = Association::new(
            self.terms.clone(),
            self.identity.clone(),
            Some(self.expected),
        );
        loop {
            let sent = poll(&mut client);
            assert!(!sent.is_empty(), "the handshake stands still");
            for datagram in sent {
                let region = Region::new(ALLOCATOR);
                let before = Instant::now();
                let reaction = ours.receive(before, datagram);
                spent += before.elapsed();
                let change = region.change();
                bytes += change.bytes_allocated as isize - change.bytes_deallocated as isize;
                if let [News::Keys(_)] = reaction.news.as_slice() {
                    return (ours, spent, bytes.unsigned_abs());
                }
                assert!(reaction.news.is_empty(), "{:?}", reaction.news);
                for datagram in reaction.datagrams {
                    client.handle_packet(&datagram).expect("the client goes on");
                }
            }
        }
    }
}

fn poll(client: &mut Dtls) -> Vec<Box<[u8]>> {
    let mut buffer = [0; 2048];
    let mut sent = Vec::new();
    loop {
        match client.poll_output(&mut buffer) {
            Output::Packet(packet) => sent.push(packet.into()),
            Output::Timeout(_) => return sent,
            _ => {}
        }
    }
}
