//! What the owner wants, taken into the tables.

use forebay_wire::clock::Now;

use super::Hub;
use super::identify::Target;
use super::timers::REPORT;
use crate::describe::{Keyed, SessionConfig, TrackConfig, TrackKind, Transport as Reached};
use crate::forwarder::Refusal;
use crate::ice::{Ice, Restart};
use crate::ids::{SessionKey, Ssrc};
use crate::ingress::{Arrivals, Missing};
use crate::output::Path;
use crate::queue::Timer;
use crate::session::{DtlsBudget, ExtensionMap, Session};
use crate::srtp::{Inbound, Keys, Outbound};
use crate::tables::{SessionSlot, TrackSlot};
use crate::track::{Encoding, MAX_ENCODINGS, Track};
use crate::transport::Transport;

const MAX_CODECS: usize = 16;
const MAX_CNAME: usize = 64;

impl Hub {
    pub(crate) fn session(&self, key: SessionKey) -> Option<SessionSlot> {
        self.session_keys.get(key.0)
    }

    /// Makes or changes a session. Returns its slot.
    pub(crate) fn set_session(
        &mut self,
        now: Now,
        config: SessionConfig,
    ) -> Result<SessionSlot, Refusal> {
        if config.cname.is_empty() || config.cname.len() > MAX_CNAME {
            return Err(Refusal::Invalid);
        }
        let known = self.session(config.key);
        let slot = match known {
            Some(slot) => slot,
            None => self.make_session(now, &config)?,
        };
        let result = self.change_session(slot, config);
        if result.is_err() && known.is_none() {
            self.remove_session(slot);
        }
        result.map(|()| slot)
    }

    fn change_session(&mut self, slot: SessionSlot, config: SessionConfig) -> Result<(), Refusal> {
        match &config.transport {
            Reached::Ice {
                local,
                remote_ufrag,
            } => {
                let owner = self.owner_of(local.ufrag.as_bytes());
                if owner.is_some_and(|owner| owner != slot) {
                    return Err(Refusal::Invalid);
                }
                let session = self.sessions.get_mut(slot).ok_or(Refusal::Unknown)?;
                let ice = session.ice.as_mut().ok_or(Refusal::Invalid)?;
                let restart = ice
                    .set(local, remote_ufrag.as_deref())
                    .ok_or(Refusal::Invalid)?;
                if let Restart::Yes { dropped } = restart {
                    if let Some(dropped) = dropped {
                        self.remove_fragment(dropped.ufrag(), slot);
                    }
                    self.add_fragment(&local.ufrag, slot);
                }
            }
            Reached::Keyed(Keyed { path, keys }) => {
                let session = self.sessions.get_mut(slot).ok_or(Refusal::Unknown)?;
                if session.ice.is_some() {
                    return Err(Refusal::Invalid);
                }
                let former = session.transport.path.replace(*path);
                if former != Some(*path) {
                    if let Some(former) = former {
                        self.remove_path(&former, slot);
                    }
                    if !self.add_path(path, slot) {
                        return Err(Refusal::Full);
                    }
                }
                self.set_keys_of(slot, keys);
            }
        }
        let session = self.sessions.get_mut(slot).ok_or(Refusal::Unknown)?;
        let transport = &mut session.transport;
        if transport.extensions != config.extensions {
            session.extensions = ExtensionMap::new(&config.extensions);
            transport.extensions = config.extensions;
        }
        if config.extensions.transport_cc.is_some() {
            session.arrivals.prepare();
        }
        transport.cname = config.cname;
        transport.transport_cc = config.transport_cc;
        Ok(())
    }

