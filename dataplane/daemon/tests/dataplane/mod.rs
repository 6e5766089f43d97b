//! The real binary on loopback, and a control plane's end of its socket.

#![allow(dead_code, reason = "each test binary uses its part")]
#![allow(clippy::panic)]

use std::fs;
use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::path::PathBuf;
use std::process::{Child, Command as Process, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU8, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use forebay_ipc::codec::Buffer;
use forebay_ipc::media::{MediaEvent, MediaSession, MediaSubscription, MediaTrack, MediaWorker};
use forebay_ipc::socket::{Connection, ConnectionError};
use forebay_ipc::{
    Allocation, Bytes, Command, FromDataplane, Generation, Hello, List, Outcome, Prefix, Rejected,
    RestSecret, Role, Sensitive, SetCredentials, SetPolicy, SnapshotBegin, Text, ToDataplane,
    VERSION, Worker,
};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

const PATIENCE: Duration = Duration::from_secs(20);

/// A running data plane, killed when dropped.
pub(crate) struct Dataplane {
    directory: tempfile::TempDir,
    child: Child,
    pub(crate) address: Ipv4Addr,
    pub(crate) port: u16,
    metrics: u16,
    media: u16,
}

impl Dataplane {
    pub(crate) fn start() -> Self {
        static NEXT: AtomicU8 = AtomicU8::new(1);
        let pid = std::process::id();
        let address = Ipv4Addr::new(
            127,
            200 + (pid >> 8) as u8 % 50,
            pid as u8,
            NEXT.fetch_add(1, Ordering::Relaxed),
        );
        let directory = tempfile::tempdir().expect("temporary directory");
        let port = UdpSocket::bind("[::]:0")
            .and_then(|socket| socket.local_addr())
            .expect("a port")
            .port();
        let metrics = TcpListener::bind("127.0.0.1:0")
            .and_then(|socket| socket.local_addr())
            .expect("a port")
            .port();
        // Below the ports that systems give out by themselves.
        let media = 12_000 + (pid % 1000) as u16 * 16 + u16::from(address.octets()[3]) % 4 * 4;
        let tcp = media + 3;
        let config = format!(
            "realm = \"example.org\"\n[listen]\nudp = [\"{address}:{port}\"]\n[relay]\naddresses = [\"{address}\"]\n\
             ready = 16\n[limits]\nallocations = 400\n[sockets]\nbuffers = 64\n[metrics]\n\
             listen = \"127.0.0.1:{metrics}\"\n[media]\nenabled = true\naddresses = [\"{address}\", \"::1\"]\n\
             port = {media}\ntcp = {tcp}\nsessions = 64\ntracks = 64\nsubscriptions = 256\ncache = 4\n[control]\n\
             socket = \"{}\"\n",
            directory.path().join("control.sock").display()
        );
        fs::write(directory.path().join("dataplane.toml"), config).expect("written");
        let log = fs::File::create(directory.path().join("log")).expect("log");
        let child = Process::new(env!("CARGO_BIN_EXE_forebay-dataplane"))
            .arg("--config")
            .arg(directory.path().join("dataplane.toml"))
            .stdin(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("starts");
        let plane = Self {
            directory,
            child,
            address,
            port,
            metrics,
            media,
        };
        assert!(
            wait_for(|| plane.http("/healthz").starts_with("HTTP/1.1 200")),
            "not up: {}",
            plane.log()
        );
        plane
    }

    /// A worker's media address over IPv4.
    pub(crate) fn media_v4(&self, worker: u16) -> SocketAddr {
        SocketAddr::new(IpAddr::V4(self.address), self.media + worker)
    }

    /// A worker's media address over IPv6.
    pub(crate) fn media_v6(&self, worker: u16) -> SocketAddr {
        SocketAddr::new(IpAddr::V6(Ipv6Addr::LOCALHOST), self.media + worker)
    }

    /// Where connections of media are accepted.
    pub(crate) fn media_tcp(&self, ip: IpAddr) -> SocketAddr {
        SocketAddr::new(ip, self.media + 3)
    }

    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.directory.path().join("log")).unwrap_or_default()
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.directory.path().join("control.sock")
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill(
            Pid::from_raw(i32::try_from(self.child.id()).expect("a process id")),
            signal,
        )
        .expect("signalled");
    }

    pub(crate) fn end(&mut self) -> ExitStatus {
        let mut status = None;
        wait_for(|| {
            status = self.child.try_wait().expect("waited");
            status.is_some()
        });
        status.expect("ends")
    }

    /// The whole answer to a GET, empty when nobody answers.
    pub(crate) fn http(&self, path: &str) -> String {
        let Ok(mut stream) = TcpStream::connect(("127.0.0.1", self.metrics)) else {
            return String::new();
        };
        let mut answer = String::new();
        let _ = write!(
            stream,
            "GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
        );
        let _ = stream.read_to_string(&mut answer);
        answer
    }

    fn created(&self) -> f64 {
        self.http("/metrics")
            .lines()
            .filter(|line| line.starts_with("forebay_allocations_created_total"))
            .filter_map(|line| line.rsplit_once(' ')?.1.parse::<f64>().ok())
            .sum()
    }

    /// Whether coturn's client gets an allocation with a credential of this
    /// secret. The allocation stays behind.
    pub(crate) fn allocates(&self, secret: &str) -> bool {
        let before = self.created();
        let output = Process::new("timeout")
            .args([
                "1",
                "turnutils_uclient",
                "-p",
                &self.port.to_string(),
                "-u",
                "bob",
                "-W",
                secret,
            ])
            .args([
                "-c",
                "-s",
                "-X",
                "-n",
                "1",
                "-e",
                "127.0.0.1",
                "-r",
                "9",
                &self.address.to_string(),
            ])
            .output()
            .expect("install Debian's coturn (turnutils_uclient)");
        drop(output);
        // Statistics are published in housekeeping.
        let deadline = Instant::now() + Duration::from_millis(1500);
        while Instant::now() < deadline {
            if self.created() > before {
                return true;
            }
            thread::sleep(Duration::from_millis(50));
        }
        false
    }

    /// A connection that has introduced itself.
    pub(crate) fn link(&self, role: Role, allocations: bool) -> Link {
        let mut link = Link::silent(self);
        link.hello(role, allocations, VERSION);
        link
    }
}

