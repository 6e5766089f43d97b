//! The servers that are compared, each on its own addresses of the rig.

use std::fs::{self, Permissions};
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use clap::ValueEnum;
use serde::Serialize;
use tempfile::TempDir;

use crate::relay::rows::Transport;
use crate::rig::Addresses;
use crate::rig::process::ServerProcess;
use crate::turn_client::{Credentials, wait_until_answering};

/// Port every server listens on, UDP and TCP.
const PORT: u16 = 3478;
/// The same, TLS.
const TLS_PORT: u16 = 5349;
/// First port of clients and of peers.
pub const FIRST_PORT: u16 = 10_000;
/// First relay port of the bare forwarder.
const BARE_RELAY_PORT: u16 = 20_000;
/// First port relays may use.
const RELAY_PORT: u16 = 49_152;
/// Where our server shows its metrics, inside its namespace.
pub const METRICS: &str = "127.0.0.1:9641";
/// How long a server may take to come up.
const STARTING_SECONDS: u32 = 20;
const REALM: &str = "bench.example";
/// Guards nothing: it exists inside the rig only.
const SECRET: &str = "a secret of the benchmark";

/// Which server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// Our floor, a system call per datagram and direction.
    BareEach,
    /// Our floor, many datagrams per system call.
    BareMany,
    /// Our floor, io_uring as the relay uses it.
    BareRing,
    /// Debian's coturn.
    Coturn,
    /// Ours.
    Forebay,
}

impl Kind {
    /// Name in tables.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::BareEach => "bare sendto",
            Self::BareMany => "bare sendmmsg",
            Self::BareRing => "bare io_uring",
            Self::Coturn => "coturn",
            Self::Forebay => "forebay",
        }
    }

    /// Whether it speaks TURN.
    #[must_use]
    pub const fn speaks_turn(self) -> bool {
        matches!(self, Self::Coturn | Self::Forebay)
    }

    /// Servers run side by side, so each has its addresses.
    const fn slot(self) -> u8 {
        self as u8
    }
}

/// A running server.
#[derive(Debug)]
pub struct Server {
    /// Which.
    pub kind: Kind,
    /// Its addresses.
    pub addresses: Addresses,
    /// Its process.
    pub process: ServerProcess,
    files: TempDir,
}

impl Server {
    /// Starts a server for `flows` flows of clients over `transport`; `turnd`
    /// is our binary.
    ///
    /// # Errors
    /// When it does not start or does not answer, or knows no connections.
    pub fn start(kind: Kind, transport: Transport, flows: u16, turnd: &Path) -> Result<Self> {
        let addresses = Addresses::of_slot(kind.slot());
        let files = tempfile::Builder::new().prefix("fb-bench-").tempdir()?;
        let process = match kind {
            Kind::BareEach => bare("each", flows, &addresses, files.path())?,
            Kind::BareMany => bare("many", flows, &addresses, files.path())?,
            Kind::BareRing => bare("ring", flows, &addresses, files.path())?,
            Kind::Coturn => coturn(&addresses, transport, files.path())?,
            Kind::Forebay => forebay(&addresses, transport, files.path(), turnd)?,
        };
        let mut server = Self {
            kind,
            addresses,
            process,
            files,
        };
        if kind.speaks_turn() {
            server.wait_until_answering()?;
        }
        Ok(server)
    }

    fn wait_until_answering(&mut self) -> Result<()> {
        let local = self.addresses.clients.into();
        for _ in 0..STARTING_SECONDS {
            if !self.process.is_alive() {
                break;
            }
            if wait_until_answering(self.listen(), local, Duration::from_secs(1)).is_ok() {
                return Ok(());
            }
        }
        let said = fs::read_to_string(log(self.files.path())).unwrap_or_default();
        bail!(
            "{} does not answer a Binding request; it said:\n{said}",
            self.kind.name()
        )
    }

    /// Where clients send.
    #[must_use]
    pub fn listen(&self) -> SocketAddr {
        SocketAddr::new(self.addresses.server.into(), PORT)
    }

    /// Where clients over TLS connect to.
    #[must_use]
    pub fn listen_tls(&self) -> SocketAddr {
        SocketAddr::new(self.addresses.server.into(), TLS_PORT)
    }

    /// Credentials the server takes.
    ///
    /// # Errors
    /// When the clock is wrong.
    pub fn credentials(&self) -> Result<Credentials> {
        Credentials::from_secret(SECRET.as_bytes(), "bench", Duration::from_secs(86_400))
    }

    /// The relay address of flow `index` of a bare forwarder.
    #[must_use]
    pub fn bare_relay(&self, index: usize) -> SocketAddr {
        nth(self.addresses.server.into(), BARE_RELAY_PORT, index)
    }

    /// The peer of flow `index`.
    #[must_use]
    pub fn peer(&self, index: usize) -> SocketAddr {
        nth(self.addresses.peers.into(), FIRST_PORT, index)
    }
}

fn nth(ip: std::net::IpAddr, first: u16, index: usize) -> SocketAddr {
    let index = u16::try_from(index).unwrap_or(u16::MAX);
    SocketAddr::new(ip, first.saturating_add(index))
}

