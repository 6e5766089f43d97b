//! Who publishes is heard by who subscribes, whatever the control plane does.

use std::net::SocketAddr;
use std::time::Duration;

use forebay_ipc::media::{MediaEvent, SessionEnd, SessionKey, TrackKey};
use forebay_ipc::{Command, FromDataplane, Outcome, Role};

use crate::dataplane::{Dataplane, Link};
use crate::describe::{
    PASSWORD, audio, select, session, set_session, set_subscription, set_track, subscription, ufrag,
};
use crate::peer::{Peer, Rtp};

const SPEAKER: u64 = 1;
const LISTENER: u64 = 2;
const VOICE: u64 = 10;
const HEARD: u64 = 20;
const OUT: u32 = 5000;

fn peer(link: &mut Link, key: u64, at: SocketAddr) -> Peer {
    let peer = Peer::new(at, &ufrag(key), PASSWORD);
    let set = set_session(&session(key, 0, peer.fingerprint));
    assert_eq!(link.command(set), Outcome::Done);
    peer
}

/// Two peers on worker 0, one of which hears the other.
fn call(link: &mut Link, at: SocketAddr) -> (Peer, Peer) {
    let mut speaker = peer(link, SPEAKER, at);
    let mut listener = peer(link, LISTENER, at);
    let track = audio(VOICE, SPEAKER, 77);
    assert_eq!(link.command(set_track(&track)), Outcome::Done);
    let heard = subscription(HEARD, &track, LISTENER, select(OUT));
    assert_eq!(link.command(set_subscription(&heard)), Outcome::Done);
    speaker.join();
    listener.join();
    for key in [SPEAKER, LISTENER] {
        let of = SessionKey(key);
        link.event(
            |event| matches!(event, MediaEvent::Connected { session, .. } if *session == of),
        );
        let secured = link
            .event(|event| matches!(event, MediaEvent::Secured { session, .. } if *session == of));
        assert!(matches!(
            secured,
            MediaEvent::Secured { profile: 7 | 8, .. }
        ));
    }
    // The keys are on their way to the worker.
    std::thread::sleep(Duration::from_millis(50));
    (speaker, listener)
}

/// A word from one to the other.
fn speak(speaker: &mut Peer, number: u16) -> Vec<u8> {
    let payload = vec![number as u8; 60 + usize::from(number % 40)];
    let rtp = Rtp {
        payload_type: 111,
        sequence: number,
        ssrc: 77,
        payload: payload.clone(),
    };
    speaker.send_rtp(&rtp, false, u32::from(number) * 960);
    payload
}

fn talk(speaker: &mut Peer, listener: &mut Peer, numbers: std::ops::Range<u16>) -> Vec<u16> {
    numbers
        .map(|number| {
            let said = speak(speaker, number);
            let heard = listener.rtp();
            assert_eq!((heard.payload_type, heard.ssrc), (111, OUT));
            assert_eq!(heard.payload, said, "word {number}");
            heard.sequence
        })
        .collect()
}

fn is_dense(sequences: &[u16]) -> bool {
    sequences
        .windows(2)
        .all(|pair| pair[1] == pair[0].wrapping_add(1))
}

fn hears(at: impl Fn(&Dataplane) -> SocketAddr) {
    let plane = Dataplane::start();
    let mut link = plane.link(Role::Controller, true);
    let snapshot = link.snapshot();
    let at = at(&plane);
    assert!(snapshot.media[0].addresses.contains(&at));
    let (mut speaker, mut listener) = call(&mut link, at);
    let certificate = snapshot.begin.certificate.expect("media is on").0;
    assert_eq!(speaker.presented, Some(certificate));
    assert!(is_dense(&talk(&mut speaker, &mut listener, 100..200)));

    let arrives = MediaEvent::Encoding {
        track: TrackKey(VOICE),
        encoding: 0,
        active: true,
    };
    link.event(|event| *event == arrives);

    // Statistics settle within a quarter of a second.
    std::thread::sleep(Duration::from_millis(600));
    let metrics = plane.http("/metrics");
    let value = |name: &str| {
        metrics
            .lines()
            .find_map(|line| line.strip_prefix(name)?.trim().parse::<f64>().ok())
    };
    let forwarded = "forebay_media_packets_total{worker=\"0\",direction=\"forwarded\"}";
    assert_eq!(value(forwarded), Some(100.0), "{metrics}");
    assert_eq!(value("forebay_media_sessions{worker=\"0\"}"), Some(2.0));
    let completed = "forebay_dtls_handshakes_total{stage=\"completed\"}";
    assert_eq!(value(completed), Some(2.0));
}