impl Drop for Dataplane {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A control plane's end.
pub(crate) struct Link {
    connection: Connection,
    buffer: Buffer,
    next_id: u32,
    events: Vec<MediaEvent>,
}

/// What a snapshot told.
pub(crate) struct Snapshot {
    pub(crate) begin: SnapshotBegin,
    pub(crate) workers: Vec<Worker>,
    pub(crate) allocations: Vec<Allocation>,
    pub(crate) media: Vec<MediaWorker>,
    pub(crate) sessions: Vec<MediaSession>,
    pub(crate) tracks: Vec<MediaTrack>,
    pub(crate) subscriptions: Vec<MediaSubscription>,
}

impl Link {
    pub(crate) fn silent(plane: &Dataplane) -> Self {
        let connection = Connection::open(&plane.socket()).expect("connected");
        Self {
            connection,
            buffer: Buffer::new(),
            next_id: 1,
            events: Vec::new(),
        }
    }

    pub(crate) fn hello(&mut self, role: Role, allocations: bool, version: u16) {
        let hello = Hello {
            version,
            role,
            software: Text::truncated("test"),
            allocations,
        };
        assert!(
            self.connection
                .send(&ToDataplane::Hello(hello), &mut self.buffer)
                .expect("sent")
        );
    }

    pub(crate) fn send_command(&mut self, id: u32, command: Command) {
        let message = ToDataplane::Command { id, command };
        assert!(
            self.connection
                .send(&message, &mut self.buffer)
                .expect("sent")
        );
    }

    /// Sends commands without reading an answer until the connection ends.
    pub(crate) fn floods_until_dropped(&mut self) -> bool {
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            let message = ToDataplane::Command {
                id: 1,
                command: policy(1, &[]),
            };
            match self.connection.send(&message, &mut self.buffer) {
                Ok(true) => {}
                Ok(false) => thread::sleep(Duration::from_millis(1)),
                Err(_) => return true,
            }
        }
        false
    }

