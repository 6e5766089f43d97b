//! `cargo xtask run`: a data plane and a control plane on this machine, with a
//! working credential, until Ctrl-C.

use std::fs;
use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, UdpSocket};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use clap::Args;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

/// What to start where.
#[derive(Debug, Args)]
pub struct Run {
    /// Address to relay from and to give to clients; the default route's when
    /// left out
    #[arg(long)]
    address: Option<IpAddr>,
    /// UDP port for TURN; the next free one is taken when it is in use
    #[arg(long, default_value_t = 3478)]
    port: u16,
    /// Address of the page and the API; the next free port is taken when it is
    /// in use
    #[arg(long, default_value = "127.0.0.1:8080")]
    http: SocketAddr,
    /// Relay port range
    #[arg(long, default_value = "49152-65535")]
    relay_ports: String,
    /// Folder with the built binaries
    #[arg(long, default_value = "target/release")]
    bin: PathBuf,
    /// Also print everything as one line of JSON, for scripts
    #[arg(long)]
    json: bool,
}

/// A started process that is stopped when dropped.
struct Daemon {
    name: &'static str,
    child: Child,
    log: PathBuf,
}

impl Daemon {
    fn start(binary: &Path, name: &'static str, config: &Path, folder: &Path) -> Result<Self> {
        let log = folder.join(format!("{name}.log"));
        let output = fs::File::create(&log)?;
        let child = Command::new(binary)
            .arg("--config")
            .arg(config)
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output)
            // A terminal's Ctrl-C goes to the whole foreground group; these
            // are to be stopped in order instead.
            .process_group(0)
            .spawn()
            .with_context(|| format!("{} does not start: build it first", binary.display()))?;
        Ok(Self { name, child, log })
    }

    fn exited(&mut self) -> Result<Option<ExitStatus>> {
        Ok(self.child.try_wait()?)
    }

    fn last_lines(&self) -> String {
        let text = fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<_> = text.lines().collect();
        lines[lines.len().saturating_sub(12)..].join("\n")
    }

    fn ensure_running(&mut self) -> Result<()> {
        if let Some(status) = self.exited()? {
            bail!("{} ended ({status}):\n{}", self.name, self.last_lines());
        }
        Ok(())
    }

    fn signal(&self, signal: Signal) {
        // Fails only when the process is gone already.
        let _ = kill(Pid::from_raw(self.child.id().cast_signed()), signal);
    }

    fn stop(&mut self) -> Result<ExitStatus> {
        self.signal(Signal::SIGTERM);
        let deadline = Instant::now() + Duration::from_secs(8);
        while Instant::now() < deadline {
            if let Some(status) = self.exited()? {
                return Ok(status);
            }
            sleep(Duration::from_millis(20));
        }
        bail!("{} does not stop:\n{}", self.name, self.last_lines());
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Starts both, prints how to use them, waits for Ctrl-C, stops both.
pub fn run(args: &Run) -> Result<()> {
    let mut signals = Signals::new([SIGINT, SIGTERM])?;
    let address = match args.address {
        Some(address) => address,
        None => default_address()?,
    };
    let turn = SocketAddr::new(address, free_udp_port(address, args.port)?);
    let http = free_tcp_address(args.http)?;
    let folder = tempfile::Builder::new().prefix("forebay-run-").tempdir()?;
    let path = folder.path();

    let api_key = random_hex()?;
    private_file(&path.join("turn.secret"), &random_hex()?)?;
    private_file(&path.join("api.keys"), &format!("local:{api_key}"))?;
    private_file(&path.join("token.secret"), &random_hex()?)?;
    let socket = path.join("dataplane.sock");
    fs::write(
        path.join("dataplane.toml"),
        format!(
            "[listen]\nudp = [\"{turn}\"]\n[relay]\naddresses = [\"{address}\"]\nports = \"{}\"\n\
             [lifetimes]\ndrain = \"1s\"\n[media]\nenabled = true\n[control]\nsocket = {socket:?}\n",
            args.relay_ports
        ),
    )?;
    fs::write(
        path.join("controlplane.toml"),
        format!(
            "[listen]\nhttp = \"{http}\"\n[dataplane]\nsocket = {socket:?}\n\
             [turn]\nurls = [\"turn:{turn}?transport=udp\"]\n\
             secrets = [{{ id = \"local\", file = {:?} }}]\n[api]\nkeys_file = {:?}\n\
             token_keys = [{{ id = \"local\", file = {:?} }}]\n[calls]\ndatabase = {:?}\n",
            path.join("turn.secret"),
            path.join("api.keys"),
            path.join("token.secret"),
            path.join("calls.sqlite"),
        ),
    )?;

    let mut dataplane = Daemon::start(
        &args.bin.join("forebay-dataplane"),
        "dataplane",
        &path.join("dataplane.toml"),
        path,
    )?;
    let mut controlplane = Daemon::start(
        &args.bin.join("forebay-controlplane"),
        "controlplane",
        &path.join("controlplane.toml"),
        path,
    )?;
    let deadline = Instant::now() + Duration::from_secs(15);
    while ureq::get(format!("http://{http}/readyz")).call().is_err() {
        dataplane.ensure_running()?;
        controlplane.ensure_running()?;
        ensure!(
            Instant::now() < deadline,
            "not ready in time:\n{}\n{}",
            dataplane.last_lines(),
            controlplane.last_lines()
        );
        sleep(Duration::from_millis(50));
    }
    let credential: Value = ureq::post(format!("http://{http}/v1/turn/credentials"))
        .header("Authorization", format!("Bearer {api_key}"))
        .send_json(serde_json::json!({ "user": "demo" }))
        .context("no credential from the control plane")?
        .body_mut()
        .read_json()?;
    let field = |name: &str| credential[name].as_str().unwrap_or_default().to_owned();
    let page = format!("http://{http}/#key={api_key}");
    // With the key, so that everybody who opens the link gets a token of
    // their own.
    let room = format!("http://{http}/room#key={api_key}&room=lobby");
    let token: Value = ureq::post(format!("http://{http}/v1/tokens"))
        .header("Authorization", format!("Bearer {api_key}"))
        .send_json(serde_json::json!({ "room": "lobby", "identity": "demo", "name": "Demo", "ttl": 86_400 }))
        .context("no token from the control plane")?
        .body_mut()
        .read_json()?;
    let token = token["token"].as_str().unwrap_or_default();

    let mut out = std::io::stdout().lock();
    if args.json {
        writeln!(
            out,
            "{}",
            serde_json::json!({
                "page": page, "room": room, "token": token, "turn": format!("turn:{turn}?transport=udp"), "api_key": api_key,
                "username": field("username"), "password": field("password"),
                "socket": socket, "folder": path,
                "dataplane": dataplane.child.id(), "controlplane": controlplane.child.id(),
            })
        )?;
    } else {
        writeln!(
            out,
            "\nForebay is running on this machine.\n\n\
             \x20 Room          {room}\n\
             \x20 Relay check   {page}\n\
             \x20 TURN          turn:{turn}?transport=udp\n\
             \x20 Username      {}\n\
             \x20 Password      {}\n\
             \x20 More          curl -X POST -H 'Authorization: Bearer {api_key}' http://{http}/v1/turn/credentials\n\
             \x20 Metrics       http://{http}/metrics\n\
             \x20 Status        target/release/forebay status --socket {}\n\
             \x20 Logs          {}/*.log\n\n\
             Open the room in two browser windows, or the relay check in one. Ctrl-C stops everything.",
            field("username"),
            field("password"),
            socket.display(),
            path.display(),
        )?;
    }
    out.flush()?;

    loop {
        if signals.pending().next().is_some() {
            break;
        }
        dataplane.ensure_running()?;
        controlplane.ensure_running()?;
        sleep(Duration::from_millis(100));
    }
    let stopped = [controlplane.stop()?, dataplane.stop()?];
    if !args.json {
        writeln!(out, "\nStopped.")?;
    }
    ensure!(
        stopped.iter().all(ExitStatus::success),
        "a process ended badly: control plane {}, data plane {}\n{}\n{}",
        stopped[0],
        stopped[1],
        controlplane.last_lines(),
        dataplane.last_lines()
    );
    Ok(())
}

/// The address packets to the world leave from. Nothing is sent: connecting a
/// UDP socket only looks up the route.
fn default_address() -> Result<IpAddr> {
    let socket = UdpSocket::bind("0.0.0.0:0")?;
    Ok(match socket.connect("198.51.100.1:9") {
        Ok(()) => socket.local_addr()?.ip(),
        Err(_) => IpAddr::from([127, 0, 0, 1]),
    })
}

fn free_udp_port(address: IpAddr, wanted: u16) -> Result<u16> {
    (wanted..=wanted.saturating_add(100))
        .find(|port| UdpSocket::bind((address, *port)).is_ok())
        .with_context(|| format!("no UDP port free on {address} from {wanted} on; try --port"))
}

fn free_tcp_address(wanted: SocketAddr) -> Result<SocketAddr> {
    (wanted.port()..=wanted.port().saturating_add(100))
        .map(|port| SocketAddr::new(wanted.ip(), port))
        .find(|address| TcpListener::bind(address).is_ok())
        .with_context(|| format!("no TCP port free from {wanted} on; try --http"))
}

fn random_hex() -> Result<String> {
    let mut bytes = [0; 24];
    fs::File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

fn private_file(path: &Path, text: &str) -> Result<()> {
    let mut file = fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?;
    file.set_permissions(fs::Permissions::from_mode(0o600))?;
    writeln!(file, "{text}")?;
    Ok(())
}
