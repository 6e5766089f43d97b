//! From what a control plane wants to what a forwarder is told; whatever
//! contradicts itself is refused here, with a sentence that says why.

use std::collections::HashSet;

use forebay_ipc::media::{
    self as wanted, MediaSession, MediaSubscription, MediaTrack, MediaTransport, SubscriptionMode,
};
use forebay_media::srtp::{Keys, Master, Profile};
use forebay_media::{
    Codec, EncodingConfig, Extensions, IceCredentials, Keyed, LayerCap, Mid, Mode, Path,
    PayloadMap, PublishedCodec, RelayedEncoding, Rid, SessionConfig, SessionKey, Ssrc,
    SubscriptionConfig, SubscriptionKey, TrackConfig, TrackKey, TrackKind, Transport,
};

type Described<T> = Result<T, String>;

/// The highest encoding or layer.
const HIGHEST_LAYER: u8 = 3;
/// Payload types of one track a forwarder looks at.
const MOST_CODECS: usize = 8;

/// The forwarder's key.
pub(super) fn session_key(key: wanted::SessionKey) -> SessionKey {
    SessionKey(key.0)
}

/// The forwarder's key.
pub(super) fn track_key(key: wanted::TrackKey) -> TrackKey {
    TrackKey(key.0)
}

/// The forwarder's key.
pub(super) fn subscription_key(key: wanted::SubscriptionKey) -> SubscriptionKey {
    SubscriptionKey(key.0)
}

/// A session. `path` finds our socket on the way to a link's other end.
pub(super) fn session(
    session: &MediaSession,
    path: impl FnOnce(core::net::SocketAddr) -> Option<Path>,
) -> Described<SessionConfig> {
    if session.cname.is_empty() {
        return Err("a session needs a cname".to_owned());
    }
    let transport = match &session.transport {
        MediaTransport::Ice {
            local_ufrag,
            local_password,
            remote_ufrag,
            remote_fingerprint: _,
        } => {
            let password = core::str::from_utf8(local_password.expose())
                .map_err(|_| "the ICE password is not text".to_owned())?;
            ice_text("local fragment", local_ufrag, 4)?;
            ice_text("password", password, 22)?;
            if let Some(remote) = remote_ufrag {
                ice_text("remote fragment", remote, 4)?;
            }
            Transport::Ice {
                local: IceCredentials {
                    ufrag: (**local_ufrag).into(),
                    password: password.into(),
                },
                remote_ufrag: remote_ufrag.as_ref().map(|ufrag| (**ufrag).into()),
            }
        }
        MediaTransport::Link {
            remote,
            local,
            remote_keys,
        } => {
            let usable = !remote.ip().is_unspecified() && !remote.ip().is_multicast();
            let path = Some(*remote)
                .filter(|remote| usable && remote.port() != 0)
                .and_then(path)
                .ok_or_else(|| format!("{remote} cannot be reached from a media address"))?;
            Transport::Keyed(Keyed {
                path,
                keys: Keys {
                    profile: Profile::AeadAes128Gcm,
                    local: master(local.expose())?,
                    remote: master(remote_keys.expose())?,
                },
            })
        }
    };
    Ok(SessionConfig {
        key: session_key(session.key),
        transport,
        extensions: extensions(&session.extensions)?,
        cname: (*session.cname).into(),
        transport_cc: session.transport_cc,
    })
}

/// RFC 8839 §5.4: letters, digits, plus and slash.
fn ice_text(what: &str, text: &str, shortest: usize) -> Described<()> {
    let fit = (shortest..=256).contains(&text.len())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'+' || byte == b'/');
    if fit {
        Ok(())
    } else {
        Err(format!(
            "the ICE {what} must have {shortest} to 256 letters, digits, + or /"
        ))
    }
}

/// AEAD_AES_128_GCM: 16 bytes of key, 12 of salt.
fn master(bytes: &[u8]) -> Described<Master> {
    if bytes.len() != 28 {
        return Err("a link's keys have 28 bytes: key 16, salt 12".to_owned());
    }
    let mut master = Master::default();
    master.key[..16].copy_from_slice(&bytes[..16]);
    master.salt[..12].copy_from_slice(&bytes[16..]);
    Ok(master)
}

fn extensions(given: &wanted::Extensions) -> Described<Extensions> {
    let mut seen = HashSet::new();
    let mut id = |id: u8| -> Described<Option<u8>> {
        match id {
            0 => Ok(None),
            // RFC 8285 §4.2 reserves it.
            15 => Err("header extension id 15 is reserved".to_owned()),
            id if !seen.insert(id) => Err(format!("header extension id {id} stands twice")),
            id => Ok(Some(id)),
        }
    };
    Ok(Extensions {
        mid: id(given.mid)?,
        rid: id(given.rid)?,
        repaired_rid: id(given.repaired_rid)?,
        audio_level: id(given.audio_level)?,
        abs_send_time: id(given.abs_send_time)?,
        transport_cc: id(given.transport_cc)?,
        video_orientation: id(given.video_orientation)?,
        dependency_descriptor: id(given.dependency_descriptor)?,
        playout_delay: id(given.playout_delay)?,
        abs_capture_time: id(given.abs_capture_time)?,
    })
}

