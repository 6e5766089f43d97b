//! Links between workers: a room that outgrows its worker's share continues
//! on another, and each track goes there once, whoever wants it there.
//!
//! A pair of workers has one link for all rooms: a session on either with the
//! other's address and keys of its own. A relayed track is a subscription on
//! the worker it comes to and a track of its own on the far one.

use std::collections::{BTreeMap, HashMap};

use forebay_ipc::media::{
    Encoding, Extensions, MediaSecret, MediaSession, MediaSubscription, MediaTrack, MediaTransport,
    PayloadMap, RelayedEncoding, SessionKey, SubscriptionKey, SubscriptionMode, TrackKey,
};
use forebay_ipc::{Bytes, List, Sensitive, Text};
use serde::{Deserialize, Serialize};

use super::{Context, Failure};
use crate::link::reconcile::Media;
use crate::rooms::ids::{random, random_ssrc};
use crate::rooms::note::{self, LinkNote, SessionNote};

/// Ids of header extensions on links, which we negotiate with ourselves.
const EXTENSIONS: Extensions = Extensions {
    mid: 0,
    rid: 0,
    repaired_rid: 0,
    audio_level: 1,
    abs_send_time: 0,
    transport_cc: 2,
    video_orientation: 3,
    dependency_descriptor: 4,
    playout_delay: 5,
    abs_capture_time: 6,
};
/// The relay serves everybody on the far worker.
const PRIORITY: u8 = 255;

/// Two workers, the lower first.
type Pair = (u16, u16);

/// A relayed track.
#[derive(Debug, Clone, Copy)]
struct Relayed {
    /// On the far worker.
    track: TrackKey,
    /// Towards it.
    subscription: SubscriptionKey,
}

/// The sessions of a link, on the lower worker and on the higher.
#[derive(Debug, Clone, Copy)]
struct Ends {
    low: SessionKey,
    high: SessionKey,
}

/// Kept with a relayed track on the far worker.
#[derive(Debug, Serialize, Deserialize)]
struct RelayNote {
    /// The track it comes from.
    o: u64,
    /// The subscription that brings it.
    s: u64,
}

/// All links.
#[derive(Debug, Default)]
pub(super) struct Links {
    ends: BTreeMap<Pair, Ends>,
    /// By the track and the worker it is relayed to.
    relayed: HashMap<(TrackKey, u16), Relayed>,
    next_mid: u64,
}

const fn pair(one: u16, other: u16) -> Pair {
    if one < other {
        (one, other)
    } else {
        (other, one)
    }
}

fn secret() -> Result<[u8; 28], Failure> {
    let mut bytes = [0; 28];
    getrandom::fill(&mut bytes)?;
    Ok(bytes)
}

fn sensitive(bytes: [u8; 28]) -> MediaSecret {
    Sensitive::new(Bytes::new(bytes).unwrap_or_default())
}

impl Context {
    /// The track's key on a worker: its own, or that of its copy there, which
    /// is made when there is none.
    pub(super) fn track_on(&mut self, key: TrackKey, worker: u16) -> Result<TrackKey, Failure> {
        let lost = || Failure::not_found("track");
        let track = self.media.desired().tracks.get(&key).ok_or_else(lost)?;
        let session = self.media.desired().sessions.get(&track.session);
        let home = session.ok_or_else(lost)?.worker;
        if home == worker {
            return Ok(key);
        }
        if let Some(relayed) = self.links.relayed.get(&(key, worker)) {
            return Ok(relayed.track);
        }
        let track = track.clone();
        let ends = self.link(home, worker)?;
        let (near, far) = if home < worker {
            (ends.low, ends.high)
        } else {
            (ends.high, ends.low)
        };
        let relayed = Relayed {
            track: TrackKey(random()?),
            subscription: SubscriptionKey(random()?),
        };
        let mut encodings = Vec::new();
        for _ in track.encodings.iter() {
            encodings.push(RelayedEncoding {
                ssrc: random_ssrc()?,
                rtx_ssrc: random_ssrc()?,
                wanted: true,
            });
        }
        self.links.next_mid += 1;
        let mid: Text<{ forebay_ipc::limits::MID }> =
            Text::truncated(&format!("{:x}", self.links.next_mid));
        self.media.want_subscription(MediaSubscription {
            key: relayed.subscription,
            track: key,
            session: near,
            mid: mid.clone(),
            payload_types: List::truncated(track.codecs.iter().map(|codec| PayloadMap {
                from: codec.payload_type,
                to: codec.payload_type,
                rtx: codec.rtx,
            })),
            mode: SubscriptionMode::Relay(List::truncated(encodings.clone())),
            max_spatial: 3,
            max_temporal: 3,
            paused: false,
            priority: PRIORITY,
        });
        self.media.want_track(MediaTrack {
            key: relayed.track,
            session: far,
            mid,
            encodings: List::truncated(encodings.iter().map(|encoding| Encoding {
                rid: None,
                ssrc: Some(encoding.ssrc),
                rtx_ssrc: Some(encoding.rtx_ssrc),
            })),
            nack: true,
            fir: false,
            muted: false,
            note: note::write(&RelayNote {
                o: key.0,
                s: relayed.subscription.0,
            })
            .unwrap_or_default(),
            ..track
        });
        self.links.relayed.insert((key, worker), relayed);
        Ok(relayed.track)
    }