    fn make_session(&mut self, now: Now, config: &SessionConfig) -> Result<SessionSlot, Refusal> {
        let ice = match &config.transport {
            Reached::Ice {
                local,
                remote_ufrag,
            } => {
                if self.owner_of(local.ufrag.as_bytes()).is_some() {
                    return Err(Refusal::Invalid);
                }
                let ice = Ice::new(now.instant, local, remote_ufrag.as_deref());
                Some(ice.ok_or(Refusal::Invalid)?)
            }
            Reached::Keyed(_) => None,
        };
        let ssrc = Ssrc(self.random() as u32);
        let fragment = ice.as_ref().map(|ice| {
            ice.all()
                .map(|c| c.ufrag().into())
                .collect::<Vec<Box<str>>>()
        });
        let session = Session {
            transport: Transport {
                key: config.key,
                slot: SessionSlot(0),
                path: None,
                outbound: None,
                extensions: config.extensions,
                cname: config.cname.clone(),
                transport_cc: config.transport_cc,
                ssrc,
                rtt: None,
            },
            ice,
            keys: None,
            inbound: None,
            extensions: ExtensionMap::new(&config.extensions),
            tracks: Vec::new(),
            streams: Vec::new(),
            recent: None,
            arrivals: Arrivals::new(),
            dtls: DtlsBudget::new(now.instant),
            reference: None,
            quality_told: now.instant,
        };
        let slot = self.sessions.insert(session).ok_or(Refusal::Full)?;
        if let Some(session) = self.sessions.get_mut(slot) {
            session.transport.slot = slot;
        }
        self.session_keys.insert(config.key.0, slot);
        for fragment in fragment.into_iter().flatten() {
            self.add_fragment(&fragment, slot);
        }
        self.counters.sessions += 1;
        self.queue.arm(slot, Timer::Report, now.instant + REPORT);
        Ok(slot)
    }

    /// The session with this local fragment.
    pub(super) fn owner_of(&self, fragment: &[u8]) -> Option<SessionSlot> {
        let hash = Self::fragment_hash(self.keyed, fragment);
        let slot = self.fragments.find(hash, |slot| {
            self.sessions
                .get(SessionSlot(slot))
                .and_then(|session| session.ice.as_ref())
                .is_some_and(|ice| ice.generation(fragment).is_some())
        })?;
        Some(SessionSlot(slot))
    }

    fn add_fragment(&mut self, fragment: &str, slot: SessionSlot) {
        let keyed = self.keyed;
        let sessions = &self.sessions;
        self.fragments.insert(
            Self::fragment_hash(keyed, fragment.as_bytes()),
            slot.0,
            // Half of the table stays empty: it never grows, and never asks.
            |slot| {
                sessions
                    .get(SessionSlot(slot))
                    .and_then(|session| session.ice.as_ref())
                    .and_then(|ice| ice.all().next())
                    .map_or(0, |c| Self::fragment_hash(keyed, c.ufrag().as_bytes()))
            },
        );
    }

    fn remove_fragment(&mut self, fragment: &str, slot: SessionSlot) {
        let hash = Self::fragment_hash(self.keyed, fragment.as_bytes());
        self.fragments.remove(hash, slot.0);
    }

    /// Takes keys in. False when there is no such session, or they are those
    /// it has.
    pub(crate) fn set_keys(
        &mut self,
        key: SessionKey,
        keys: &Keys,
    ) -> Result<SessionSlot, Refusal> {
        let slot = self.session(key).ok_or(Refusal::Unknown)?;
        self.set_keys_of(slot, keys);
        Ok(slot)
    }

    /// The same keys again change nothing: contexts that began anew would use
    /// a nonce twice.
    fn set_keys_of(&mut self, slot: SessionSlot, keys: &Keys) {
        let Some(session) = self.sessions.get_mut(slot) else {
            return;
        };
        if session.keys.as_ref() == Some(keys) {
            return;
        }
        let most = session.most_streams();
        session.inbound = Some(Inbound::with_streams(keys, most));
        session.transport.outbound = Some(Outbound::new(keys));
        session.keys = Some(keys.clone());
    }

