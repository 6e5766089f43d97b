//! The real data plane beside the real control plane, on loopback.

use std::fs::{self, File};
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::{ControlPlane, Place, until};

/// A port of loopback that nobody listens on.
pub(crate) fn free_udp_port() -> u16 {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.local_addr().unwrap().port()
}

/// The first of `count` such ports in a row.
pub(crate) fn free_udp_ports(count: u16) -> u16 {
    until("free ports in a row", || {
        let first = free_udp_port();
        let all: Option<Vec<UdpSocket>> = (0..count)
            .map(|more| UdpSocket::bind(("127.0.0.1", first.checked_add(more)?)).ok())
            .collect();
        all.map(|_| first)
    })
}

/// A running data plane.
pub(crate) struct DataPlane {
    child: Child,
    log: PathBuf,
    pub(crate) port: u16,
}

impl DataPlane {
    /// Relays from 127.0.0.1 within `ports`, which tests that run at the same
    /// time must not share.
    pub(crate) fn start(place: &Place, ports: &str) -> Self {
        Self::start_on(place, free_udp_port(), ports)
    }

    /// Forwards media too, at this port.
    pub(crate) fn start_with_media(place: &Place, ports: &str, media: u16) -> Self {
        let port = free_udp_port();
        let address = host_address();
        let media = format!(
            "[media]\nenabled = true\naddresses = [\"{address}\"]\nport = {media}\ntcp = {media}\n"
        );
        Self::start_configured(place, port, ports, &media)
    }

    pub(crate) fn start_on(place: &Place, port: u16, ports: &str) -> Self {
        Self::start_configured(place, port, ports, "")
    }

    /// Forwards media from this address and port on, one for each worker; all
    /// ports survive a restart.
    pub(crate) fn start_media_on(
        place: &Place,
        port: u16,
        ports: &str,
        media: SocketAddr,
        workers: u16,
    ) -> Self {
        let (address, media) = (media.ip(), media.port());
        let media = format!(
            "[media]\nenabled = true\naddresses = [\"{address}\"]\nport = {media}\ntcp = {media}\n"
        );
        Self::start_workers(place, port, ports, workers, &media)
    }

    fn start_configured(place: &Place, port: u16, ports: &str, more: &str) -> Self {
        Self::start_workers(place, port, ports, 1, more)
    }

    fn start_workers(place: &Place, port: u16, ports: &str, workers: u16, more: &str) -> Self {
        let cores: Vec<u16> = (0..workers).collect();
        let binary = Path::new(env!("CARGO_BIN_EXE_forebay-controlplane"))
            .with_file_name("forebay-dataplane");
        assert!(
            binary.exists(),
            "{} is missing: cargo build -p forebay-dataplane",
            binary.display()
        );
        let socket = place.socket();
        // A real port: the data plane denies clients its metrics address, and
        // port 0 there would mean every port.
        let metrics = TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap()
            .port();
        let config = place.path("dataplane.toml");
        fs::write(
            &config,
            format!(
                "realm = \"example.org\"\n[cores]\npin = {cores:?}\n[listen]\nudp = [\"127.0.0.1:{port}\"]\n[relay]\naddresses = \
                 [\"127.0.0.1\"]\nports = \"{ports}\"\n[lifetimes]\ndrain = \"1s\"\n[control]\nsocket = {socket:?}\n\
                 [metrics]\nlisten = \"127.0.0.1:{metrics}\"\n{more}"
            ),
        )
        .unwrap();
        let log = place.path("dataplane.log");
        let output = File::create(&log).unwrap();
        let child = Command::new(binary)
            .arg("--config")
            .arg(config)
            .env_remove("NOTIFY_SOCKET")
            .stdin(Stdio::null())
            .stdout(output.try_clone().unwrap())
            .stderr(output)
            .spawn()
            .unwrap();
        Self { child, log, port }
    }

    pub(crate) fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    pub(crate) fn terminate(&mut self) {
        kill(
            Pid::from_raw(self.child.id().cast_signed()),
            Signal::SIGTERM,
        )
        .unwrap();
        assert!(
            until("the data plane ends", || self.child.try_wait().unwrap()).success(),
            "{}",
            self.log()
        );
    }
}

impl Drop for DataPlane {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("{}", self.log());
        }
    }
}

/// Where this host is reached from outside: clients gather no candidates on
/// loopback.
pub(crate) fn host_address() -> std::net::IpAddr {
    let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
    // Sends nothing; it only asks for the route.
    let routed = socket.connect("198.51.100.1:9");
    match routed.and_then(|()| socket.local_addr()) {
        Ok(address) => address.ip(),
        Err(_) => std::net::Ipv4Addr::LOCALHOST.into(),
    }
}

/// What a TURN client needs.
#[derive(Debug, Clone)]
pub(crate) struct Login {
    username: String,
    password: String,
}

/// From the control plane's API.
pub(crate) fn login(control: &ControlPlane) -> Login {
    let body = control.credentials("").json();
    let text = |key: &str| body[key].as_str().unwrap().to_owned();
    Login {
        username: text("username"),
        password: text("password"),
    }
}

/// Two of coturn's clients send each other `messages` through the relay, one
/// every `interval` milliseconds.
pub(crate) fn uclient(port: u16, login: &Login, messages: u32, interval: u32) -> Child {
    Command::new("turnutils_uclient")
        .args(["-y", "-c", "-m", "2", "-l", "172", "-p", &port.to_string()])
        .args(["-n", &messages.to_string(), "-z", &interval.to_string()])
        .args(["-u", &login.username, "-w", &login.password, "127.0.0.1"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("turnutils_uclient: apt install coturn")
}

/// Whether everything sent was received.
pub(crate) fn all_arrived(output: &Output) -> bool {
    let text = String::from_utf8_lossy(&output.stdout);
    output.status.success() && text.contains("Total lost packets 0 (0.000000%)")
}
