//! What a worker is told, and what it tells.

use std::time::Duration;

use forebay_ipc::stats::Stat;
use forebay_runtime::worker::{WorkerCommand, WorkerReport};

use crate::client::Client;
use crate::host::{Host, Options, credentials, peer};

#[test]
fn an_allocation_is_reported_and_its_port_comes_back() {
    let host = Host::with(&Options {
        ports_per_worker: 6,
        ready: 4,
        ..Options::default()
    });
    let wait = Duration::from_secs(5);
    for round in 0..20 {
        let mut client = Client::new(host.v4);
        let relayed = client.allocate();
        match host.workers[0].reports().recv_timeout(wait).unwrap() {
            WorkerReport::Created {
                path,
                relayed: told,
                username,
                ..
            } => {
                assert_eq!(
                    (path.client, told.0, &*username),
                    (client.address(), relayed, "alice")
                );
            }
            other => panic!("round {round}: {other:?}"),
        }
        assert_eq!(client.refresh(0), 0);
        let report = host.workers[0].reports().recv_timeout(wait).unwrap();
        assert!(
            matches!(report, WorkerReport::Deleted { .. }),
            "round {round}: {report:?}"
        );
    }
    host.until(Stat::AllocationsLive, |count| count == 0);
    // Twelve ports: four of each family are open, the others free.
    host.until(Stat::RelayPortsFree, |count| count == 4);
    assert_eq!(
        (host.stat(Stat::RelayPorts), host.stat(Stat::RelaysReady)),
        (12, 8)
    );
    host.stop();
}

#[test]
fn when_ports_run_out_the_answer_is_508_and_a_freed_port_serves_again() {
    let host = Host::with(&Options {
        ports_per_worker: 3,
        ready: 2,
        ..Options::default()
    });
    let mut clients: Vec<Client> = (0..3).map(|_| Client::new(host.v4)).collect();
    for client in &mut clients {
        client.allocate();
    }
    let mut late = Client::new(host.v4);
    assert_eq!(late.try_allocate(1), Err(508));
    // The other family has ports of its own.
    assert!(Client::new(host.v4).try_allocate(2).is_ok());
    assert_eq!(clients[1].refresh(0), 0);
    host.until(Stat::RelaysReady, |count| count == 3);
    assert!(late.try_allocate(1).is_ok());
    host.stop();
}

#[test]
fn a_port_another_program_has_is_left_alone() {
    let options = Options {
        ports_per_worker: 4,
        ready: 4,
        ..Options::default()
    };
    let mut config = crate::host::config(0, &options);
    let taken = std::net::UdpSocket::bind(("127.0.0.1", config.relay_ports[2])).unwrap();
    config.relays.truncate(1);
    let worker = forebay_runtime::worker::spawn(config).unwrap();
    let host = Host {
        v4: taken.local_addr().unwrap(),
        v6: "[::1]:1".parse().unwrap(),
        workers: vec![worker],
    };
    host.until(Stat::RelaysReady, |count| count == 3);
    assert_eq!(
        (host.stat(Stat::RelayPorts), host.stat(Stat::RelayPortsFree)),
        (4, 0)
    );
    assert_eq!(host.stat(Stat::RelayOpenErrors), 0);
    host.stop();
}

#[test]
fn credentials_rotate_without_breaking_live_allocations() {
    let host = Host::new();
    let mut old = Client::new(host.v4);
    let peer = peer(false);
    old.allocate();
    host.tell(&WorkerCommand::SetCredentials(credentials("changed")));
    let mut new = Client::with_password(host.v4, "changed");
    new.allocate();
    assert_eq!(
        old.channel(0x4001, peer.local_addr().unwrap()),
        0,
        "a live allocation keeps its key"
    );
    assert_eq!(Client::new(host.v4).try_allocate(1), Err(401));
    host.stop();
}

#[test]
fn the_operator_ends_an_allocation() {
    let host = Host::new();
    let mut client = Client::new(host.v4);
    client.allocate();
    let report = host.workers[0]
        .reports()
        .recv_timeout(Duration::from_secs(5))
        .unwrap();
    let WorkerReport::Created { allocation, .. } = report else {
        panic!("{report:?}")
    };
    host.tell(&WorkerCommand::Delete(allocation));
    host.until(Stat::AllocationsLive, |count| count == 0);
    assert_eq!(client.refresh(600), 437);
    host.stop();
}

#[test]
fn draining_refuses_new_clients_and_serves_the_old() {
    let host = Host::new();
    let mut client = Client::new(host.v4);
    client.allocate();
    host.tell(&WorkerCommand::Drain);
    let mut late = Client::new(host.v4);
    assert_eq!(late.try_allocate(1), Err(508));
    let peer = peer(false);
    assert_eq!(client.channel(0x4001, peer.local_addr().unwrap()), 0);
    client.send_channel(0x4001, b"still here");
    assert_eq!(peer.recv_from(&mut [0; 64]).unwrap().0, 10);
    host.stop();
}

#[test]
fn a_full_mailbox_says_so_and_commands_are_not_lost() {
    let host = Host::new();
    let mut refused = 0;
    for _ in 0..5000 {
        refused += u64::from(
            host.workers[0]
                .send(WorkerCommand::SetPolicy(crate::host::policy()))
                .is_err(),
        );
    }
    assert_eq!(host.stat(Stat::CommandsRefused), refused);
    while host.workers[0].send(WorkerCommand::Drain).is_err() {
        std::thread::yield_now();
    }
    std::thread::sleep(Duration::from_millis(50));
    assert_eq!(
        Client::new(host.v4).try_allocate(1),
        Err(508),
        "the drain behind them arrived"
    );
    host.stop();
}

#[test]
fn after_the_end_address_and_ports_are_free_at_once() {
    let host = Host::new();
    let (v4, v6) = (host.v4, host.v6);
    let mut client = Client::new(v4);
    let relayed = client.allocate();
    host.stop();
    for address in [v4, v6, relayed] {
        assert!(
            !forebay_sys::sockets::is_taken(address).unwrap(),
            "{address} is still held"
        );
    }
}
