//! The room page in real browsers, against the real servers.
//!
//! The long versions: `cargo test -p forebay-controlplane --test room -- --ignored --nocapture`.

#![allow(clippy::unwrap_used, clippy::panic, reason = "test code")]

mod support;

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};

use support::browser::install_packages;
use support::pair::{DataPlane, free_udp_port, free_udp_ports, host_address};
use support::{ControlPlane, KEY, Place};

/// Browsers at the same time would only take the cores from each other.
static ALONE: Mutex<()> = Mutex::new(());

/// Both servers, at addresses that a restart keeps.
struct Servers {
    place: Place,
    turn: u16,
    media: SocketAddr,
    relays: &'static str,
    workers: u16,
    data: Option<DataPlane>,
    control: Option<ControlPlane>,
    _alone: MutexGuard<'static, ()>,
}

impl Servers {
    /// `relays` are the ports of the TURN relay.
    fn start(relays: &'static str) -> Self {
        Self::start_workers(relays, 1, "")
    }

    /// `rooms` are keys of the control plane's `[rooms]`.
    fn start_workers(relays: &'static str, workers: u16, rooms: &str) -> Self {
        Self::start_on(Ipv4Addr::LOCALHOST.into(), relays, workers, rooms)
    }

    /// Media on this address.
    fn start_on(address: IpAddr, relays: &'static str, workers: u16, rooms: &str) -> Self {
        let alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
        let place = Place::new();
        let turn = free_udp_port();
        let media = SocketAddr::new(address, free_udp_ports(workers));
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let http = listener.local_addr().unwrap();
        drop(listener);
        place.private(
            "token.secret",
            "south-of-the-secret-of-tokens-there-is-more",
        );
        let (turn_secret, socket) = (place.path("turn.secret"), place.socket());
        let (token_secret, keys) = (place.path("token.secret"), place.path("api.keys"));
        place.private(
            "controlplane.toml",
            &format!(
                "[listen]\nhttp = \"{http}\"\n[dataplane]\nsocket = {socket:?}\n[log]\nlevel = \"debug\"\nformat = \
                 \"json\"\n[turn]\nurls = [\"turn:127.0.0.1:{turn}?transport=udp\"]\nsecrets = [{{ id = \"first\", file \
                 = {turn_secret:?} }}]\n[api]\nkeys_file = {keys:?}\ntoken_keys = [{{ id = \"tokens\", file = \
                 {token_secret:?} }}]\n[limits]\nburst = 1000000\n[rooms]\n{rooms}"
            ),
        );
        let mut servers = Self {
            place,
            turn,
            media,
            relays,
            workers,
            data: None,
            control: None,
            _alone: alone,
        };
        servers.start_data();
        servers.start_control();
        servers.control.as_ref().unwrap().until_ready();
        servers
    }

    fn start_data(&mut self) {
        self.data = Some(DataPlane::start_media_on(
            &self.place,
            self.turn,
            self.relays,
            self.media,
            self.workers,
        ));
    }

    fn start_control(&mut self) {
        self.control = Some(ControlPlane::start(&self.place));
    }

    /// What a script asks for while it runs.
    fn perform(&mut self, what: &str) {
        match what {
            "kill control" => self.control.as_mut().unwrap().kill(),
            "start control" => self.start_control(),
            "restart data" => {
                self.data.as_mut().unwrap().kill();
                self.start_data();
            }
            other => panic!("the script asks for {other}"),
        }
    }

    /// Runs a script of `tests/browser/room` and does what it asks.
    fn run(&mut self, script: &str, more: &[&str]) {
        let mut child = self.node(script, more);
        let mut answers = child.stdin.take().unwrap();
        for line in BufReader::new(child.stdout.take().unwrap()).lines() {
            let line = line.unwrap();
            println!("{line}");
            if let Some(what) = line.strip_prefix("do ") {
                self.perform(what);
                writeln!(answers, "done").unwrap();
            }
        }
        assert!(child.wait().unwrap().success(), "{script} failed");
    }

    fn node(&self, script: &str, more: &[&str]) -> Child {
        let address = self.control.as_ref().unwrap().address;
        Command::new("node")
            .arg(format!("room/{script}"))
            .arg(format!("http://{address}/"))
            .arg(KEY)
            .args(more)
            .current_dir(folder())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("node: apt install nodejs")
    }
}

fn folder() -> PathBuf {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/browser");
    install_packages(&folder);
    folder
}

fn screenshots(name: &str) -> String {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    std::fs::create_dir_all(&folder).unwrap();
    println!("screenshots: {}", folder.display());
    folder.to_str().unwrap().to_owned()
}

#[test]
fn chromium_and_firefox_meet_one_of_them_through_the_relay_only() {
    let shots = screenshots("room");
    Servers::start("52500-52599").run(
        "call.mjs",
        &["--seconds", "8", "--relay", "1", "--shots", &shots],
    );
}

#[test]
fn a_call_outlives_the_control_plane_and_comes_back_after_the_data_plane() {
    Servers::start("52600-52699").run("survive.mjs", &[]);
}

#[test]
fn a_narrow_way_gets_the_low_layer_and_a_lossy_one_keeps_its_pictures() {
    let mut servers = Servers::start("52700-52799");
    let media = servers.media.port().to_string();
    servers.run("layers.mjs", &[&media]);
}

#[test]
fn screens_are_shared_and_no_more_is_decoded_or_sent_than_can_be() {
    let shots = screenshots("room-share");
    Servers::start("53100-53149").run("share.mjs", &["--shots", &shots]);
}

#[test]
fn without_a_way_for_pictures_there_is_sound_and_without_any_there_are_messages() {
    let shots = screenshots("room-fallback");
    let mut servers = Servers::start("53150-53199");
    let media = servers.media.port().to_string();
    servers.run("fallback.mjs", &[&media, "--shots", &shots]);
}

#[test]
fn no_picture_stands_still_while_layers_change() {
    Servers::start("52900-52949").run("switches.mjs", &[]);
}

#[test]
fn who_has_no_udp_talks_over_tcp() {
    // Firefox connects to no loopback address.
    Servers::start_on(host_address(), "53100-53149", 1, "").run("tcp.mjs", &[]);
}

#[test]
fn a_room_goes_on_over_two_workers() {
    Servers::start_workers("53000-53099", 2, "worker_sessions = 4\n").run("spread.mjs", &[]);
}

#[test]
#[ignore = "ten minutes"]
fn no_picture_stands_still_through_fifty_changes_of_layer_per_codec() {
    Servers::start("52950-52999").run(
        "switches.mjs",
        &[
            "--switches",
            "50",
            "--kinds",
            "VP8,H264,VP9/L2T3_KEY,VP9/L2T3,AV1/L2T3_KEY,AV1/L2T3",
        ],
    );
}

#[test]
#[ignore = "five minutes"]
fn four_browsers_talk_for_five_minutes() {
    let shots = screenshots("room-long");
    Servers::start("52800-52899").run(
        "call.mjs",
        &[
            "--chromium",
            "3",
            "--firefox",
            "1",
            "--relay",
            "1",
            "--seconds",
            "300",
            "--shots",
            &shots,
        ],
    );
}
