//! Our data plane, told what to forward over its control socket.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use forebay_ipc::codec::Buffer;
use forebay_ipc::media::{
    Codec, Encoding, Extensions, Fingerprint, MediaSession, MediaSubscription, MediaTrack,
    MediaTransport, Note, PayloadMap, PublishedCodec, SessionKey, SubscriptionKey,
    SubscriptionMode, TrackKey, TrackKind,
};
use forebay_ipc::socket::Connection;
use forebay_ipc::{
    Bytes, Command, FromDataplane, Hello, List, Outcome, Role, Sensitive, Text, ToDataplane,
    VERSION,
};
use tempfile::TempDir;

use super::layout::Layout;
use super::peer::{Agent, Ice, Identity};
use super::publisher::Stream;
use crate::rig::Addresses;
use crate::rig::process::ServerProcess;

const PORT: u16 = 7882;
const PATIENCE: Duration = Duration::from_secs(20);
const PASSWORD: &str = "aPasswordOfTheBenchmark";
/// Payload types in and out.
pub const VIDEO: u8 = 96;
/// Payload types in and out.
pub const AUDIO: u8 = 111;

/// The running data plane.
pub struct Forebay {
    /// Its process.
    pub process: ServerProcess,
    address: SocketAddr,
    connection: Connection,
    buffer: Buffer,
    next_id: u32,
    _files: TempDir,
}

impl Forebay {
    /// Starts `program` on the addresses of a slot.
    ///
    /// # Errors
    /// When it does not start.
    pub fn start(addresses: &Addresses, program: &Path) -> Result<Self> {
        let files = tempfile::Builder::new().prefix("fb-bench-").tempdir()?;
        let (ip, directory) = (addresses.server, files.path().display());
        let configuration = files.path().join("dataplane.toml");
        fs::write(
            &configuration,
            format!(
                "realm = \"bench.example\"\n[cores]\npin = [0]\n[listen]\nudp = [\"{ip}:3478\"]\n\
                 [relay]\naddresses = [\"{ip}\"]\n[metrics]\nlisten = \"127.0.0.1:9641\"\n\
                 [control]\nsocket = \"{directory}/control\"\n[media]\nenabled = true\n\
                 addresses = [\"{ip}\"]\nport = {PORT}\nstart_bitrate = 10_000_000_000\n\
                 max_bitrate = 10_000_000_000\n"
            ),
        )?;
        let log = files.path().join("stderr");
        let arguments = ["--config".to_owned(), configuration.display().to_string()];
        let mut process = ServerProcess::start(&program.to_string_lossy(), &arguments, &log)?;
        process.discard_output();
        let connection = open(&files.path().join("control"), &mut process).with_context(|| {
            let said = fs::read_to_string(&log).unwrap_or_default();
            format!("forebay-dataplane does not start; it said:\n{said}")
        })?;
        let mut forebay = Self {
            process,
            address: SocketAddr::new(ip.into(), PORT),
            connection,
            buffer: Buffer::new(),
            next_id: 1,
            _files: files,
        };
        forebay.say(&ToDataplane::Hello(Hello {
            version: VERSION,
            role: Role::Controller,
            software: Text::truncated("forebay-bench"),
            allocations: false,
        }))?;
        forebay.until(|message| matches!(message, FromDataplane::SnapshotEnd(_)).then_some(()))?;
        Ok(forebay)
    }

    /// Where clients send.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Describes every connection, track and subscription; returns the
    /// credentials of the publishers, then of the subscribers.
    ///
    /// # Errors
    /// When the data plane refuses something.
    pub fn describe(
        &mut self,
        layout: Layout,
        stream: Stream,
        identity: &Identity,
    ) -> Result<Vec<Ice>> {
        let (publishers, subscribers) = (layout.publishers(), layout.subscribers());
        let mut credentials = Vec::new();
        for index in 0..publishers + subscribers {
            let ice = Ice {
                remote_ufrag: format!("serv{index}"),
                remote_password: PASSWORD.to_owned(),
                local_ufrag: format!("peer{index}"),
                agent: Agent::Lite,
            };
            self.command(Command::SetSession(Box::new(session(
                index, &ice, identity,
            )?)))?;
            credentials.push(ice);
        }
        for publisher in 0..publishers {
            self.command(Command::SetTrack(Box::new(track(publisher, stream)?)))?;
        }
        let mut key = 0;
        for subscriber in 0..subscribers {
            for publisher in layout.subscribed(subscriber) {
                key += 1;
                self.command(Command::SetSubscription(Box::new(subscription(
                    key,
                    publisher,
                    publishers + subscriber,
                    stream,
                )?)))?;
            }
        }
        Ok(credentials)
    }