/// A bare forwarder of one mode for so many flows.
///
/// # Errors
/// When it does not start.
pub fn bare(mode: &str, flows: u16, addresses: &Addresses, files: &Path) -> Result<ServerProcess> {
    let program = std::env::current_exe()?;
    let arguments = [
        format!("bare --mode {mode} --listen {}:{PORT}", addresses.server),
        format!("--relay-port {BARE_RELAY_PORT} --flows {flows}"),
        format!("--clients {}:{FIRST_PORT}", addresses.clients),
        format!("--peers {}:{FIRST_PORT}", addresses.peers),
    ];
    let mut process =
        ServerProcess::start(&program.to_string_lossy(), &words(&arguments), &log(files))?;
    process.wait_line().with_context(|| {
        let said = fs::read_to_string(log(files)).unwrap_or_default();
        format!("the bare forwarder does not start; it said:\n{said}")
    })?;
    Ok(process)
}

fn coturn(addresses: &Addresses, transport: Transport, files: &Path) -> Result<ServerProcess> {
    let (low, high) = (RELAY_PORT, last_relay_port(transport));
    let ip = addresses.server;
    let directory = files.display();
    let configuration = files.join("turnserver.conf");
    let streams = match transport {
        Transport::Udp => "no-tls\nno-tcp\n".to_owned(),
        Transport::Tcp => "no-tls\n".to_owned(),
        Transport::Tls => {
            let (certificate, key) = certificate(addresses, files)?;
            format!("tls-listening-port={TLS_PORT}\ncert={certificate}\npkey={key}\n")
        }
    };
    fs::write(
        &configuration,
        format!(
            "listening-ip={ip}\nrelay-ip={ip}\nlistening-port={PORT}\nrelay-threads=1\n\
             use-auth-secret\nstatic-auth-secret={SECRET}\nrealm={REALM}\n\
             min-port={low}\nmax-port={high}\nno-cli\nno-dtls\nno-tcp-relay\n{streams}\
             log-file={directory}/log\nsimple-log\npidfile={directory}/pid\nuserdb={directory}/db\n"
        ),
    )?;
    let arguments = [format!("-c {}", configuration.display())];
    let mut process = ServerProcess::start("turnserver", &words(&arguments), &log(files))?;
    process.discard_output();
    Ok(process)
}

fn forebay(
    addresses: &Addresses,
    transport: Transport,
    files: &Path,
    turnd: &Path,
) -> Result<ServerProcess> {
    let (low, high) = (RELAY_PORT, last_relay_port(transport));
    let ip = addresses.server;
    let secret = files.join("secret");
    let configuration = files.join("turnd.toml");
    fs::write(&secret, SECRET)?;
    fs::set_permissions(&secret, Permissions::from_mode(0o600))?;
    let (listen, tls) = match transport {
        Transport::Udp => (String::new(), String::new()),
        Transport::Tcp => (format!("tcp = [\"{ip}:{PORT}\"]\n"), String::new()),
        Transport::Tls => {
            let (certificate, key) = certificate(addresses, files)?;
            (
                format!("tls = [\"{ip}:{TLS_PORT}\"]\n"),
                format!("[tls]\ncertificate = \"{certificate}\"\nkey = \"{key}\"\n"),
            )
        }
    };
    fs::write(
        &configuration,
        format!(
            "realm = \"{REALM}\"\n[cores]\npin = [0]\n[listen]\nudp = [\"{ip}:{PORT}\"]\n{listen}\
             [relay]\naddresses = [\"{ip}\"]\nports = \"{low}-{high}\"\n\
             [auth]\nsecrets = [{{ id = \"bench\", file = \"{}\" }}]\n\
             [metrics]\nlisten = \"{METRICS}\"\n{tls}",
            secret.display()
        ),
    )?;
    let arguments = [format!("--config {}", configuration.display())];
    let mut process =
        ServerProcess::start(&turnd.to_string_lossy(), &words(&arguments), &log(files))?;
    process.discard_output();
    Ok(process)
}

/// Enough for the 10,000 of the allocation test; where clients have connections,
/// fewer, as a server counts both against the files it may open.
const fn last_relay_port(transport: Transport) -> u16 {
    match transport {
        Transport::Udp => u16::MAX,
        Transport::Tcp | Transport::Tls => RELAY_PORT + 4095,
    }
}

/// Makes a certificate and its key; where they are.
fn certificate(addresses: &Addresses, files: &Path) -> Result<(String, String)> {
    let identity = rcgen::generate_simple_self_signed(vec![addresses.server.to_string()])?;
    let (certificate, key) = (files.join("tls.crt"), files.join("tls.key"));
    fs::write(&certificate, identity.cert.pem())?;
    fs::write(&key, identity.signing_key.serialize_pem())?;
    fs::set_permissions(&key, Permissions::from_mode(0o600))?;
    Ok((certificate.display().to_string(), key.display().to_string()))
}

/// Where a server's standard error goes.
fn log(files: &Path) -> PathBuf {
    files.join("stderr")
}

fn words(lines: &[String]) -> Vec<String> {
    lines
        .iter()
        .flat_map(|line| line.split_whitespace())
        .map(str::to_owned)
        .collect()
}

/// `forebay-turnd` beside this program.
///
/// # Errors
/// When it is not there.
pub fn sibling_turnd() -> Result<PathBuf> {
    sibling("forebay-turnd")
}

/// One of our programs beside this one.
///
/// # Errors
/// When it is not there.
pub fn sibling(name: &str) -> Result<PathBuf> {
    let path = std::env::current_exe()?.with_file_name(name);
    if !path.exists() {
        bail!(
            "{} is missing: cargo build --release -p {name}",
            path.display()
        );
    }
    Ok(path)
}