#[test]
fn over_ipv4_what_is_published_is_heard() {
    hears(|plane| plane.media_v4(0));
}

#[test]
fn over_ipv6_what_is_published_is_heard() {
    hears(|plane| plane.media_v6(0));
}

#[test]
fn a_call_goes_on_without_its_control_plane_and_the_next_one_knows_it() {
    let plane = Dataplane::start();
    let mut first = plane.link(Role::Controller, true);
    first.snapshot();
    let (mut speaker, mut listener) = call(&mut first, plane.media_v4(0));
    let mut sequences = talk(&mut speaker, &mut listener, 0..20);
    drop(first);
    sequences.extend(talk(&mut speaker, &mut listener, 20..60));

    let mut second = plane.link(Role::Controller, true);
    let snapshot = second.snapshot();
    let notes: Vec<_> = snapshot
        .sessions
        .iter()
        .map(|session| (session.key.0, session.note.to_vec()))
        .collect();
    assert_eq!(
        notes,
        [(1, b"note of 1".to_vec()), (2, b"note of 2".to_vec())]
    );
    let track = audio(VOICE, SPEAKER, 77);
    assert_eq!(snapshot.tracks, std::slice::from_ref(&track));
    let heard = subscription(HEARD, &track, LISTENER, select(OUT));
    assert_eq!(snapshot.subscriptions, [heard]);
    assert_eq!(
        snapshot.sessions[0],
        session(SPEAKER, 0, speaker.fingerprint)
    );
    sequences.extend(talk(&mut speaker, &mut listener, 60..80));
    assert!(is_dense(&sequences), "not a packet is lost");

    // Observers see what there is, but no secrets.
    let observed = plane.link(Role::Observer, true).snapshot();
    assert_eq!(observed.subscriptions.len(), 1);
    let shown = &observed.sessions[0];
    assert!(shown.note.is_empty() && observed.tracks[0].note.is_empty());
    let forebay_ipc::media::MediaTransport::Ice { local_password, .. } = &shown.transport else {
        panic!("a browser");
    };
    assert!(local_password.expose().is_empty());

    // The late one may end what it knows.
    let remove = Command::RemoveSession(SessionKey(SPEAKER));
    assert_eq!(second.command(remove.clone()), Outcome::Done);
    assert_eq!(second.command(remove), Outcome::NotFound);
    speak(&mut speaker, 80);
    assert_eq!(listener.receive(), None);
    let left = plane.link(Role::Observer, true).snapshot();
    assert_eq!(left.sessions.len(), 1);
    assert!(left.tracks.is_empty() && left.subscriptions.is_empty());
}

#[test]
fn another_certificate_than_announced_ends_the_session() {
    let plane = Dataplane::start();
    let mut link = plane.link(Role::Controller, true);
    link.snapshot();
    let mut peer = Peer::new(plane.media_v4(0), &ufrag(3), PASSWORD);
    let announced = session(3, 0, [0xAA; 32]);
    assert_eq!(link.command(set_session(&announced)), Outcome::Done);
    peer.connect();
    peer.secure(Duration::from_secs(2));
    let end = link.event(|event| matches!(event, MediaEvent::Ended { .. }));
    assert_eq!(
        end,
        MediaEvent::Ended {
            session: SessionKey(3),
            why: SessionEnd::Fingerprint
        }
    );
    assert!(
        plane
            .link(Role::Observer, true)
            .snapshot()
            .sessions
            .is_empty()
    );
}

#[test]
fn a_peer_that_closes_ends_its_session() {
    let plane = Dataplane::start();
    let mut link = plane.link(Role::Controller, true);
    link.snapshot();
    let mut peer = peer(&mut link, 4, plane.media_v6(0));
    peer.join();
    peer.close();
    let end = link.event(|event| matches!(event, MediaEvent::Ended { .. }));
    assert_eq!(
        end,
        MediaEvent::Ended {
            session: SessionKey(4),
            why: SessionEnd::ClosedByPeer
        }
    );
    let stats = link.wait_for(|message| matches!(message, FromDataplane::Stats(_)));
    assert!(matches!(stats, FromDataplane::Stats(_)));
}
