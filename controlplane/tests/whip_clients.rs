//! WHIP and WHEP with clients of others, through the real data plane.
//!
//! aiortc comes from PyPI, playwright from npm, GStreamer and Chromium from
//! Debian (`scripts/install-test-parts`).

#![allow(clippy::unwrap_used, clippy::panic, reason = "test code")]

mod support;

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use serde_json::Value;

use support::browser::install_packages;
use support::pair::DataPlane;
use support::{ControlPlane, KEY, Place, http};

/// Seconds media flows in each test.
const FLOW: &str = "6";

/// Both servers, and a room of one's own.
struct Servers {
    _data: DataPlane,
    control: ControlPlane,
    _place: Place,
}

impl Servers {
    fn start(ports: &str, media: u16) -> Self {
        let place = Place::new();
        place.private("token.secret", "the-secret-that-signs-tokens-of-tests");
        place.configure_rooms("", "");
        let data = DataPlane::start_with_media(&place, ports, media);
        let control = ControlPlane::start(&place);
        control.until_ready();
        Self {
            _data: data,
            control,
            _place: place,
        }
    }

    fn token(&self, identity: &str) -> String {
        let authorization = format!("Bearer {KEY}");
        let headers = [
            ("authorization", authorization.as_str()),
            ("content-type", "application/json"),
        ];
        let body = format!("{{\"room\":\"stage\",\"identity\":\"{identity}\"}}");
        let answer = http::request(
            self.control.address,
            "POST",
            "/v1/tokens",
            &headers,
            body.as_bytes(),
        );
        answer.json()["token"].as_str().unwrap().to_owned()
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}/{path}/stage", self.control.address)
    }

    /// A client that runs for `seconds`.
    fn client(&self, program: &Path, script: &str, role: &str, seconds: &str) -> Child {
        let path = if role == "publish" { "whip" } else { "whep" };
        Command::new(program)
            .arg(folder().join(script))
            .args([role, &self.url(path), &self.token(role), seconds])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{}: {error}", program.display()))
    }

    /// One publishes while another plays; what each of them saw.
    fn publish_and_play(&self, program: &Path, script: &str) -> (Value, Value) {
        let publisher = self.client(program, script, "publish", "14");
        std::thread::sleep(std::time::Duration::from_secs(4));
        let player = self.client(program, script, "play", FLOW);
        let played = seen(player.wait_with_output().unwrap());
        (seen(publisher.wait_with_output().unwrap()), played)
    }
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/whip_clients")
}

fn seen(output: Output) -> Value {
    let said = String::from_utf8_lossy(&output.stdout);
    let line = said.lines().last().unwrap_or_default();
    serde_json::from_str(line)
        .unwrap_or_else(|_| panic!("said {said:?}\n{}", String::from_utf8_lossy(&output.stderr)))
}

fn frames(seen: &Value, kind: &str) -> u64 {
    seen["frames"][kind].as_u64().unwrap()
}

/// A Python with aiortc; made once per target directory.
fn aiortc() -> PathBuf {
    let environment = Path::new(env!("CARGO_TARGET_TMPDIR")).join("aiortc");
    let python = environment.join("bin/python");
    let works = Command::new(&python)
        .args(["-c", "import aiortc"])
        .output()
        .is_ok_and(|output| output.status.success());
    if !works {
        let made = Command::new("python3")
            .args(["-m", "venv"])
            .arg(&environment)
            .status();
        assert!(made.unwrap().success(), "install python3-venv");
        let filled = Command::new(&python)
            .args(["-m", "pip", "install", "--quiet", "aiortc==1.16.*"])
            .status();
        assert!(filled.unwrap().success(), "pip cannot install aiortc");
    }
    python
}