    /// Takes in what the data plane reports, so that it never has to drop it.
    ///
    /// # Errors
    /// When the data plane is gone.
    pub fn listen(&mut self) -> Result<()> {
        while self
            .connection
            .receive::<FromDataplane>(&mut self.buffer)?
            .is_some()
        {}
        Ok(())
    }

    fn command(&mut self, command: Command) -> Result<()> {
        let id = self.next_id;
        self.next_id += 1;
        loop {
            self.say(&ToDataplane::Command {
                id,
                command: command.clone(),
            })?;
            let ack = self.until(|message| match message {
                FromDataplane::Ack(ack) if ack.id == id => Some(ack),
                _ => None,
            })?;
            match ack.outcome {
                Outcome::Done => return Ok(()),
                Outcome::Busy => thread::sleep(Duration::from_millis(1)),
                outcome => bail!("{command:?}: {outcome:?}: {}", &*ack.text),
            }
        }
    }

    fn say(&mut self, message: &ToDataplane) -> Result<()> {
        while !self.connection.send(message, &mut self.buffer)? {
            thread::sleep(Duration::from_millis(1));
        }
        Ok(())
    }

    fn until<T>(&mut self, mut wanted: impl FnMut(FromDataplane) -> Option<T>) -> Result<T> {
        let end = Instant::now() + PATIENCE;
        while Instant::now() < end {
            match self.connection.receive(&mut self.buffer)? {
                Some(message) => {
                    if let Some(found) = wanted(message) {
                        return Ok(found);
                    }
                }
                None => thread::sleep(Duration::from_micros(50)),
            }
        }
        bail!("the data plane does not answer")
    }
}

fn open(path: &Path, process: &mut ServerProcess) -> Result<Connection> {
    let end = Instant::now() + PATIENCE;
    loop {
        match Connection::open(path) {
            Ok(connection) => return Ok(connection),
            Err(error) if Instant::now() > end || !process.is_alive() => return Err(error.into()),
            Err(_) => thread::sleep(Duration::from_millis(20)),
        }
    }
}

fn session(index: usize, ice: &Ice, identity: &Identity) -> Result<MediaSession> {
    Ok(MediaSession {
        key: SessionKey(index as u64 + 1),
        worker: 0,
        transport: MediaTransport::Ice {
            local_ufrag: Text::new(ice.remote_ufrag.clone())?,
            local_password: Sensitive::new(Bytes::new(ice.remote_password.as_bytes())?),
            remote_ufrag: Some(Text::new(ice.local_ufrag.clone())?),
            remote_fingerprint: Some(Fingerprint(identity.fingerprint())),
        },
        extensions: Extensions {
            mid: 1,
            ..Extensions::default()
        },
        cname: Text::new("bench")?,
        transport_cc: false,
        note: Note::default(),
    })
}

/// SSRC of a publisher's stream.
#[must_use]
pub const fn ssrc(publisher: usize) -> u32 {
    0x1000_0000 + publisher as u32
}

fn track(publisher: usize, stream: Stream) -> Result<MediaTrack> {
    let (kind, codec) = if stream.video {
        (TrackKind::Video, codec(VIDEO, Codec::Vp8, 90_000))
    } else {
        (TrackKind::Audio, codec(AUDIO, Codec::Opus, 48_000))
    };
    Ok(MediaTrack {
        key: TrackKey(publisher as u64 + 1),
        session: SessionKey(publisher as u64 + 1),
        mid: Text::new("0")?,
        kind,
        codecs: List::new(vec![codec])?,
        encodings: List::new(vec![Encoding {
            rid: None,
            ssrc: Some(ssrc(publisher)),
            rtx_ssrc: None,
        }])?,
        nack: stream.video,
        fir: false,
        muted: false,
        note: Note::default(),
    })
}

fn codec(payload_type: u8, codec: Codec, clock_rate: u32) -> PublishedCodec {
    PublishedCodec {
        payload_type,
        codec,
        clock_rate,
        rtx: None,
    }
}

fn subscription(
    key: u32,
    publisher: usize,
    session: usize,
    stream: Stream,
) -> Result<MediaSubscription> {
    let payload_type = if stream.video { VIDEO } else { AUDIO };
    Ok(MediaSubscription {
        key: SubscriptionKey(key.into()),
        track: TrackKey(publisher as u64 + 1),
        session: SessionKey(session as u64 + 1),
        mid: Text::new((publisher % 100).to_string())?,
        payload_types: List::new(vec![PayloadMap {
            from: payload_type,
            to: payload_type,
            rtx: None,
        }])?,
        mode: SubscriptionMode::Select {
            ssrc: 0x2000_0000 + key,
            rtx_ssrc: None,
        },
        max_spatial: 3,
        max_temporal: 3,
        paused: false,
        priority: 1,
    })
}
