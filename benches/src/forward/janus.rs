//! Debian's Janus with its video room, over its HTTP interface.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use serde_json::{Value, json};
use tempfile::TempDir;
use ureq::Agent as HttpAgent;

use super::forebay::{AUDIO, VIDEO, ssrc};
use super::layout::Layout;
use super::peer::{Agent, Ice, Identity};
use super::publisher::Stream;
use crate::rig::Addresses;
use crate::rig::process::ServerProcess;
use crate::servers::FIRST_PORT;

const PORT: u16 = 8088;
const PATIENCE: Duration = Duration::from_secs(30);
const ROOM: u64 = 1234;
const PASSWORD: &str = "aPasswordOfTheBenchmark";

/// The running server.
pub struct Janus {
    /// Its process.
    pub process: ServerProcess,
    agent: HttpAgent,
    base: String,
    addresses: Addresses,
    session: u64,
    /// Number of the last request.
    transaction: u64,
    _files: TempDir,
}

/// A connection the server described.
#[derive(Clone, Debug)]
pub struct Described {
    /// Where it is.
    pub server: SocketAddr,
    /// Its credentials.
    pub ice: Ice,
}

impl Janus {
    /// Starts it on the addresses of a slot.
    ///
    /// # Errors
    /// When it does not start.
    pub fn start(addresses: &Addresses) -> Result<Self> {
        if !installed("janus") {
            bail!("janus is not installed: apt install janus");
        }
        let files = tempfile::Builder::new().prefix("fb-bench-").tempdir()?;
        configure(files.path(), addresses)?;
        let log = files.path().join("stderr");
        let arguments = ["-F".to_owned(), files.path().display().to_string()];
        let mut process = ServerProcess::start("janus", &arguments, &log)?;
        process.discard_output();
        let agent = HttpAgent::config_builder()
            .timeout_global(Some(PATIENCE))
            .build()
            .new_agent();
        let mut janus = Self {
            process,
            agent,
            base: format!("http://{}:{PORT}/janus", addresses.server),
            addresses: *addresses,
            session: 0,
            transaction: 0,
            _files: files,
        };
        let end = Instant::now() + PATIENCE;
        loop {
            match janus.post("", json!({"janus": "create"})) {
                Ok(answer) => {
                    janus.session = id(&answer)?;
                    return Ok(janus);
                }
                Err(_) if Instant::now() < end && janus.process.is_alive() => {
                    thread::sleep(Duration::from_millis(100));
                }
                Err(error) => {
                    let said = fs::read_to_string(&log).unwrap_or_default();
                    return Err(error.context(format!("janus does not start; it said:\n{said}")));
                }
            }
        }
    }

    /// Makes the room and every connection; returns the publishers', then the
    /// subscribers'. Publishers have to be up before their subscribers ask,
    /// so `up` is called in between.
    ///
    /// # Errors
    /// When Janus refuses something.
    pub fn describe(
        &mut self,
        layout: Layout,
        stream: Stream,
        identity: &Identity,
        mut up: impl FnMut(&[Described]) -> Result<()>,
    ) -> Result<Vec<Described>> {
        let admin = self.attach()?;
        let created = self.message(
            admin,
            json!({"request": "create", "room": ROOM, "publishers": 1000, "notify_joining": false,
                   "videocodec": "vp8", "audiocodec": "opus", "bitrate": 0}),
            None,
        )?;
        if created["plugindata"]["data"]["videoroom"] != "created" {
            bail!("janus made no room: {created}");
        }
        let mut publishers = Vec::new();
        for publisher in 0..layout.publishers() {
            let handle = self.attach()?;
            let ufrag = format!("publ{publisher}");
            let event = self.asynchronous(
                handle,
                json!({"request": "joinandconfigure", "ptype": "publisher", "room": ROOM,
                       "id": publisher + 1}),
                Some(json!({"type": "offer", "sdp": offer(&ufrag, publisher, stream, identity, self.addresses.clients)})),
            )?;
            publishers.push(described(&event, ufrag, false)?);
        }
        up(&publishers)?;
        let mut subscribers = Vec::new();
        for subscriber in 0..layout.subscribers() {
            let handle = self.attach()?;
            let streams: Vec<Value> = layout
                .subscribed(subscriber)
                .into_iter()
                .map(|publisher| json!({"feed": publisher + 1}))
                .collect();
            let event = self.join(handle, &streams)?;
            let ufrag = format!("subs{subscriber}");
            let found = described(&event, ufrag.clone(), true)?;
            let offer = event["jsep"]["sdp"].as_str().unwrap_or_default();
            let answer = answer(offer, &ufrag, identity, self.addresses.peers, subscriber);
            self.asynchronous(
                handle,
                json!({"request": "start", "room": ROOM}),
                Some(json!({"type": "answer", "sdp": answer})),
            )?;
            subscribers.push(found);
        }
        Ok(subscribers)
    }