#[test]
fn aiortc_publishes_and_plays() {
    let servers = Servers::start("52500-52549", 7_940);
    let (published, played) = servers.publish_and_play(&aiortc(), "aiortc_client.py");
    for seen in [&published, &played] {
        assert_eq!(seen["state"], "connected", "{seen}");
        assert_eq!(
            (&seen["patched"], &seen["deleted"]),
            (&204.into(), &200.into())
        );
    }
    assert!(
        published["reports"]["acknowledged"].as_u64() >= Some(2),
        "{published}"
    );
    // Thirty pictures and fifty pieces of sound a second.
    assert!(frames(&played, "video") > 60, "{played}");
    assert!(frames(&played, "audio") > 150, "{played}");
}

#[test]
fn gstreamer_publishes_and_plays() {
    let servers = Servers::start("52550-52599", 7_944);
    // Not a Python of one's own: the bindings are Debian's.
    let python = Path::new("/usr/bin/python3");
    let (published, played) = servers.publish_and_play(python, "gstreamer_client.py");
    for seen in [&published, &played] {
        assert_eq!(seen["state"], "connected", "{seen}");
        assert_eq!(seen["deleted"], 200, "{seen}");
    }
    assert!(frames(&played, "video") > 60, "{played}");
    assert!(frames(&played, "audio") > 150, "{played}");
}

#[test]
fn aiortc_plays_what_gstreamer_publishes() {
    let servers = Servers::start("52600-52649", 7_948);
    let python = Path::new("/usr/bin/python3");
    let publisher = servers.client(python, "gstreamer_client.py", "publish", "14");
    std::thread::sleep(std::time::Duration::from_secs(4));
    let player = servers.client(&aiortc(), "aiortc_client.py", "play", FLOW);
    let played = seen(player.wait_with_output().unwrap());
    let published = seen(publisher.wait_with_output().unwrap());
    assert_eq!(published["deleted"], 200, "{published}");
    assert!(frames(&played, "video") > 60, "{played} {published}");
    assert!(frames(&played, "audio") > 150, "{played} {published}");
}

#[test]
fn chromium_publishes_plays_and_restarts_with_plain_fetch() {
    let servers = Servers::start("52650-52699", 7_952);
    let browser = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/browser");
    install_packages(&browser);
    let output = Command::new("node")
        .arg(folder().join("fetch.mjs"))
        .arg(format!("http://{}/", servers.control.address))
        .args(["stage", &servers.token("publish"), &servers.token("play")])
        .arg(aiortc())
        .arg(folder().join("aiortc_client.py"))
        .args([
            "choose",
            &servers.url("whep"),
            &servers.token("aiortc"),
            "1",
        ])
        .current_dir(&browser)
        .output()
        .expect("node: apt install nodejs");
    let seen = seen(output);
    assert_eq!(seen["failed"], Value::Null, "{seen}");
    assert!(seen["received"]["decoded"].as_u64() >= Some(60), "{seen}");
    assert!(seen["received"]["heard"].as_u64() > Some(0), "{seen}");
    // Both encodings of the simulcast: transport-wide feedback arrives.
    for rid in ["h", "f"] {
        assert!(seen["sent"]["encodings"][rid].as_u64() > Some(0), "{seen}");
    }
    let told = serde_json::json!({
        "opened": 201, "active": {}, "viewercount": { "viewercount": 1 }, "closed": 200,
        "layers": { "1": [{ "rid": "h", "spatialLayerId": 0 }, { "rid": "f", "spatialLayerId": 1 }] },
    });
    assert_eq!(seen["told"], told, "{seen}");
    // Each of them has the layer it asked for, and the best one again.
    let heights = serde_json::json!([[200, 360], [200, 180], [200, 360]]);
    assert_eq!(seen["layers"], heights, "{seen}");
    assert_eq!(seen["program"]["layers"], heights, "{seen}");
    assert_eq!(seen["trickled"], 204);
    assert_eq!(
        seen["restarted"],
        serde_json::json!({ "status": 200, "changed": true })
    );
    assert_eq!(seen["deleted"], serde_json::json!([[200, 404], [200, 404]]));
}
