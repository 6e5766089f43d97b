//! On this host: a real allocation from a real server, a real exchange with a
//! time server.

use std::fs;
use std::net::{TcpListener, UdpSocket};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use super::{Found, expect, findings};

/// A server on an address of its own, killed when dropped.
struct Server {
    folder: tempfile::TempDir,
    child: Child,
}

impl Server {
    /// `extra`: lines for the section [relay].
    fn start(extra: &str) -> Self {
        let binary = Path::new(env!("CARGO_BIN_EXE_forebay")).with_file_name("forebay-turnd");
        assert!(
            binary.exists(),
            "{} is missing: cargo build -p forebay-turnd",
            binary.display()
        );
        let folder = tempfile::tempdir().expect("temporary directory");
        let secret = folder.path().join("turn.secret");
        fs::write(&secret, "south\n").expect("written");
        fs::set_permissions(&secret, fs::Permissions::from_mode(0o600)).expect("mode set");
        let pid = std::process::id();
        let address = format!("127.{}.{}.9", 50 + (pid >> 8) % 50, pid % 256);
        let free = UdpSocket::bind((address.as_str(), 0)).expect("a socket");
        let port = free.local_addr().expect("an address").port();
        drop(free);
        let metrics = TcpListener::bind("127.0.0.1:0").expect("a socket");
        let metrics_port = metrics.local_addr().expect("an address").port();
        drop(metrics);
        let extra = extra.replace("ADDRESS", &address);
        let text = format!(
            "realm = \"x\"\n[cores]\npin = [0]\n[listen]\nudp = [\"{address}:{port}\"]\n\
             [relay]\naddresses = [\"{address}\"]\nready = 8\n{extra}\n\
             [auth]\nsecrets = [{{ id = \"1\", file = \"turn.secret\" }}]\n\
             [limits]\nallocations = 64\n[sockets]\nbuffers = 16\n\
             [metrics]\nlisten = \"127.0.0.1:{metrics_port}\"\n\
             [control]\nsocket = \"{}\"\n",
            folder.path().join("control.sock").display()
        );
        let file = folder.path().join("turnd.toml");
        fs::write(&file, text).expect("written");
        let child = Command::new(binary)
            .arg("--config")
            .arg(&file)
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("starts");
        let server = Self { folder, child };
        let deadline = Instant::now() + Duration::from_secs(30);
        let ready = || std::net::TcpStream::connect(("127.0.0.1", metrics_port)).is_ok();
        while !ready() {
            assert!(
                Instant::now() < deadline,
                "the server does not become ready"
            );
            thread::sleep(Duration::from_millis(50));
        }
        server
    }

    fn doctor(&self) -> Vec<Found> {
        let output = Command::new(env!("CARGO_BIN_EXE_forebay"))
            .args(["doctor", "--json", "--ntp", "none", "--config"])
            .arg(self.folder.path().join("turnd.toml"))
            .output()
            .expect("runs");
        findings(&output)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn an_allocation_proves_the_relay() {
    let server = Server::start("");
    let found = server.doctor();
    expect(
        &found,
        "allocation",
        "ok",
        "a packet from there arrives at",
        "",
    );

    // A secret the server has not read is refused, and the reload is named.
    let secret = server.folder.path().join("turn.secret");
    fs::write(&secret, "another\n").expect("written");
    expect(
        &server.doctor(),
        "allocation",
        "failed",
        "refuses a credential",
        "systemctl reload",
    );
}

#[test]
fn a_public_address_that_does_not_lead_here_is_a_warning() {
    // Nobody answers on it, and the server itself is well.
    let server =
        Server::start("external = [{ relay = \"ADDRESS\", public = \"127.255.255.254\" }]");
    expect(
        &server.doctor(),
        "allocation",
        "warning",
        "does not answer from this host",
        "security group",
    );
}

#[test]
fn the_offset_of_the_clock_is_measured() {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    let address = socket.local_addr().expect("an address");
    // A time server a minute ahead.
    thread::spawn(move || {
        let mut request = [0; 64];
        while let Ok((_, client)) = socket.recv_from(&mut request) {
            let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("later");
            let seconds = u32::try_from(now.as_secs() + 60 + 2_208_988_800).unwrap_or(0);
            let mut answer = [0_u8; 48];
            answer[0] = 0x24;
            answer[1] = 2;
            answer[24..32].copy_from_slice(&request[40..48]);
            answer[32..36].copy_from_slice(&seconds.to_be_bytes());
            answer[40..44].copy_from_slice(&seconds.to_be_bytes());
            let _ = socket.send_to(&answer, client);
        }
    });
    let output = Command::new(env!("CARGO_BIN_EXE_forebay"))
        .args(["doctor", "--json", "--ntp", &address.to_string()])
        .output()
        .expect("runs");
    expect(
        &findings(&output),
        "clock",
        "failed",
        "s behind 127.0.0.1",
        "chrony",
    );
}