    /// The link between two workers, made when there is none.
    fn link(&mut self, one: u16, other: u16) -> Result<Ends, Failure> {
        let (low, high) = pair(one, other);
        if let Some(ends) = self.links.ends.get(&(low, high)) {
            return Ok(*ends);
        }
        let address = |worker: u16| {
            let worker = self.node.workers.iter().find(|w| w.worker == worker);
            worker
                .and_then(|w| w.addresses.first().copied())
                .ok_or_else(|| Failure::not_found("worker"))
        };
        let (at_low, at_high) = (address(low)?, address(high)?);
        let (of_low, of_high) = (secret()?, secret()?);
        let ends = Ends {
            low: SessionKey(random()?),
            high: SessionKey(random()?),
        };
        let session = |key, worker, other, remote, local, theirs| MediaSession {
            key,
            worker,
            transport: MediaTransport::Link {
                remote,
                local: sensitive(local),
                remote_keys: sensitive(theirs),
            },
            extensions: EXTENSIONS,
            cname: Text::truncated("forebay-link"),
            transport_cc: true,
            note: note::write(&SessionNote::Link(LinkNote { other })).unwrap_or_default(),
        };
        self.media
            .want_session(session(ends.low, low, high, at_high, of_low, of_high));
        self.media
            .want_session(session(ends.high, high, low, at_low, of_high, of_low));
        self.links.ends.insert((low, high), ends);
        tracing::info!(low, high, "two workers are linked");
        Ok(ends)
    }

    /// A track is over: so are its copies.
    pub(super) fn drop_track(&mut self, key: TrackKey) {
        let copies: Vec<_> = self
            .links
            .relayed
            .iter()
            .filter(|((origin, _), _)| *origin == key)
            .map(|(at, relayed)| (*at, *relayed))
            .collect();
        for (at, relayed) in copies {
            self.unrelay(at, relayed);
        }
        self.owners.tracks.remove(&key);
        self.media.drop_track(key);
    }

    fn unrelay(&mut self, at: (TrackKey, u16), relayed: Relayed) {
        self.links.relayed.remove(&at);
        self.media.drop_track(relayed.track);
        self.media.drop_subscription(relayed.subscription);
    }