/// A track.
pub(super) fn track(track: &MediaTrack) -> Described<TrackConfig> {
    let codecs: Vec<PublishedCodec> = track
        .codecs
        .iter()
        .map(|codec| PublishedCodec {
            payload_type: codec.payload_type,
            codec: match codec.codec {
                wanted::Codec::Opus => Codec::Opus,
                wanted::Codec::Vp8 => Codec::Vp8,
                wanted::Codec::Vp9 => Codec::Vp9,
                wanted::Codec::Av1 => Codec::Av1,
                wanted::Codec::H264 => Codec::H264,
                wanted::Codec::Other => Codec::Other,
            },
            clock_rate: codec.clock_rate,
            rtx: codec.rtx,
        })
        .collect();
    if !(1..=MOST_CODECS).contains(&codecs.len()) {
        return Err(format!("a track has 1 to {MOST_CODECS} codecs"));
    }
    if codecs.iter().any(|codec| codec.clock_rate == 0) {
        return Err("a codec's clock stands still".to_owned());
    }
    distinct_types(
        codecs
            .iter()
            .flat_map(|codec| [Some(codec.payload_type), codec.rtx]),
    )?;
    let mut encodings = Vec::with_capacity(track.encodings.len());
    let mut ssrcs = HashSet::new();
    let mut rids = HashSet::new();
    for encoding in track.encodings.iter() {
        let rid = encoding.rid.as_ref().map(|rid| short(rid, Rid::new, "rid"));
        let rid = rid.transpose()?;
        for ssrc in [encoding.ssrc, encoding.rtx_ssrc].into_iter().flatten() {
            if !ssrcs.insert(ssrc) {
                return Err(format!("SSRC {ssrc} stands twice"));
            }
        }
        if rid.is_some_and(|rid| !rids.insert(rid)) {
            return Err("a rid stands twice".to_owned());
        }
        encodings.push(EncodingConfig {
            rid,
            ssrc: encoding.ssrc.map(Ssrc),
            rtx_ssrc: encoding.rtx_ssrc.map(Ssrc),
        });
    }
    if encodings.is_empty() {
        return Err("a track has at least one encoding".to_owned());
    }
    Ok(TrackConfig {
        key: track_key(track.key),
        session: session_key(track.session),
        mid: short(&track.mid, Mid::new, "mid")?,
        kind: match track.kind {
            wanted::TrackKind::Audio => TrackKind::Audio,
            wanted::TrackKind::Video => TrackKind::Video,
        },
        codecs: codecs.into(),
        encodings: encodings.into(),
        nack: track.nack,
        fir: track.fir,
        muted: track.muted,
    })
}

/// A subscription to a track with this many encodings.
pub(super) fn subscription(
    subscription: &MediaSubscription,
    encodings: usize,
) -> Described<SubscriptionConfig> {
    let maps = &subscription.payload_types;
    distinct_types(maps.iter().map(|map| Some(map.from)))?;
    distinct_types(maps.iter().flat_map(|map| [Some(map.to), map.rtx]))?;
    if subscription.max_spatial > HIGHEST_LAYER || subscription.max_temporal > HIGHEST_LAYER {
        return Err(format!("layers are counted from 0 to {HIGHEST_LAYER}"));
    }
    let mode = match &subscription.mode {
        SubscriptionMode::Select { ssrc, rtx_ssrc } => {
            if *rtx_ssrc == Some(*ssrc) {
                return Err("media and retransmissions share an SSRC".to_owned());
            }
            Mode::Select {
                ssrc: Ssrc(*ssrc),
                rtx_ssrc: rtx_ssrc.map(Ssrc),
            }
        }
        SubscriptionMode::Relay(relayed) => {
            if relayed.len() != encodings {
                return Err(format!(
                    "the track has {encodings} encodings, {} are relayed",
                    relayed.len()
                ));
            }
            let mut seen = HashSet::new();
            if !relayed
                .iter()
                .flat_map(|encoding| [encoding.ssrc, encoding.rtx_ssrc])
                .all(|ssrc| seen.insert(ssrc))
            {
                return Err("an SSRC stands twice".to_owned());
            }
            let relayed = relayed.iter().map(|encoding| RelayedEncoding {
                ssrc: Ssrc(encoding.ssrc),
                rtx_ssrc: Ssrc(encoding.rtx_ssrc),
                wanted: encoding.wanted,
            });
            Mode::Relay(relayed.collect())
        }
    };
    Ok(SubscriptionConfig {
        key: subscription_key(subscription.key),
        track: track_key(subscription.track),
        session: session_key(subscription.session),
        mid: short(&subscription.mid, Mid::new, "mid")?,
        payload_types: maps
            .iter()
            .map(|map| PayloadMap {
                from: map.from,
                to: map.to,
                rtx: map.rtx,
            })
            .collect(),
        mode,
        cap: LayerCap {
            spatial: subscription.max_spatial,
            temporal: subscription.max_temporal,
        },
        paused: subscription.paused,
        priority: subscription.priority,
    })
}

fn short<T>(text: &str, new: impl Fn(&[u8]) -> Option<T>, what: &str) -> Described<T> {
    new(text.as_bytes()).ok_or_else(|| format!("a {what} has 1 to 16 bytes"))
}

/// Seven bits each (RFC 3550 §5.1), none of them twice.
fn distinct_types(types: impl Iterator<Item = Option<u8>>) -> Described<()> {
    let mut seen = HashSet::new();
    for payload_type in types.flatten() {
        if payload_type > 127 {
            return Err(format!("payload type {payload_type} exceeds 127"));
        }
        if !seen.insert(payload_type) {
            return Err(format!("payload type {payload_type} stands twice"));
        }
    }
    Ok(())
}
