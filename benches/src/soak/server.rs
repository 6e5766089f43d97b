//! The server under test: the real binary on loopback, and what it holds.

use std::fs::{self, File, Permissions};
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde::Serialize;
use tempfile::TempDir;

use super::authority::{Authority, CERTIFICATE, KEY};
use super::link::Transport;
use crate::servers::sibling;
use crate::turn_client::{Credentials, wait_until_answering};

/// An address nobody else uses, ports of ours.
const ADDRESS: Ipv4Addr = Ipv4Addr::new(127, 83, 79, 65);
const UDP: u16 = 3478;
const TLS: u16 = 5349;
const DTLS: u16 = 5350;
const METRICS: u16 = 9641;
/// Where peers are.
pub(super) const PEERS: Ipv4Addr = Ipv4Addr::LOCALHOST;
/// Guards nothing: it exists on loopback and for one run.
const SECRET: &str = "a secret of the soak";
const STARTING: Duration = Duration::from_secs(20);

/// Limits stand where one host that plays everybody does not meet them;
/// allocations that clients leave behind end soon.
const CONFIGURATION: &str = r#"realm = "soak.example"
[cores]
real_time = false
[limits]
allocations = 4096
unauthenticated_per_second = 100000
unauthenticated_burst = 100000
handshakes_per_second = 100000
handshakes_per_source = 100000
half_open_per_source = 4096
handshake_timeout = "3s"
[lifetimes]
allocation = "8s"
allocation_max = "60s"
stream_idle = "4s"
"#;

/// What the server holds at one moment.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Holdings {
    /// Resident memory, bytes.
    pub memory: u64,
    /// Descriptors of the process.
    pub descriptors: u64,
    /// Allocations alive.
    pub allocations: u64,
    /// Relay ports that are free or opened ahead.
    pub relay_ports: u64,
    /// Relay ports held for a token.
    pub reserved: u64,
    /// Connections of clients.
    pub streams: u64,
    /// Connections that have not shown what they want.
    pub half_open: u64,
    /// Bytes held for connections.
    pub stream_memory: u64,
}

impl Holdings {
    /// Whether nothing is held that was not at the start. Memory is judged
    /// apart.
    pub(super) const fn is_back_at(&self, start: &Self) -> bool {
        self.allocations == 0
            && self.reserved == 0
            && self.streams == 0
            && self.half_open == 0
            && self.relay_ports == start.relay_ports
            && self.descriptors <= start.descriptors
    }
}

/// The running server, killed when dropped.
pub(super) struct Server {
    child: Child,
    folder: TempDir,
    cli: PathBuf,
}

impl Server {
    pub(super) fn start(turnd: &Path, authority: &Authority) -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("fb-soak-").tempdir()?;
        authority.renew(folder.path(), ADDRESS.into())?;
        let secret = folder.path().join("turn.secret");
        fs::write(&secret, SECRET)?;
        fs::set_permissions(&secret, Permissions::from_mode(0o600))?;
        configure(folder.path(), false)?;
        let child = Command::new(turnd)
            .arg("--config")
            .arg(folder.path().join("turnd.toml"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::create(folder.path().join("log"))?)
            .spawn()
            .with_context(|| format!("cannot start {}", turnd.display()))?;
        let mut server = Self {
            child,
            folder,
            cli: sibling("forebay")?,
        };
        let begin = Instant::now();
        while wait_until_answering(server.address(Transport::Udp), PEERS.into(), SHORT).is_err() {
            if !server.is_alive() || begin.elapsed() > STARTING {
                bail!("forebay-turnd does not start; it said:\n{}", server.log());
            }
        }
        Ok(server)
    }

    #[allow(clippy::unused_self, reason = "of this server")]
    pub(super) fn address(&self, transport: Transport) -> SocketAddr {
        let port = match transport {
            Transport::Udp | Transport::Tcp => UDP,
            Transport::Tls => TLS,
        };
        SocketAddr::new(ADDRESS.into(), port)
    }

    pub(super) fn dtls(&self) -> SocketAddr {
        SocketAddr::new(self.address(Transport::Udp).ip(), DTLS)
    }

