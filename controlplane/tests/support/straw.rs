//! A data plane that only talks.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle, sleep};
use std::time::{Duration, Instant};

use forebay_ipc::codec::Buffer;
use forebay_ipc::socket::{Connection, Listening};
use forebay_ipc::*;

use super::plane::Plane;
use super::until;

/// What it heard and how it shall behave.
#[derive(Debug)]
pub(crate) struct Scene {
    pub(crate) commands: Vec<Command>,
    pub(crate) connections: usize,
    pub(crate) credentials: Option<Generation>,
    pub(crate) policy: Option<Generation>,
    pub(crate) realm: &'static str,
    /// What becomes of the next commands; empty: done.
    pub(crate) outcomes: Vec<Outcome>,
    /// Sent as they are, once.
    pub(crate) events: Vec<FromDataplane>,
    /// Bytes sent instead of a welcome.
    pub(crate) garbage: Option<Vec<u8>>,
    pub(crate) rejection: Option<Rejected>,
    /// Whether it forwards media.
    pub(crate) has_media: bool,
    pub(crate) plane: Plane,
}

impl Default for Scene {
    fn default() -> Self {
        Self {
            commands: Vec::new(),
            connections: 0,
            credentials: None,
            policy: None,
            realm: "example.org",
            outcomes: Vec::new(),
            events: Vec::new(),
            garbage: None,
            rejection: None,
            has_media: false,
            plane: Plane::default(),
        }
    }
}

impl Scene {
    /// With workers that forward media.
    pub(crate) fn with_media() -> Self {
        Self {
            has_media: true,
            ..Self::default()
        }
    }

    /// The secrets of the last SetCredentials, by id.
    pub(crate) fn secrets(&self) -> Option<Vec<String>> {
        self.commands
            .iter()
            .rev()
            .find_map(|command| match command {
                Command::SetCredentials(set) => {
                    Some(set.secrets.iter().map(|s| s.id.to_string()).collect())
                }
                _ => None,
            })
    }
}

