//! Strangers that cost as much as they can.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::thread;
use std::time::{Duration, Instant};

use crate::clients::ten_come_back;
use crate::server::wait_for;
use crate::{Place, Running};

const TIGHT: &str = "half_open = 20\nhalf_open_per_source = 8\nhandshake_timeout = \"2s\"\n\
                     handshakes_per_second = 40\nhandshakes_per_source = 10\n";

/// All limits of `[limits]` in one section.
fn tight() -> Running {
    let place = Place::new();
    place.write("", "");
    let path = place.setup.path("turnd.toml");
    let config = std::fs::read_to_string(&path).expect("read");
    let config = config.replacen("[limits]\n", &format!("[limits]\n{TIGHT}"), 1);
    place.setup.write("turnd.toml", &config, 0o644);
    place.run()
}

fn refused(running: &Running, reason: &str) -> f64 {
    running.counted(&format!(
        "forebay_connections_refused_total{{reason=\"{reason}\"}}"
    ))
}

#[test]
fn connections_that_say_nothing_are_bounded_in_number_and_time() {
    let running = tight();
    let silent: Vec<TcpStream> = (0..60)
        .filter_map(|_| TcpStream::connect(running.tls()).ok())
        .collect();
    let turned_away = || refused(&running, "half_open_source") + refused(&running, "half_open");
    assert!(wait_for(|| turned_away() >= 52.0), "{}", turned_away());
    assert!(running.counted("forebay_connections_half_open") <= 8.0);
    assert!(wait_for(|| refused(&running, "timeout") == 8.0));
    drop(silent);
    ten_come_back(&running, running.tls, "-t -S");
    assert_eq!(running.counted("forebay_connections_half_open"), 0.0);
}

/// The beginning of a ClientHello and no more.
#[test]
fn a_handshake_that_stops_in_the_middle_ends() {
    let running = tight();
    let mut stream = TcpStream::connect(running.tls()).expect("connected");
    stream
        .write_all(&[0x16, 3, 1, 2, 0, 1, 0, 1, 0xFC, 3, 3])
        .expect("written");
    stream
        .set_read_timeout(Some(Duration::from_secs(20)))
        .expect("a timeout");
    assert_eq!(stream.read(&mut [0; 64]).unwrap_or(0), 0);
    let line = "forebay_client_handshakes_failed_total{transport=\"tls\",reason=\"timeout\"}";
    assert!(wait_for(|| running.counted(line) == 1.0));
    let mut stream = TcpStream::connect(running.tls()).expect("connected");
    stream.write_all(&[0x16; 300]).expect("written");
    let line = "forebay_client_handshakes_failed_total{transport=\"tls\",reason=\"protocol\"}";
    assert!(wait_for(|| running.counted(line) == 1.0));
}

#[test]
fn new_connections_of_one_source_have_a_rate() {
    let running = tight();
    let mut binding = vec![0, 1, 0, 0, 0x21, 0x12, 0xA4, 0x42];
    binding.extend([7; 12]);
    let begin = Instant::now();
    for _ in 0..120 {
        let mut stream = TcpStream::connect(running.tcp()).expect("connected");
        let _ = stream.write_all(&binding);
        let mut first = [0];
        // Answered or refused: either way it is through.
        let _ = stream.read(&mut first);
    }
    let seconds = begin.elapsed().as_secs_f64();
    let streams = running.counted("forebay_connections_adopted_total{transport=\"tcp\"}");
    assert!(
        streams >= 40.0 && streams <= 41.0 + 10.0 * seconds,
        "{streams} in {seconds} s"
    );
    assert_eq!(refused(&running, "rate_source") + streams, 120.0);
}

/// Hellos without an answer to the cookie, from many ports: little is kept
/// and a client gets through at once afterwards.
#[test]
fn dtls_hellos_of_strangers_are_bounded() {
    let running = tight();
    let hello = client_hello();
    let to = SocketAddr::from((running.ip, running.dtls));
    let sockets: Vec<UdpSocket> = (0..100)
        .map(|_| UdpSocket::bind("127.0.0.1:0").expect("a socket"))
        .collect();
    for socket in &sockets {
        socket.send_to(&hello, to).expect("sent");
    }
    let line = "forebay_dtls_client_datagrams_dropped_total{reason=\"over_budget\"}";
    assert!(
        wait_for(|| running.counted(line) >= 60.0),
        "{}",
        running.server.metrics()
    );
    let answered = sockets
        .iter()
        .filter(|socket| {
            socket
                .set_read_timeout(Some(Duration::from_millis(5)))
                .expect("a timeout");
            let mut answer = [0; 2048];
            let length = socket.recv(&mut answer).unwrap_or(0);
            // Smaller than what was asked with, so that nobody is flooded.
            assert!(length <= hello.len());
            length > 0
        })
        .count();
    assert!((1..=8).contains(&answered), "{answered}");
    thread::sleep(Duration::from_secs(4));
    ten_come_back(&running, running.dtls, "-S");
}

/// Of DTLS 1.2 with one cipher suite, P-256, ECDSA and extended master secret.
fn client_hello() -> Vec<u8> {
    let mut body = vec![0xFE, 0xFD];
    body.extend([9; 32]);
    body.extend([0, 0]);
    body.extend([0, 2, 0xC0, 0x2B, 1, 0]);
    let extensions = [
        &[0, 10, 0, 4, 0, 2, 0, 23][..],
        &[0, 11, 0, 2, 1, 0],
        &[0, 13, 0, 4, 0, 2, 4, 3],
        &[0, 23, 0, 0],
    ]
    .concat();
    body.extend((extensions.len() as u16).to_be_bytes());
    body.extend(&extensions);
    let length = (body.len() as u32).to_be_bytes();
    let mut message = vec![1];
    message.extend(&length[1..]);
    message.extend([0, 0, 0, 0, 0]);
    message.extend(&length[1..]);
    message.extend(&body);
    let mut record = vec![22, 0xFE, 0xFF, 0, 0, 0, 0, 0, 0, 0, 0];
    record.extend((message.len() as u16).to_be_bytes());
    record.extend(message);
    record
}