    pub(super) fn credentials(&self, user: &str) -> Result<Credentials> {
        Credentials::from_secret(SECRET.as_bytes(), user, Duration::from_secs(24 * 3600))
    }

    pub(super) fn is_alive(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    pub(super) fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    /// Lines of the log that an operator has to look at.
    pub(super) fn errors(&self) -> Vec<String> {
        let log = self.log();
        let lines = log.lines().filter(|line| line.contains("ERROR"));
        lines.map(str::to_owned).collect()
    }

    pub(super) fn hang_up(&self) -> Result<()> {
        let pid = Pid::from_raw(i32::try_from(self.child.id())?);
        Ok(kill(pid, Signal::SIGHUP)?)
    }

    /// Another policy, for the next reload.
    pub(super) fn configure(&self, denying: bool) -> Result<()> {
        configure(self.folder.path(), denying)
    }

    pub(super) fn renew(&self, authority: &Authority) -> Result<()> {
        authority.renew(self.folder.path(), ADDRESS.into())
    }

    /// What `forebay` says with these arguments.
    pub(super) fn operate(&self, arguments: &[&str]) -> Result<Output> {
        Command::new(&self.cli)
            .args(arguments)
            .arg("--socket")
            .arg(self.folder.path().join("control.sock"))
            .output()
            .context("cannot run forebay")
    }

    pub(super) fn holdings(&self) -> Result<Holdings> {
        let metrics = ureq::get(format!("http://{ADDRESS}:{METRICS}/metrics"))
            .call()?
            .body_mut()
            .read_to_string()?;
        let process = format!("/proc/{}", self.child.id());
        let status = fs::read_to_string(format!("{process}/status"))?;
        let resident = status
            .lines()
            .find_map(|line| line.strip_prefix("VmRSS:")?.split_whitespace().next())
            .context("no VmRSS")?;
        Ok(Holdings {
            memory: resident.parse::<u64>()? * 1024,
            descriptors: fs::read_dir(format!("{process}/fd"))?.count() as u64,
            allocations: sum(&metrics, "forebay_allocations"),
            relay_ports: sum(&metrics, "forebay_relay_ports_free")
                + sum(&metrics, "forebay_relays_ready"),
            reserved: sum(&metrics, "forebay_relay_ports_reserved"),
            streams: sum(&metrics, "forebay_streams"),
            half_open: sum(&metrics, "forebay_connections_half_open"),
            stream_memory: sum(&metrics, "forebay_stream_memory_bytes"),
        })
    }
}

const SHORT: Duration = Duration::from_millis(500);

/// A metric over all its labels.
fn sum(metrics: &str, name: &str) -> u64 {
    metrics
        .lines()
        .filter(|line| {
            line.strip_prefix(name)
                .is_some_and(|rest| rest.starts_with(['{', ' ']))
        })
        .filter_map(|line| line.rsplit_once(' ')?.1.parse::<u64>().ok())
        .sum()
}

fn configure(folder: &Path, denying: bool) -> Result<()> {
    let deny = if denying { "[\"9.9.9.9/32\"]" } else { "[]" };
    let text = format!(
        "{CONFIGURATION}\
         [listen]\nudp = [\"{ADDRESS}:{UDP}\"]\ntcp = [\"{ADDRESS}:{UDP}\"]\n\
         tls = [\"{ADDRESS}:{TLS}\"]\ndtls = [\"{ADDRESS}:{DTLS}\"]\n\
         [tls]\ncertificate = \"{CERTIFICATE}\"\nkey = \"{KEY}\"\n\
         [relay]\naddresses = [\"{ADDRESS}\"]\n\
         [auth]\nsecrets = [{{ id = \"soak\", file = \"turn.secret\" }}]\nmobility = true\n\
         [peers]\nallow = [\"{PEERS}\"]\ndeny = {deny}\n\
         [metrics]\nlisten = \"{ADDRESS}:{METRICS}\"\n\
         [control]\nsocket = \"{}\"\n",
        folder.join("control.sock").display()
    );
    fs::write(folder.join("turnd.toml"), text)?;
    Ok(())
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
