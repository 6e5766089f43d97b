//! The real binary, a data plane of straw and a small HTTP client.
#![allow(dead_code, reason = "each test binary uses its part")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "test code")]

pub(crate) mod browser;
pub(crate) mod http;
pub(crate) mod pair;
pub(crate) mod plane;
pub(crate) mod straw;

use std::fs::{self, File};
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use tempfile::TempDir;

use http::Answer;

/// Generous, for a machine that does much else.
const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) const KEY: &str = "an-api-key-of-the-tests";
pub(crate) const SECRET: &str = "north-of-the-secret";

/// Waits until it holds.
pub(crate) fn until<T>(what: &str, mut holds: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(value) = holds() {
            return value;
        }
        assert!(Instant::now() < deadline, "in time: {what}");
        sleep(Duration::from_millis(10));
    }
}

/// A folder with a configuration and the files it names.
pub(crate) struct Place {
    pub(crate) folder: TempDir,
}

impl Place {
    pub(crate) fn new() -> Self {
        let place = Self {
            folder: tempfile::tempdir().unwrap(),
        };
        place.private("turn.secret", SECRET);
        place.private("api.keys", &format!("tests:{KEY}\n"));
        place.configure("");
        place
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.path("dataplane.sock")
    }

    /// Replaces a file that only we may read, in one step.
    pub(crate) fn private(&self, name: &str, text: &str) {
        let fresh = self.path(&format!("{name}.new"));
        fs::write(&fresh, text).unwrap();
        fs::set_permissions(&fresh, fs::Permissions::from_mode(0o600)).unwrap();
        fs::rename(fresh, self.path(name)).unwrap();
    }

    /// The usual configuration with `[turn]` keys of its own and sections
    /// after it.
    pub(crate) fn configure(&self, more: &str) {
        self.configure_turn(
            "secrets = [{ id = \"first\", file = \"turn.secret\" }]",
            more,
        );
    }

    /// The usual configuration with a key for tokens, keys of `[rooms]` and
    /// sections after them; `calls.sqlite` is meant to be beside the file.
    pub(crate) fn configure_rooms(&self, rooms: &str, more: &str) {
        let more = more.replace(
            "\"calls.sqlite\"",
            &format!("{:?}", self.path("calls.sqlite")),
        );
        self.configure_api(
            "secrets = [{ id = \"first\", file = \"turn.secret\" }]",
            "token_keys = [{ id = \"first\", file = \"token.secret\" }]\n",
            &format!("[rooms]\n{rooms}{more}"),
        );
    }

    pub(crate) fn configure_turn(&self, turn: &str, more: &str) {
        self.configure_api(turn, "", more);
    }

    fn configure_api(&self, turn: &str, api: &str, more: &str) {
        let socket = self.socket();
        let limits = if more.contains("[limits]") {
            ""
        } else {
            "[limits]\nburst = 1000000\n"
        };
        let text = format!(
            "[listen]\nhttp = \"127.0.0.1:0\"\n[dataplane]\nsocket = {socket:?}\n[log]\nlevel = \"trace\"\nformat = \
             \"json\"\nusage = true\n[turn]\n{turn}\n[api]\nkeys_file = \"api.keys\"\n{api}{limits}{more}"
        );
        self.private("controlplane.toml", &text);
    }
}

/// The running binary.
pub(crate) struct ControlPlane {
    child: Child,
    log: PathBuf,
    pub(crate) address: SocketAddr,
}

impl ControlPlane {
    pub(crate) fn start(place: &Place) -> Self {
        Self::start_with(place, &[])
    }

    pub(crate) fn start_with(place: &Place, environment: &[(&str, &Path)]) -> Self {
        let log = place.path("log");
        let child = command(place)
            .envs(environment.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::create(&log).unwrap())
            .spawn()
            .unwrap();
        let address = until("the server listens", || {
            listening(&log, "http server listens")
        });
        Self {
            child,
            log,
            address,
        }
    }

    pub(crate) fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap()
    }

    pub(crate) fn listening(&self, message: &str) -> SocketAddr {
        until(message, || listening(&self.log, message))
    }

    pub(crate) fn get(&self, path: &str) -> Answer {
        http::request(self.address, "GET", path, &[], b"")
    }

    pub(crate) fn credentials(&self, body: &str) -> Answer {
        let authorization = format!("Bearer {KEY}");
        let headers = [
            ("authorization", authorization.as_str()),
            ("content-type", "application/json"),
        ];
        http::request(
            self.address,
            "POST",
            "/v1/turn/credentials",
            &headers,
            body.as_bytes(),
        )
    }

    pub(crate) fn until_ready(&self) {
        until("ready", || {
            (self.get("/readyz").status == 200).then_some(())
        });
    }

    pub(crate) fn reasons(&self) -> Vec<String> {
        let answer = self.get("/readyz").json();
        answer["reasons"]
            .as_array()
            .unwrap()
            .iter()
            .map(|r| r.as_str().unwrap().to_owned())
            .collect()
    }

    /// The value of a sample without labels, or with exactly these.
    pub(crate) fn metric(&self, sample: &str) -> Option<f64> {
        let text = self.get("/metrics").text();
        let line = text.lines().find(|line| {
            line.strip_prefix(sample)
                .is_some_and(|rest| rest.starts_with(' '))
        })?;
        Some(line[sample.len()..].trim().parse().unwrap())
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.child.id().cast_signed()), signal).unwrap();
    }

    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    pub(crate) fn until_gone(&mut self) -> ExitStatus {
        until("the process ends", || self.child.try_wait().unwrap())
    }
}

impl Drop for ControlPlane {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("{}", fs::read_to_string(&self.log).unwrap_or_default());
        }
    }
}

pub(crate) fn command(place: &Place) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_forebay-controlplane"));
    command
        .arg("--config")
        .arg(place.path("controlplane.toml"))
        .env_remove("NOTIFY_SOCKET");
    command
}

fn listening(log: &Path, message: &str) -> Option<SocketAddr> {
    let text = fs::read_to_string(log).ok()?;
    let line = text.lines().find(|line| line.contains(message))?;
    serde_json::from_str::<Value>(line).ok()?["address"]
        .as_str()?
        .parse()
        .ok()
}
