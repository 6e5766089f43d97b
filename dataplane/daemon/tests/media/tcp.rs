//! Sessions over connections, where no UDP gets through (RFC 6544): both ends,
//! either worker, connections that are lost, that belong to nobody, that are
//! not read.

use std::io::{Read as _, Write as _};
use std::net::{IpAddr, Ipv6Addr, SocketAddr, TcpStream};
use std::time::Duration;

use forebay_ipc::Outcome;
use forebay_ipc::Role;

use crate::dataplane::{Dataplane, Link};
use crate::describe::{
    PASSWORD, audio, select, session, set_session, set_subscription, set_track, subscription, ufrag,
};
use crate::peer::{Peer, Rtp};
use crate::stun;

const VOICE: u64 = 10;
const OUT: u32 = 5000;

impl Dataplane {
    fn tcp_v4(&self) -> SocketAddr {
        self.media_tcp(IpAddr::V4(self.address))
    }

    fn tcp_v6(&self) -> SocketAddr {
        self.media_tcp(IpAddr::V6(Ipv6Addr::LOCALHOST))
    }

    /// The value of a metric, over all workers.
    fn sum(&self, start: &str) -> f64 {
        self.http("/metrics")
            .lines()
            .filter(|line| line.starts_with(start))
            .filter_map(|line| line.rsplit_once(' ')?.1.parse::<f64>().ok())
            .sum()
    }
}

/// A session on a worker, for a peer that comes over TCP or UDP.
fn peer(link: &mut Link, key: u64, worker: u16, at: SocketAddr, tcp: bool) -> Peer {
    let way = if tcp { Peer::over_tcp } else { Peer::new };
    let peer = way(at, &ufrag(key), PASSWORD);
    let set = set_session(&session(key, worker, peer.fingerprint));
    assert_eq!(link.command(set), Outcome::Done);
    peer
}

/// Lets `listener` hear what session 1 sends.
fn subscribe(link: &mut Link, listener: u64) {
    let track = audio(VOICE, 1, 77);
    assert_eq!(link.command(set_track(&track)), Outcome::Done);
    let heard = subscription(10 * listener, &track, listener, select(OUT));
    assert_eq!(link.command(set_subscription(&heard)), Outcome::Done);
}

fn speak(speaker: &mut Peer, number: u16, len: usize) -> Vec<u8> {
    let rtp = Rtp {
        payload_type: 111,
        sequence: number,
        ssrc: 77,
        payload: vec![number as u8; len],
    };
    speaker.send_rtp(&rtp, false, u32::from(number) * 960);
    rtp.payload
}

fn talk(speaker: &mut Peer, listener: &mut Peer, numbers: std::ops::Range<u16>) {
    for number in numbers {
        let said = speak(speaker, number, 60 + usize::from(number % 40) * 20);
        let heard = listener.rtp();
        assert_eq!((heard.payload_type, heard.ssrc), (111, OUT));
        assert_eq!(heard.payload, said, "word {number}");
    }
}

/// The keys are on their way to the worker.
fn settle() {
    std::thread::sleep(Duration::from_millis(50));
}

#[test]
fn either_end_may_come_over_tcp_on_any_worker() {
    let plane = Dataplane::start();
    let mut link = plane.link(Role::Controller, true);
    let snapshot = link.snapshot();
    assert_eq!(snapshot.media[0].tcp, Some(plane.tcp_v4().port()));
    let last = snapshot.media.last().expect("a worker").worker;
    let ways = [
        (true, true, plane.tcp_v4()),
        (true, false, plane.tcp_v6()),
        (false, true, plane.tcp_v6()),
    ];
    for (speaks, listens, tcp) in ways {
        let udp = plane.media_v4(last);
        let at = |over_tcp| if over_tcp { tcp } else { udp };
        let mut speaker = peer(&mut link, 1, last, at(speaks), speaks);
        let mut listener = peer(&mut link, 2, last, at(listens), listens);
        subscribe(&mut link, 2);
        speaker.join();
        listener.join();
        settle();
        talk(&mut speaker, &mut listener, 100..160);
        for key in [1, 2] {
            let remove = forebay_ipc::Command::RemoveSession(forebay_ipc::media::SessionKey(key));
            assert_eq!(link.command(remove), Outcome::Done);
        }
    }
    assert_eq!(plane.sum("forebay_media_connections_adopted_total"), 4.0);
}

