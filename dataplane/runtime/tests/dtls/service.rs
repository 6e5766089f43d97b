//! The helper threads, in real time.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, unbounded};
use forebay_media::SessionKey;
use forebay_runtime::dtls::{Deliver, Handshakes, Outcome, Settings};

use crate::peer::{Client, Version};

const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(198, 51, 100, 7));

fn start(settings: Settings) -> (Handshakes, Receiver<(usize, Outcome)>) {
    let (sender, outcomes) = unbounded();
    let deliver: Deliver = Arc::new(move |worker, outcome| {
        let _ = sender.send((worker, outcome));
        Ok(())
    });
    (
        Handshakes::start(settings, deliver).expect("started"),
        outcomes,
    )
}

/// Shakes hands until keys come; their session and worker.
fn connect(
    handshakes: &Handshakes,
    outcomes: &Receiver<(usize, Outcome)>,
    session: SessionKey,
    client: &mut Client,
) -> (usize, bool) {
    let entrance = handshakes.entrance();
    for datagram in client.timeout(Instant::now()) {
        entrance.put(session, HERE, datagram);
    }
    let mut keys = None;
    let end = Instant::now() + Duration::from_secs(10);
    while Instant::now() < end && !(keys.is_some() && client.connected) {
        match outcomes.recv_timeout(Duration::from_millis(50)) {
            Ok((
                _,
                Outcome::Send {
                    session: to,
                    datagrams,
                },
            )) => {
                assert_eq!(to, session);
                for datagram in datagrams {
                    for answer in client.receive(Instant::now(), &datagram) {
                        entrance.put(session, HERE, answer);
                    }
                }
            }
            Ok((
                worker,
                Outcome::Keys {
                    session: whose,
                    keys: agreed,
                },
            )) => {
                assert_eq!(whose, session);
                keys = Some((worker, agreed));
            }
            Ok((_, other)) => unreachable!("{other:?}"),
            Err(_) => {
                for datagram in client.timeout(Instant::now()) {
                    entrance.put(session, HERE, datagram);
                }
            }
        }
    }
    let (worker, keys) = keys.expect("keys within ten seconds");
    (worker, client.agrees(&keys))
}

#[test]
fn a_session_gets_its_keys() {
    let (handshakes, outcomes) = start(Settings {
        threads: 2,
        ..Settings::default()
    });
    for number in 0..6 {
        let version = [Version::V12, Version::V13][number as usize % 2];
        let session = SessionKey(number);
        let mut client = Client::new(version, 1200, Instant::now());
        handshakes
            .set(session, 3, Some(client.fingerprint))
            .expect("room");
        let (worker, agrees) = connect(&handshakes, &outcomes, session, &mut client);
        assert_eq!(worker, 3);
        assert!(agrees);
        assert_eq!(client.presented, Some(handshakes.fingerprint()));
    }
    assert_eq!(handshakes.tally().completed.load(Ordering::Relaxed), 6);
}

#[test]
fn the_fingerprint_may_come_last() {
    let (handshakes, outcomes) = start(Settings::default());
    let session = SessionKey(1);
    let mut client = Client::new(Version::V13, 1200, Instant::now());
    handshakes.set(session, 0, None).expect("room");
    let fingerprint = client.fingerprint;
    std::thread::scope(|scope| {
        scope.spawn(|| {
            std::thread::sleep(Duration::from_millis(300));
            handshakes
                .set(session, 0, Some(fingerprint))
                .expect("known");
        });
        assert_eq!(
            connect(&handshakes, &outcomes, session, &mut client),
            (0, true)
        );
    });
}

#[test]
fn nothing_happens_for_strangers() {
    let (handshakes, outcomes) = start(Settings::default());
    let mut client = Client::new(Version::V12, 1200, Instant::now());
    for datagram in client.timeout(Instant::now()) {
        handshakes
            .entrance()
            .put(SessionKey(9), HERE, datagram.clone());
        handshakes.set(SessionKey(8), 0, None).expect("room");
        handshakes.remove(SessionKey(8));
        handshakes.entrance().put(SessionKey(8), HERE, datagram);
    }
    assert!(outcomes.recv_timeout(Duration::from_millis(200)).is_err());
    assert_eq!(handshakes.tally().started.load(Ordering::Relaxed), 0);
}

#[test]
fn handshakes_are_budgeted_by_source() {
    let (handshakes, outcomes) = start(Settings {
        handshakes_per_source: 3,
        handshakes: 5,
        ..Settings::default()
    });
    let put = |number: u64, source: &str| {
        let session = SessionKey(number);
        handshakes.set(session, 0, None).expect("room");
        let mut client = Client::new(Version::V12, 1200, Instant::now());
        for datagram in client.timeout(Instant::now()) {
            let source = source.parse().expect("an address");
            handshakes.entrance().put(session, source, datagram);
        }
        // The others retransmit meanwhile.
        let end = Instant::now() + Duration::from_millis(300);
        std::iter::from_fn(|| outcomes.recv_deadline(end).ok())
            .any(|(_, outcome)| outcome.session() == session)
    };
    assert!(put(1, "198.51.100.1"));
    assert!(put(2, "198.51.100.2"));
    assert!(put(3, "::ffff:198.51.100.3"));
    assert!(!put(4, "198.51.100.200"));
    assert!(put(5, "2001:db8:0:100::1"));
    assert!(put(6, "2001:db8:0:1ff::1"));
    // Five in all.
    assert!(!put(7, "203.0.113.1"));
    assert_eq!(handshakes.tally().over_budget.load(Ordering::Relaxed), 2);
    // The end of one makes room, but not for its network's fourth.
    handshakes.remove(SessionKey(5));
    assert!(!put(4, "198.51.100.200"));
    assert!(put(7, "203.0.113.1"));
}

#[test]
fn sessions_are_bounded() {
    let (handshakes, _outcomes) = start(Settings {
        sessions: 2,
        ..Settings::default()
    });
    assert!(handshakes.set(SessionKey(1), 0, None).is_ok());
    assert!(handshakes.set(SessionKey(2), 0, None).is_ok());
    assert!(handshakes.set(SessionKey(3), 0, None).is_err());
    assert!(handshakes.set(SessionKey(2), 0, Some([1; 32])).is_ok());
    handshakes.remove(SessionKey(1));
    assert!(handshakes.set(SessionKey(3), 0, None).is_ok());
}

#[test]
fn keys_outlast_a_full_mailbox() {
    let (sender, outcomes) = unbounded();
    let open = Arc::new(AtomicBool::new(false));
    let gate = open.clone();
    let deliver: Deliver = Arc::new(move |worker, outcome| {
        if !matches!(outcome, Outcome::Send { .. }) && !gate.load(Ordering::Relaxed) {
            return Err(outcome);
        }
        let _ = sender.send((worker, outcome));
        Ok(())
    });
    let handshakes = Handshakes::start(Settings::default(), deliver).expect("started");
    let session = SessionKey(1);
    let mut client = Client::new(Version::V12, 1200, Instant::now());
    handshakes
        .set(session, 0, Some(client.fingerprint))
        .expect("room");
    std::thread::scope(|scope| {
        scope.spawn(|| {
            std::thread::sleep(Duration::from_millis(400));
            open.store(true, Ordering::Relaxed);
        });
        assert!(connect(&handshakes, &outcomes, session, &mut client).1);
    });
}