    /// Relays what somebody needs and nothing else: encodings up to the best
    /// one wanted on the far worker, and no track that nobody has there.
    pub(super) fn tidy_links(&mut self) {
        if self.links.relayed.is_empty() {
            return;
        }
        // Per copy: whether anybody has it, and the best that is wanted.
        let mut needs: HashMap<TrackKey, Option<u8>> = HashMap::new();
        for subscription in self.media.desired().subscriptions.values() {
            let best = (!subscription.paused).then_some(subscription.max_spatial);
            let need = needs.entry(subscription.track).or_default();
            *need = (*need).max(best);
        }
        let relayed: Vec<_> = self.links.relayed.iter().map(|(a, r)| (*a, *r)).collect();
        for (at, relayed) in relayed {
            let Some(need) = needs.get(&relayed.track) else {
                self.unrelay(at, relayed);
                continue;
            };
            let Some(current) = self
                .media
                .desired()
                .subscriptions
                .get(&relayed.subscription)
            else {
                continue;
            };
            let SubscriptionMode::Relay(encodings) = &current.mode else {
                continue;
            };
            let wanted = encodings.iter().zip(0u8..).map(|(encoding, index)| {
                let wanted = need.is_some_and(|best| index <= best);
                RelayedEncoding {
                    wanted,
                    ..*encoding
                }
            });
            let mut changed = current.clone();
            changed.mode = SubscriptionMode::Relay(List::truncated(wanted));
            // A codec with layers in one encoding is cut on the way already.
            changed.max_spatial = match encodings.len() {
                1 => need.unwrap_or(0),
                _ => 3,
            };
            changed.paused = need.is_none();
            self.media.want_subscription(changed);
        }
    }

    /// Whether a session is an end of a link.
    pub(super) fn is_link(&self, key: SessionKey) -> bool {
        let mut ends = self.links.ends.values();
        ends.any(|ends| ends.low == key || ends.high == key)
    }

    /// A link is gone, with everything that went over it.
    pub(super) fn lose_link(&mut self, key: SessionKey) {
        let Some((at, ends)) = self
            .links
            .ends
            .iter()
            .find(|(_, ends)| ends.low == key || ends.high == key)
            .map(|(at, ends)| (*at, *ends))
        else {
            return;
        };
        self.links.ends.remove(&at);
        self.media.drop_session(ends.low);
        self.media.drop_session(ends.high);
        let desired = self.media.desired();
        self.links
            .relayed
            .retain(|_, relayed| desired.tracks.contains_key(&relayed.track));
    }

    /// Knows links again, and what is relayed over them.
    pub(super) fn adopt_links(&mut self, media: &Media) {
        let mut by_pair: BTreeMap<Pair, Vec<(u16, SessionKey)>> = BTreeMap::new();
        for session in media.sessions.values() {
            if let Some(SessionNote::Link(link)) = note::read(&session.note) {
                by_pair
                    .entry(pair(session.worker, link.other))
                    .or_default()
                    .push((session.worker, session.key));
            }
        }
        for (at, mut ends) in by_pair {
            ends.sort_unstable();
            if let [(low, first), (high, second)] = ends[..]
                && low != high
            {
                let ends = Ends {
                    low: first,
                    high: second,
                };
                self.links.ends.insert(at, ends);
            }
        }
        for track in media.tracks.values() {
            if !self.is_link(track.session) {
                continue;
            }
            let worker = media.sessions.get(&track.session).map(|s| s.worker);
            let (Some(worker), Some(note)) = (worker, note::read::<RelayNote>(&track.note)) else {
                continue;
            };
            let relayed = Relayed {
                track: track.key,
                subscription: SubscriptionKey(note.s),
            };
            let origin = TrackKey(note.o);
            if media.subscriptions.contains_key(&relayed.subscription)
                && self.owners.tracks.contains_key(&origin)
            {
                self.links.relayed.insert((origin, worker), relayed);
                let mid = u64::from_str_radix(&track.mid, 16).unwrap_or(0);
                self.links.next_mid = self.links.next_mid.max(mid);
            }
        }
    }

    /// Whether a track or a subscription belongs to a link we know.
    pub(super) fn is_relayed(&self, key: TrackKey) -> bool {
        self.links.relayed.values().any(|r| r.track == key)
    }

    /// Whether a subscription brings a copy we know.
    pub(super) fn is_relaying(&self, key: SubscriptionKey) -> bool {
        self.links.relayed.values().any(|r| r.subscription == key)
    }

    /// The track a copy comes from.
    pub(super) fn origin(&self, key: TrackKey) -> TrackKey {
        let mut relayed = self.links.relayed.iter();
        relayed
            .find(|(_, r)| r.track == key)
            .map_or(key, |((origin, _), _)| *origin)
    }
}