    fn next(&mut self) -> Result<FromDataplane, ConnectionError> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(message) = self.connection.receive(&mut self.buffer)? {
                if let FromDataplane::Media(page) = &message {
                    self.events.extend(page.iter().cloned());
                }
                return Ok(message);
            }
            assert!(Instant::now() < deadline, "the data plane is silent");
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// The first message of the kind wanted; others are passed over.
    pub(crate) fn wait_for(&mut self, wanted: impl Fn(&FromDataplane) -> bool) -> FromDataplane {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let message = self.next().expect("connected");
            if wanted(&message) {
                return message;
            }
            assert!(Instant::now() < deadline, "it does not come");
        }
    }

    pub(crate) fn is_welcome(&mut self) -> bool {
        matches!(self.next(), Ok(FromDataplane::Welcome(_)))
    }

    pub(crate) fn rejection(&mut self) -> Rejected {
        let Ok(FromDataplane::Rejected(rejected)) = self.next() else {
            panic!("not rejected")
        };
        assert!(self.is_closed());
        rejected
    }

    pub(crate) fn is_closed(&mut self) -> bool {
        loop {
            match self.next() {
                Ok(_) => {}
                Err(error) => return matches!(error, ConnectionError::Closed),
            }
        }
    }

    pub(crate) fn snapshot(&mut self) -> Snapshot {
        assert!(self.is_welcome());
        let Ok(FromDataplane::SnapshotBegin(begin)) = self.next() else {
            panic!("no snapshot")
        };
        let (mut workers, mut allocations) = (Vec::new(), Vec::new());
        let (mut media, mut sessions) = (Vec::new(), Vec::new());
        let (mut tracks, mut subscriptions) = (Vec::new(), Vec::new());
        loop {
            match self.next().expect("connected") {
                FromDataplane::Workers(page) => workers.extend(page.into_inner()),
                FromDataplane::Allocations(page) => allocations.extend(page.into_inner()),
                FromDataplane::MediaWorkers(page) => media.extend(page.into_inner()),
                FromDataplane::Session(session) => sessions.push(*session),
                FromDataplane::Track(track) => tracks.push(*track),
                FromDataplane::Subscriptions(page) => subscriptions.extend(page.into_inner()),
                FromDataplane::SnapshotEnd(end) => {
                    assert_eq!(end.allocations as usize, allocations.len());
                    return Snapshot {
                        begin,
                        workers,
                        allocations,
                        media,
                        sessions,
                        tracks,
                        subscriptions,
                    };
                }
                _ => {}
            }
        }
    }

    /// Waits for news of media; whatever else came is kept.
    pub(crate) fn event(&mut self, wanted: impl Fn(&MediaEvent) -> bool) -> MediaEvent {
        loop {
            if let Some(at) = self.events.iter().position(&wanted) {
                return self.events.remove(at);
            }
            self.wait_for(|message| matches!(message, FromDataplane::Media(_)));
        }
    }

    pub(crate) fn command(&mut self, command: Command) -> Outcome {
        let id = self.next_id;
        self.next_id += 1;
        self.send_command(id, command);
        match self.wait_for(|message| matches!(message, FromDataplane::Ack(ack) if ack.id == id)) {
            FromDataplane::Ack(ack) => ack.outcome,
            _ => unreachable!("waited for it"),
        }
    }
}

pub(crate) fn credentials(generation: u64, secrets: &[(&str, &str)]) -> Command {
    let secrets: Vec<RestSecret> = secrets
        .iter()
        .map(|(id, key)| RestSecret {
            id: Text::truncated(id),
            key: Sensitive::new(Bytes::new(key.as_bytes()).expect("short")),
            not_after: None,
        })
        .collect();
    Command::SetCredentials(SetCredentials {
        generation: Generation(generation),
        secrets: List::new(secrets).expect("few"),
        users: List::default(),
    })
}

pub(crate) fn policy(generation: u64, allow: &[&str]) -> Command {
    let prefix = |text: &&str| {
        let (address, length) = text.split_once('/').expect("a prefix");
        Prefix::new(
            address.parse().expect("an address"),
            length.parse().expect("a length"),
        )
        .expect("a prefix")
    };
    Command::SetPolicy(SetPolicy {
        generation: Generation(generation),
        allow: List::truncated(allow.iter().map(prefix)),
        deny: List::default(),
        lowest_port: 1024,
    })
}

pub(crate) fn wait_for(mut is_so: impl FnMut() -> bool) -> bool {
    let deadline = Instant::now() + PATIENCE;
    while Instant::now() < deadline {
        if is_so() {
            return true;
        }
        thread::sleep(Duration::from_millis(20));
    }
    false
}