    /// Subscribes. A publisher is known a moment after its handshake, so this
    /// is asked for until it is.
    fn join(&mut self, handle: u64, streams: &[Value]) -> Result<Value> {
        let end = Instant::now() + PATIENCE;
        loop {
            let asked = self.asynchronous(
                handle,
                json!({"request": "join", "ptype": "subscriber", "room": ROOM,
                       "streams": streams}),
                None,
            );
            match asked {
                Err(_) if Instant::now() < end => thread::sleep(Duration::from_millis(50)),
                outcome => return outcome,
            }
        }
    }

    /// Keeps the session alive.
    ///
    /// # Errors
    /// When Janus is gone.
    pub fn keep_alive(&mut self) -> Result<()> {
        self.post(&format!("/{}", self.session), json!({"janus": "keepalive"}))
            .map(drop)
    }

    fn attach(&mut self) -> Result<u64> {
        let answer = self.post(
            &format!("/{}", self.session),
            json!({"janus": "attach", "plugin": "janus.plugin.videoroom"}),
        )?;
        id(&answer)
    }

    fn message(&mut self, handle: u64, body: Value, jsep: Option<Value>) -> Result<Value> {
        let mut message = json!({"janus": "message", "body": body});
        if let Some(jsep) = jsep {
            message["jsep"] = jsep;
        }
        self.post(&format!("/{}/{handle}", self.session), message)
    }

    /// A request that is answered by an event of the plugin.
    fn asynchronous(&mut self, handle: u64, body: Value, jsep: Option<Value>) -> Result<Value> {
        self.message(handle, body, jsep)?;
        let awaited = json!(self.transaction.to_string());
        let end = Instant::now() + PATIENCE;
        while Instant::now() < end {
            let url = format!("{}/{}?maxev=20", self.base, self.session);
            let events: Value = self.agent.get(&url).call()?.body_mut().read_json()?;
            let found = events
                .as_array()
                .map_or(std::slice::from_ref(&events), Vec::as_slice)
                .iter()
                .find(|event| event["janus"] == "event" && event["transaction"] == awaited);
            if let Some(event) = found {
                if let Some(error) = event["plugindata"]["data"]["error"].as_str() {
                    bail!("janus: {error}");
                }
                return Ok(event.clone());
            }
        }
        bail!("janus sent no event")
    }

    fn post(&mut self, path: &str, mut body: Value) -> Result<Value> {
        self.transaction += 1;
        body["transaction"] = json!(self.transaction.to_string());
        let answer: Value = self
            .agent
            .post(format!("{}{path}", self.base))
            .send_json(body)?
            .body_mut()
            .read_json()?;
        if answer["janus"] == "error" {
            bail!("janus: {answer}");
        }
        Ok(answer)
    }
}

fn installed(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(program).is_file())
}

fn id(answer: &Value) -> Result<u64> {
    answer["data"]["id"]
        .as_u64()
        .with_context(|| format!("janus gave no id: {answer}"))
}

fn configure(files: &Path, addresses: &Addresses) -> Result<()> {
    let ip = addresses.server;
    fs::write(
        files.join("janus.jcfg"),
        format!(
            "general: {{\n configs_folder = \"{}\"\n debug_level = 2\n event_loops = 1\n \
             session_timeout = 0\n}}\n\
             media: {{\n rtp_port_range = \"20000-40000\"\n}}\n\
             nat: {{\n ice_enforce_list = \"{ip}\"\n}}\n\
             transports: {{\n disable = \"libjanus_websockets.so,libjanus_pfunix.so,\
             libjanus_rabbitmq.so,libjanus_mqtt.so,libjanus_nanomsg.so\"\n}}\n",
            files.display()
        ),
    )?;
    fs::write(
        files.join("janus.transport.http.jcfg"),
        format!(
            "general: {{\n json = \"compact\"\n base_path = \"/janus\"\n http = true\n \
             port = {PORT}\n ip = \"{ip}\"\n https = false\n}}\n"
        ),
    )?;
    fs::write(files.join("janus.plugin.videoroom.jcfg"), "general: {\n}\n")?;
    Ok(())
}

