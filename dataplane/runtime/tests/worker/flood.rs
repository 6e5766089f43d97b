//! More than a worker can carry.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use forebay_ipc::stats::Stat;

use crate::client::{Client, framed};
use crate::host::{Host, Options, peer};

#[test]
fn allocations_are_made_while_media_overflows_every_buffer() {
    let host = Host::with(&Options {
        buffers: 64,
        ..Options::default()
    });
    let mut noisy = Client::new(host.v4);
    let sink = peer(false);
    noisy.allocate();
    assert_eq!(noisy.channel(0x4001, sink.local_addr().unwrap()), 0);
    let stop = Arc::new(AtomicBool::new(false));
    let flood = {
        let (stop, socket) = (Arc::clone(&stop), noisy.socket.try_clone().unwrap());
        let (server, datagram) = (noisy.server, framed(0x4001, &[0; 100]));
        std::thread::spawn(move || {
            while !stop.load(Ordering::Relaxed) {
                let _ = socket.send_to(&datagram, server);
            }
        })
    };
    host.until(Stat::ToPeerPackets, |count| count > 1000);
    let end = Instant::now() + Duration::from_secs(2);
    let mut made = 0;
    while Instant::now() < end {
        let mut client = Client::new(host.v4);
        let outcome = client.try_allocate(1);
        assert!(
            outcome.is_ok(),
            "{outcome:?} after {made}: {} ready, {} free, {} not opened",
            host.stat(Stat::RelaysReady),
            host.stat(Stat::RelayPortsFree),
            host.stat(Stat::RelayOpenErrors),
        );
        assert_eq!(client.refresh(0), 0);
        made += 1;
    }
    stop.store(true, Ordering::Relaxed);
    flood.join().unwrap();
    assert!(made > 20, "only {made} allocations");
    assert_eq!(host.stat(Stat::RingOverflows), 0);
    host.stop();
}
