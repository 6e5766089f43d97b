//! The real binary on loopback, on an address of its own.

#![allow(dead_code)]

pub(crate) mod uclient;

use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::atomic::{AtomicU8, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// The longest anything may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);

/// The TURN REST secret of every server here.
pub(crate) const SECRET: &str = "north";
/// A static user of every server here.
pub(crate) const USER: (&str, &str) = ("ann", "swordfish");

/// Where echo peers live: not the relay address, whose relay ports are open to
/// everyone.
pub(crate) const PEER: &str = "127.0.0.1";

/// A path to the binary under test.
pub(crate) fn binary() -> Command {
    Command::new(env!("CARGO_BIN_EXE_forebay-turnd"))
}

/// A directory with credential files and a configuration.
pub(crate) struct Setup {
    pub(crate) directory: tempfile::TempDir,
    pub(crate) address: Ipv4Addr,
    pub(crate) port: u16,
    pub(crate) metrics: u16,
}

impl Setup {
    /// Files and free ports; the address differs between tests and processes,
    /// so that relay ports never collide.
    pub(crate) fn new() -> Self {
        static NEXT: AtomicU8 = AtomicU8::new(1);
        let pid = std::process::id();
        let address = Ipv4Addr::new(
            127,
            100 + (pid >> 8) as u8 % 100,
            pid as u8,
            NEXT.fetch_add(1, Ordering::Relaxed),
        );
        let setup = Self {
            directory: tempfile::tempdir().expect("temporary directory"),
            address,
            port: free_port(),
            metrics: free_tcp_port(),
        };
        setup.write("turn.secret", SECRET, 0o600);
        setup.write("users", &format!("{}:{}\n", USER.0, USER.1), 0o600);
        setup.write("turnd.toml", &setup.config(), 0o644);
        setup
    }

    /// What most tests run with.
    pub(crate) fn config(&self) -> String {
        let Self {
            address,
            port,
            metrics,
            ..
        } = self;
        format!(
            r#"realm = "example.org"
[listen]
udp = ["{address}:{port}", "[::1]:{port}"]
[relay]
addresses = ["{address}", "::1"]
ready = 64
[auth]
secrets = [{{ id = "a", file = "turn.secret" }}]
users_file = "users"
[peers]
allow = ["127.0.0.0/8", "::1"]
[limits]
allocations = 1000
[sockets]
buffers = 64
[metrics]
listen = "127.0.0.1:{metrics}"
[control]
socket = "{}"
"#,
            self.path("control.sock").display()
        )
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, content: &str, mode: u32) -> PathBuf {
        let path = self.path(name);
        fs::write(&path, content).expect("written");
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("mode set");
        path
    }

    /// Runs the binary to its end.
    pub(crate) fn run(&self, arguments: &[&str]) -> Output {
        binary()
            .arg("--config")
            .arg(self.path("turnd.toml"))
            .args(arguments)
            .output()
            .expect("runs")
    }

    /// Starts the server and waits until it is ready.
    pub(crate) fn start(self) -> Server {
        let child = self.spawn();
        let mut server = Server { setup: self, child };
        server.until_ready();
        server
    }

    fn spawn(&self) -> Child {
        let log = fs::File::create(self.path("log")).expect("log");
        binary()
            .arg("--config")
            .arg(self.path("turnd.toml"))
            .stdin(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("starts")
    }
}

/// A running server, killed when dropped.
pub(crate) struct Server {
    pub(crate) setup: Setup,
    child: Child,
}

impl Server {
    /// Starts another on the same files, with a log of its own.
    pub(crate) fn restart(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        self.child = self.setup.spawn();
        self.until_ready();
    }

    fn until_ready(&mut self) {
        let ready = wait_for(|| {
            assert!(
                self.child.try_wait().expect("waited").is_none(),
                "it ended: {}",
                self.log()
            );
            self.http("/readyz")
                .is_some_and(|answer| answer.starts_with("HTTP/1.1 200"))
        });
        assert!(ready, "not ready: {}", self.log());
    }

    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.setup.path("log")).unwrap_or_default()
    }

    /// Whether the log says so, now or soon.
    pub(crate) fn says(&self, text: &str) -> bool {
        wait_for(|| self.log().contains(text))
    }

    pub(crate) fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(i32::try_from(self.child.id()).expect("a process id"));
        kill(pid, signal).expect("signalled");
    }

    pub(crate) fn is_running(&mut self) -> bool {
        self.child.try_wait().expect("waited").is_none()
    }

    /// Waits for the end.
    pub(crate) fn end(&mut self) -> Option<ExitStatus> {
        let mut status = None;
        wait_for(|| {
            status = self.child.try_wait().expect("waited");
            status.is_some()
        });
        status
    }

    /// The whole answer to a GET of the metrics server, if it answers.
    pub(crate) fn http(&self, path: &str) -> Option<String> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.setup.metrics)).ok()?;
        stream.set_read_timeout(Some(PATIENCE)).ok()?;
        write!(
            stream,
            "GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
        )
        .ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        Some(answer)
    }

    /// The text of /metrics.
    pub(crate) fn metrics(&self) -> String {
        let answer = self.http("/metrics").expect("metrics answer");
        answer.split_once("\r\n\r\n").expect("a body").1.to_owned()
    }

    /// A metric summed over its labels, once everything before this call is
    /// in it: workers publish what they counted within a quarter of a second.
    pub(crate) fn metric(&self, name: &str) -> f64 {
        thread::sleep(Duration::from_millis(300));
        self.metrics()
            .lines()
            .filter(|line| {
                line.strip_prefix(name)
                    .is_some_and(|rest| rest.starts_with(['{', ' ']))
            })
            .filter_map(|line| line.rsplit_once(' ')?.1.parse::<f64>().ok())
            .sum()
    }

    /// Whether a client with these credentials gets a packet through.
    pub(crate) fn lets_in(&self, user: &[&str]) -> bool {
        self.send_one(user, "18")
    }

    /// The opposite; the client is given less time, since it tries for ever.
    pub(crate) fn keeps_out(&self, user: &[&str]) -> bool {
        let before = self.metric("forebay_relayed_packets_total");
        !self.send_one(user, "7") && self.metric("forebay_relayed_packets_total") == before
    }

    fn send_one(&self, user: &[&str], seconds: &str) -> bool {
        let peer = Peer::start(PEER);
        let (address, port) = (self.setup.address.to_string(), peer.port.to_string());
        let output = installed(
            Command::new("timeout")
                .args([
                    seconds,
                    "turnutils_uclient",
                    "-p",
                    &self.setup.port.to_string(),
                ])
                .args(user)
                .args([
                    "-c", "-s", "-X", "-n", "1", "-z", "1", "-e", PEER, "-r", &port, &address,
                ])
                .output(),
        );
        String::from_utf8_lossy(&output.stdout).contains("Total lost packets 0 ")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// coturn's echo peer, killed when dropped.
pub(crate) struct Peer {
    child: Child,
    pub(crate) port: u16,
}

impl Peer {
    pub(crate) fn start(address: &str) -> Self {
        let port = free_port();
        let child = installed(
            Command::new("turnutils_peer")
                .args(["-L", address, "-p", &port.to_string()])
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn(),
        );
        // Up when it echoes.
        let family = if address.contains(':') {
            "[::1]:0"
        } else {
            "127.0.0.1:0"
        };
        let socket = UdpSocket::bind(family).expect("a socket");
        socket
            .set_read_timeout(Some(Duration::from_millis(50)))
            .expect("a timeout");
        let to = SocketAddr::new(address.parse().expect("an address"), port);
        assert!(
            wait_for(|| socket.send_to(b"x", to).is_ok() && socket.recv(&mut [0; 8]).is_ok()),
            "turnutils_peer does not echo"
        );
        Self { child, port }
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Looks again until it is so, for as long as patience lasts.
pub(crate) fn wait_for(mut is_so: impl FnMut() -> bool) -> bool {
    let deadline = Instant::now() + PATIENCE;
    while Instant::now() < deadline {
        if is_so() {
            return true;
        }
        thread::sleep(Duration::from_millis(30));
    }
    false
}

/// What a tool gave, or a clear word on what to install.
pub(crate) fn installed<T>(done: std::io::Result<T>) -> T {
    done.expect("install Debian's coturn (turnutils_*) and prometheus (promtool)")
}

/// stderr as text.
pub(crate) fn told(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// A directory all runs share, for what takes long to make.
pub(crate) fn shared_directory() -> &'static Path {
    Path::new(env!("CARGO_TARGET_TMPDIR"))
}

/// Free on every address; between this and its use others are unlikely to take
/// it.
pub(crate) fn free_port() -> u16 {
    let socket = UdpSocket::bind("[::]:0").expect("a socket");
    socket.local_addr().expect("an address").port()
}

pub(crate) fn free_tcp_port() -> u16 {
    let socket = TcpListener::bind("127.0.0.1:0").expect("a socket");
    socket.local_addr().expect("an address").port()
}