fn common(ufrag: &str, identity: &Identity) -> String {
    format!(
        "a=ice-ufrag:{ufrag}\r\na=ice-pwd:{PASSWORD}\r\na=fingerprint:sha-256 {}\r\n\
         a=setup:active\r\na=rtcp-mux\r\n",
        identity.fingerprint_text()
    )
}

fn head(mids: &str) -> String {
    format!("v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=group:BUNDLE{mids}\r\n")
}

/// Janus begins once it knows a candidate.
fn candidate(ip: Ipv4Addr, index: usize) -> String {
    format!(
        "a=candidate:1 1 udp 2130706431 {ip} {} typ host\r\na=end-of-candidates\r\n",
        usize::from(FIRST_PORT) + index
    )
}

fn offer(
    ufrag: &str,
    publisher: usize,
    stream: Stream,
    identity: &Identity,
    ip: Ipv4Addr,
) -> String {
    let (kind, payload_type, map) = if stream.video {
        ("video", VIDEO, "VP8/90000")
    } else {
        ("audio", AUDIO, "opus/48000/2")
    };
    format!(
        "{}m={kind} 9 UDP/TLS/RTP/SAVPF {payload_type}\r\nc=IN IP4 0.0.0.0\r\na=mid:0\r\n\
         a=sendonly\r\n{}a=rtpmap:{payload_type} {map}\r\na=ssrc:{} cname:bench\r\n{}",
        head(" 0"),
        common(ufrag, identity),
        ssrc(publisher),
        candidate(ip, publisher)
    )
}

/// Takes everything that is offered.
fn answer(
    offer: &str,
    ufrag: &str,
    identity: &Identity,
    ip: Ipv4Addr,
    subscriber: usize,
) -> String {
    let sections: Vec<&str> = offer.split("m=").skip(1).collect();
    let mut mids = String::new();
    let mut body = String::new();
    for section in sections {
        let line = |prefix: &str| {
            section
                .lines()
                .find_map(|line| line.strip_prefix(prefix))
                .unwrap_or_default()
                .trim_end()
                .to_owned()
        };
        let mid = line("a=mid:");
        mids += &format!(" {mid}");
        body += &format!(
            "m={}\r\nc=IN IP4 0.0.0.0\r\na=mid:{mid}\r\na=recvonly\r\n{}a=rtpmap:{}\r\n{}",
            section.lines().next().unwrap_or_default().trim_end(),
            common(ufrag, identity),
            line("a=rtpmap:"),
            candidate(ip, subscriber)
        );
    }
    head(&mids) + &body
}

/// Who offers is controlling (RFC 8445 §6.1.1).
fn described(event: &Value, local_ufrag: String, offered: bool) -> Result<Described> {
    let sdp = event["jsep"]["sdp"]
        .as_str()
        .with_context(|| format!("janus described nothing: {event}"))?;
    let line = |prefix: &str| {
        sdp.lines()
            .find_map(|line| line.strip_prefix(prefix))
            .map(|text| text.trim_end().to_owned())
            .with_context(|| format!("no {prefix} in\n{sdp}"))
    };
    let candidate = line("a=candidate:")?;
    let words: Vec<&str> = candidate.split_whitespace().collect();
    let [_, _, _, _, address, port, ..] = words[..] else {
        bail!("a candidate that is none: {candidate}");
    };
    Ok(Described {
        server: SocketAddr::new(address.parse()?, port.parse()?),
        ice: Ice {
            remote_ufrag: line("a=ice-ufrag:")?,
            remote_password: line("a=ice-pwd:")?,
            local_ufrag,
            agent: Agent::Full {
                local_password: PASSWORD.to_owned(),
                controlling: offered,
            },
        },
    })
}