#[test]
fn a_session_survives_its_connection() {
    let plane = Dataplane::start();
    let mut link = plane.link(Role::Controller, true);
    link.snapshot();
    let mut speaker = peer(&mut link, 1, 0, plane.media_v4(0), false);
    let mut listener = peer(&mut link, 2, 0, plane.tcp_v4(), true);
    subscribe(&mut link, 2);
    speaker.join();
    listener.join();
    settle();
    talk(&mut speaker, &mut listener, 0..20);

    listener.reconnect(plane.tcp_v6());
    listener.connect();
    talk(&mut speaker, &mut listener, 20..40);
    listener.leave_tcp(plane.media_v4(0));
    listener.connect();
    talk(&mut speaker, &mut listener, 40..60);
    speaker.reconnect(plane.tcp_v4());
    speaker.connect();
    talk(&mut speaker, &mut listener, 60..80);
    let closed = "forebay_streams_closed_total{worker=\"0\",reason=\"client\"}";
    assert!(crate::dataplane::wait_for(|| plane.sum(closed) == 2.0));
}

/// Sends this, and waits for the end of the connection.
fn is_closed_after(at: SocketAddr, bytes: &[u8]) -> bool {
    let mut stream = TcpStream::connect(at).expect("accepted");
    let timeout = Some(Duration::from_secs(2));
    stream.set_read_timeout(timeout).expect("set");
    stream.write_all(bytes).expect("sent");
    match stream.read(&mut [0; 64]) {
        Ok(0) => true,
        Ok(_) => false,
        Err(error) => error.kind() == std::io::ErrorKind::ConnectionReset,
    }
}

#[test]
fn connections_of_nobody_get_nowhere() {
    let plane = Dataplane::start();
    let mut link = plane.link(Role::Controller, true);
    link.snapshot();
    let at = plane.tcp_v4();
    let mut known = peer(&mut link, 1, 0, at, true);

    let framed = |packet: &[u8]| [&(packet.len() as u16).to_be_bytes(), packet].concat();
    let stranger = stun::check([1; 12], "nobody:peer", PASSWORD);
    assert!(is_closed_after(at, &framed(&stranger)));
    assert!(is_closed_after(at, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"));
    assert!(is_closed_after(at, &framed(&[0; 40])));
    // Known by name, but not by password: an error is all it gets.
    let mut liar = Peer::over_tcp(at, &ufrag(1), b"another password, long");
    let transaction = liar.check();
    let answer = liar.packet();
    assert!(!stun::is_success(&answer, transaction));
    assert_eq!(answer[..2], [0x01, 0x11], "an error response");

    known.join();
    let refused = |why: &str| {
        plane.sum(&format!(
            "forebay_connections_refused_total{{reason=\"{why}\"}}"
        ))
    };
    assert_eq!((refused("no_session"), refused("unknown")), (1.0, 2.0));
}

#[test]
fn who_reads_slowly_loses_what_is_large_and_holds_up_nobody() {
    let plane = Dataplane::start();
    let mut link = plane.link(Role::Controller, true);
    link.snapshot();
    let tcp = plane.tcp_v4();
    let mut speaker = peer(&mut link, 1, 0, plane.media_v4(0), false);
    let mut reader = peer(&mut link, 2, 0, tcp, true);
    let mut slow = peer(&mut link, 3, 0, tcp, true);
    for listener in [2, 3] {
        subscribe(&mut link, listener);
    }
    for one in [&mut speaker, &mut reader, &mut slow] {
        one.join();
    }
    settle();

    // The slow one's kernel takes some hundred kilobytes, the worker another.
    const LARGE: u16 = 3000;
    const SMALL: u16 = 20;
    for number in 0..LARGE {
        let said = speak(&mut speaker, number, 1100);
        assert_eq!(reader.rtp().payload, said);
    }
    for number in LARGE..LARGE + SMALL {
        let said = speak(&mut speaker, number, 60);
        assert_eq!(reader.rtp().payload, said);
    }
    let dropped = || plane.sum("forebay_stream_messages_dropped_total");
    assert!(crate::dataplane::wait_for(|| dropped() > 0.0));

    let mut heard = Vec::new();
    while heard.len() < usize::from(LARGE) {
        let rtp = slow.rtp();
        heard.push(rtp.payload.len());
        if heard.iter().filter(|len| **len == 60).count() == usize::from(SMALL) {
            break;
        }
    }
    let large = heard.iter().filter(|len| **len == 1100).count();
    println!("of {LARGE} large ones the slow reader got {large}");
    assert!(large < usize::from(LARGE) - 100, "most is shed");
    assert_eq!(
        heard.len() - large,
        usize::from(SMALL),
        "sound gets through"
    );
    // And it is served again.
    let said = speak(&mut speaker, LARGE + SMALL, 1100);
    assert_eq!(reader.rtp().payload, said);
    assert_eq!(slow.rtp().payload, said);
}