pub(crate) struct Straw {
    pub(crate) scene: Arc<Mutex<Scene>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Straw {
    pub(crate) fn start(socket: &Path, scene: Scene) -> Self {
        let listening = Listening::bind(socket).unwrap();
        let scene = Arc::new(Mutex::new(scene));
        let stop = Arc::new(AtomicBool::new(false));
        let thread = {
            let (scene, stop) = (scene.clone(), stop.clone());
            thread::spawn(move || serve(&listening, &scene, &stop))
        };
        Self {
            scene,
            stop,
            thread: Some(thread),
        }
    }

    pub(crate) fn until<T>(&self, what: &str, mut holds: impl FnMut(&mut Scene) -> Option<T>) -> T {
        until(what, || holds(&mut self.scene.lock().unwrap()))
    }
}

impl Drop for Straw {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn serve(listening: &Listening, scene: &Mutex<Scene>, stop: &AtomicBool) {
    let mut buffer = Buffer::new();
    // With whether it was greeted: only then is it told of events.
    let mut peers: Vec<(Connection, bool)> = Vec::new();
    let mut stats_due = Instant::now();
    while !stop.load(Ordering::Relaxed) {
        if let Some((connection, peer)) = listening.accept().unwrap() {
            assert!(peer.trusted());
            scene.lock().unwrap().connections += 1;
            peers.push((connection, false));
        }
        peers.retain_mut(|(peer, greeted)| {
            loop {
                match peer.receive::<ToDataplane>(&mut buffer) {
                    Ok(Some(message)) => {
                        if !answer(peer, message, &mut scene.lock().unwrap(), &mut buffer) {
                            return false;
                        }
                        *greeted = true;
                    }
                    Ok(None) => return true,
                    Err(_) => return false,
                }
            }
        });
        let mut scene = scene.lock().unwrap();
        let mut events: Vec<_> = scene.events.drain(..).collect();
        if Instant::now() >= stats_due {
            stats_due = Instant::now() + Duration::from_millis(200);
            events.push(stats_digest());
        }
        drop(scene);
        for event in &events {
            peers.retain(|(peer, greeted)| !greeted || peer.send(event, &mut buffer).is_ok());
        }
        sleep(Duration::from_millis(5));
    }
}

fn stats_digest() -> FromDataplane {
    let mut values = vec![0; stats::COUNT];
    values[stats::Stat::AllocationsLive as usize] = 17;
    FromDataplane::Stats(StatsDigest {
        worker: 0,
        table: stats::fingerprint(),
        values: List::new(values).unwrap(),
        events_lost: 0,
    })
}

fn answer(peer: &Connection, message: ToDataplane, scene: &mut Scene, buffer: &mut Buffer) -> bool {
    let mut say = |message: &FromDataplane| peer.send(message, buffer).is_ok();
    match message {
        ToDataplane::Hello(hello) => {
            assert_eq!((hello.version, hello.role), (VERSION, Role::Controller));
            if let Some(garbage) = scene.garbage.take() {
                use std::os::fd::AsRawFd as _;
                let flags = nix::sys::socket::MsgFlags::MSG_NOSIGNAL;
                return nix::sys::socket::send(peer.as_raw_fd(), &garbage, flags).is_ok();
            }
            if let Some(rejection) = scene.rejection.take() {
                say(&FromDataplane::Rejected(rejection));
                return false;
            }
            let media = scene.plane.snapshot();
            let mut parts = Vec::new();
            if scene.has_media {
                parts.push(FromDataplane::MediaWorkers(
                    List::new(media.workers).unwrap(),
                ));
                let media = media.media;
                parts.extend(
                    media
                        .sessions
                        .into_values()
                        .map(|s| FromDataplane::Session(Box::new(s))),
                );
                parts.extend(
                    media
                        .tracks
                        .into_values()
                        .map(|t| FromDataplane::Track(Box::new(t))),
                );
                let subscriptions: Vec<_> = media.subscriptions.into_values().collect();
                parts.push(FromDataplane::Subscriptions(
                    List::new(subscriptions).unwrap(),
                ));
            }
            let local = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 5));
            let public = IpAddr::V4(Ipv4Addr::new(203, 0, 113, 7));
            say(&FromDataplane::Welcome(Welcome {
                version: VERSION,
                software: Text::new("straw").unwrap(),
                boot: BootId([7 + scene.plane.boot; 16]),
                started_at: 1,
                realm: Text::new(scene.realm).unwrap(),
            })) && say(&FromDataplane::SnapshotBegin(SnapshotBegin {
                listeners: List::new(vec![
                    Listener {
                        transport: Transport::Tls,
                        address: SocketAddr::new(local, 443),
                    },
                    Listener {
                        transport: Transport::Udp,
                        address: SocketAddr::from((Ipv4Addr::UNSPECIFIED, 3478)),
                    },
                ])
                .unwrap(),
                relays: List::new(vec![Relay { local, public }]).unwrap(),
                relay_ports: PortRange {
                    first: 49_152,
                    last: 65_535,
                },
                credentials: scene.credentials,
                policy: scene.policy,
                drain: None,
                certificate: media.certificate.filter(|_| scene.has_media),
            })) && say(&FromDataplane::Workers(
                List::new(vec![Worker {
                    index: 0,
                    core: Some(0),
                    relay_ports: 100,
                    allocation_capacity: 100,
                }])
                .unwrap(),
            )) && parts.iter().all(&mut say)
                && say(&FromDataplane::SnapshotEnd(SnapshotEnd { allocations: 0 }))
        }
        ToDataplane::Command { id, command } => {
            let scripted = if scene.outcomes.is_empty() {
                None
            } else {
                Some(scene.outcomes.remove(0))
            };
            let outcome = scripted.unwrap_or_else(|| apply(&command, scene));
            scene.commands.push(command);
            let text = if outcome == Outcome::Done {
                ""
            } else {
                "as the test wants"
            };
            say(&FromDataplane::Ack(Ack {
                id,
                outcome,
                text: Text::new(text).unwrap(),
            }))
        }
        ToDataplane::Sessions { .. } => panic!("a control plane lists no sessions"),
    }
}

fn apply(command: &Command, scene: &mut Scene) -> Outcome {
    let (given, in_force) = match command {
        Command::SetCredentials(set) => (set.generation, &mut scene.credentials),
        Command::SetPolicy(set) => (set.generation, &mut scene.policy),
        Command::Drain { .. } | Command::DeleteAllocation(_) => return Outcome::Done,
        media => return scene.plane.apply(media),
    };
    if in_force.is_some_and(|newest| given <= newest) {
        return Outcome::Stale;
    }
    *in_force = Some(given);
    Outcome::Done
}
