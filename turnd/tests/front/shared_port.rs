//! One port for TURN over TLS and for HTTPS.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use crate::Place;
use crate::clients::ten_come_back;
use crate::server::installed;

/// A web server that says what it was asked for; it ends with the test.
pub(crate) fn web_server() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a socket");
    let address = listener.local_addr().expect("an address");
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            thread::spawn(move || answer(stream));
        }
    });
    address
}

fn answer(mut stream: TcpStream) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let (mut first, mut length) = (String::new(), 0);
    reader.read_line(&mut first)?;
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().unwrap_or(0);
        }
        if line.trim().is_empty() {
            break;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    let page = format!("{} with {length} bytes\n", first.trim());
    write!(
        stream,
        "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{page}",
        page.len()
    )
}

/// What openssl says about a handshake.
fn handshake(address: SocketAddr, arguments: &[&str]) -> String {
    let output = installed(
        Command::new("timeout")
            .args([
                "15",
                "openssl",
                "s_client",
                "-connect",
                &address.to_string(),
            ])
            .args(arguments)
            .stdin(Stdio::null())
            .output(),
    );
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn a_page_is_served_while_turn_is_relayed() {
    let place = Place::new();
    let backend = web_server();
    let running = place.start(&format!("backend = \"{backend}\"\n"), "");
    thread::scope(|scope| {
        let relay = scope.spawn(|| {
            ten_come_back(&running, running.tls, "-t -S");
        });
        for _ in 0..5 {
            assert_eq!(
                running.curl("localhost", &[]),
                "GET / HTTP/1.1 with 0 bytes\n"
            );
        }
        relay.join().expect("every packet came back");
    });
    // Larger than every buffer on the way.
    let large = running
        .server
        .setup
        .write("large", &"x".repeat(1 << 20), 0o644);
    let data = format!("@{}", large.display());
    for version in ["--tlsv1.3", "--tls-max=1.2"] {
        let version = version.replace("=", " ");
        let mut arguments: Vec<&str> = version.split(' ').collect();
        arguments.extend(["--data-binary", &data]);
        assert_eq!(
            running.curl("localhost", &arguments),
            "POST / HTTP/1.1 with 1048576 bytes\n"
        );
    }
    assert!(running.counted("forebay_web_connections_total{to=\"backend\"}") >= 7.0);
}

#[test]
fn without_a_web_server_visitors_get_one_line() {
    let running = Place::new().start("", "");
    let line = "This is a TURN server (RFC 8656).\n";
    assert_eq!(running.curl("localhost", &[]), line);
    let output = installed(
        Command::new("curl")
            .args(["--silent", &format!("http://{}/", running.tcp())])
            .output(),
    );
    assert_eq!(String::from_utf8_lossy(&output.stdout), line);
    let unreachable = Place::new();
    let nobody = TcpListener::bind("127.0.0.1:0").expect("a socket");
    let backend = nobody.local_addr().expect("an address");
    drop(nobody);
    let running = unreachable.start(&format!("backend = \"{backend}\"\n"), "");
    assert!(
        running
            .curl("localhost", &["--include"])
            .starts_with("HTTP/1.1 502")
    );
    assert_eq!(
        running.counted("forebay_web_connections_total{to=\"unreachable\"}"),
        1.0
    );
}

/// RFC 7443; and HTTP/2 alone where the backend has it.
#[test]
fn the_protocol_is_agreed_on_in_the_handshake() {
    let running = Place::new().start("", "");
    for (offer, agreed) in [
        ("stun.turn", "ALPN protocol: stun.turn"),
        ("stun.nat-discovery,h2", "ALPN protocol: stun.nat-discovery"),
        ("h2,http/1.1", "ALPN protocol: http/1.1"),
        ("h2", "No ALPN negotiated"),
        ("unheard-of", "No ALPN negotiated"),
    ] {
        let told = handshake(running.tls(), &["-alpn", offer]);
        assert!(told.contains(agreed), "{offer}: {told}");
    }
    for (version, named) in [("-tls1_2", "TLSv1.2"), ("-tls1_3", "TLSv1.3")] {
        let told = handshake(running.tls(), &[version]);
        assert!(told.contains(named), "{told}");
    }
    assert!(handshake(running.tls(), &["-tls1_1"]).contains("Cipher is (NONE)"));
}

/// A client that agreed on TURN gets it, whatever it says first.
#[test]
fn agreed_turn_is_never_passed_on() {
    let running = Place::new().start("", "");
    let mut client = Command::new("openssl")
        .args(["s_client", "-quiet", "-alpn", "stun.turn", "-connect"])
        .arg(running.tls().to_string())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("openssl");
    let mut input = client.stdin.take().expect("a pipe");
    input
        .write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        .expect("written");
    let line = "forebay_connections_adopted_total{transport=\"tls\"}";
    assert!(crate::server::wait_for(|| running.counted(line) == 1.0));
    thread::sleep(Duration::from_millis(200));
    assert_eq!(
        running.counted("forebay_web_connections_total{to=\"answer\"}"),
        0.0
    );
    client.kill().expect("killed");
    client.wait().expect("ended");
}

#[test]
fn other_names_are_passed_on_undecrypted_or_refused() {
    let certain = Place::new();
    certain.make_certificate("other.crt", "other.key", "elsewhere");
    let nobody = TcpListener::bind("127.0.0.1:0").expect("a socket");
    let other = nobody.local_addr().expect("an address");
    drop(nobody);
    let mut elsewhere = Command::new("openssl")
        .args([
            "s_server",
            "-quiet",
            "-www",
            "-accept",
            &other.to_string(),
            "-cert",
        ])
        .arg(certain.setup.path("other.crt"))
        .arg("-key")
        .arg(certain.setup.path("other.key"))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("openssl");
    let names = "names = [\"turn.example.org\", \"LOCALHOST\"]\n";
    let running = certain.start(&format!("{names}passthrough = \"{other}\"\n"), "");
    let issuer = |name: &str| handshake(running.tls(), &["-servername", name]);
    assert!(crate::server::wait_for(
        || issuer("www.example.org").contains("O = elsewhere")
    ));
    assert!(issuer("localhost").contains("O = first"));
    assert!(handshake(running.tls(), &["-noservername"]).contains("O = first"));
    assert!(running.curl("www.example.org", &[]).contains("s_server"));
    elsewhere.kill().expect("killed");
    elsewhere.wait().expect("ended");

    let running = Place::new().start(names, "");
    assert!(!handshake(running.tls(), &["-servername", "www.example.org"]).contains("O = first"));
    assert!(running.counted("forebay_connections_refused_total{reason=\"other_name\"}") >= 1.0);
}
