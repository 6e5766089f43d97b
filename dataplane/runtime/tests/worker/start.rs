//! Boot reports and refusals.

use forebay_runtime::worker::listen::{self, ListenOptions};
use forebay_runtime::worker::preflight::{self, Need};
use forebay_runtime::worker::{StartError, spawn};
use forebay_turn::RelayMapping;

use crate::host::{Host, Options, config, ip};

#[test]
fn the_boot_report_says_what_was_granted() {
    let host = Host::new();
    let boot = host.workers[0].boot();
    assert_eq!(boot.listeners.len(), 2);
    assert!(
        boot.listeners
            .iter()
            .all(|(_, buffers)| buffers.receive > 0)
    );
    assert!(boot.relay.receive > 0 && boot.memory.shard > 0 && boot.memory.receive_buffers > 0);
    assert_eq!(boot.relay_ports, 200);
    for name in [
        "real_time",
        "udp_gro",
        "udp_gso",
        "busy_poll",
        "huge_pages",
        "seccomp",
    ] {
        assert!(
            boot.features.iter().any(|feature| feature.name == name),
            "{name} is not reported"
        );
    }
    assert!(
        boot.features
            .iter()
            .any(|feature| feature.name == "seccomp" && feature.active),
        "{boot}"
    );
    host.stop();
}

#[test]
fn refusals_name_the_fix() {
    let open = |address: &str| listen::open(address.parse().unwrap(), 1, ListenOptions::default());
    let first = open("127.0.0.1:0").unwrap();
    let second = open(&first[0].address.to_string()).unwrap_err().to_string();
    assert!(second.contains("another program"), "{second}");
    let foreign = open("192.0.2.1:3478").unwrap_err().to_string();
    assert!(foreign.contains("not on any interface"), "{foreign}");

    let mut wrong = config(0, &Options::default());
    wrong.relays = vec![RelayMapping {
        local: ip("192.0.2.1"),
        public: ip("192.0.2.1"),
    }];
    let error = spawn(wrong).unwrap_err().to_string();
    assert!(
        error.contains("192.0.2.1") && error.contains("external"),
        "{error}"
    );

    let mut wrong = config(0, &Options::default());
    wrong.core = Some(4000);
    let error = spawn(wrong).unwrap_err().to_string();
    assert!(error.contains("core 4000"), "{error}");

    let mut wrong = config(0, &Options::default());
    wrong.shard.listeners = 1;
    assert!(matches!(spawn(wrong), Err(StartError::Config { .. })));
}

#[test]
fn preflight_passes_here_and_names_the_limit_that_is_too_small() {
    let need = Need {
        workers: 2,
        listeners: 2,
        sockets_per_worker: 1000,
    };
    preflight::check(need).unwrap();
    let need = Need {
        sockets_per_worker: 1 << 40,
        ..need
    };
    let error = preflight::check(need).unwrap_err().to_string();
    assert!(error.contains("LimitNOFILE="), "{error}");
}