    /// Removes a session, after its tracks.
    pub(crate) fn remove_session(&mut self, slot: SessionSlot) {
        let Some(session) = self.sessions.get_mut(slot) else {
            return;
        };
        let streams = core::mem::take(&mut session.streams);
        for stream in streams {
            self.unbind(stream);
        }
        let Some(session) = self.sessions.remove(slot) else {
            return;
        };
        self.recent = None;
        self.session_keys.remove(session.transport.key.0);
        self.counters.sessions -= 1;
        if let Some(ice) = &session.ice {
            for credentials in ice.all() {
                self.remove_fragment(credentials.ufrag(), slot);
            }
            let paths: Vec<Path> = ice.tuples.paths().collect();
            for path in paths {
                self.remove_path(&path, slot);
            }
        }
        if let Some(path) = session.transport.path {
            self.remove_path(&path, slot);
        }
    }

    /// Makes or changes a track. Returns its slot.
    pub(crate) fn set_track(
        &mut self,
        _now: Now,
        config: TrackConfig,
    ) -> Result<TrackSlot, Refusal> {
        let session = self.session(config.session).ok_or(Refusal::Unknown)?;
        let fits = (1..=MAX_ENCODINGS).contains(&config.encodings.len())
            && (1..=MAX_CODECS).contains(&config.codecs.len())
            && config.codecs.iter().all(|codec| codec.clock_rate > 0);
        if !fits {
            return Err(Refusal::Invalid);
        }
        let slot = match self.track_keys.get(config.key.0) {
            Some(slot) => {
                let track = self.tracks.get_mut(slot).ok_or(Refusal::Unknown)?;
                let same = track.session == session
                    && track.kind == config.kind
                    && track.encodings.len() == config.encodings.len();
                if !same {
                    return Err(Refusal::Invalid);
                }
                for (encoding, config) in track.encodings.iter_mut().zip(&config.encodings) {
                    encoding.rid = config.rid;
                }
                track.mid = config.mid;
                track.codecs = config.codecs;
                track.nack = config.nack;
                track.fir = config.fir;
                track.muted = config.muted;
                slot
            }
            None => {
                let missing = config.nack && config.kind == TrackKind::Video;
                let encodings = config.encodings.iter().map(|encoding| {
                    let mut made = Encoding {
                        rid: encoding.rid,
                        ..Encoding::default()
                    };
                    if missing {
                        made.inflow.missing = Missing::with_room();
                    }
                    made
                });
                let track = Track {
                    key: config.key,
                    session,
                    mid: config.mid,
                    kind: config.kind,
                    encodings: encodings.collect(),
                    codecs: config.codecs,
                    nack: config.nack,
                    fir: config.fir,
                    muted: config.muted,
                    level: crate::ingress::Level::default(),
                };
                let slot = self.tracks.insert(track).ok_or(Refusal::Full)?;
                self.track_keys.insert(config.key.0, slot);
                self.counters.tracks += 1;
                if let Some(session) = self.sessions.get_mut(session) {
                    session.tracks.push(slot);
                }
                slot
            }
        };
        for (at, encoding) in config.encodings.iter().enumerate() {
            let target = |repair| Target {
                track: slot,
                encoding: at as u8,
                repair,
            };
            if let Some(ssrc) = encoding.ssrc {
                self.bind(session, ssrc, target(false));
            }
            if let Some(ssrc) = encoding.rtx_ssrc {
                self.bind(session, ssrc, target(true));
            }
        }
        Ok(slot)
    }

    /// Removes a track and the streams that feed it.
    pub(crate) fn remove_track(&mut self, slot: TrackSlot) {
        self.runs.forget(slot);
        let Some(track) = self.tracks.get(slot) else {
            return;
        };
        let (owner, key) = (track.session, track.key);
        if let Some(session) = self.sessions.get_mut(owner) {
            session.tracks.retain(|of_session| *of_session != slot);
            let streams: Vec<_> = session
                .streams
                .iter()
                .copied()
                .filter(|stream| {
                    self.streams
                        .get(*stream)
                        .is_some_and(|stream| stream.track == slot)
                })
                .collect();
            for stream in streams {
                self.unbind(stream);
            }
        }
        self.tracks.remove(slot);
        self.track_keys.remove(key.0);
        self.counters.tracks -= 1;
    }
}
