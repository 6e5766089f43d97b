//! What workers and handshakes tell, as a control plane hears it.

use core::time::Duration;

use forebay_ipc::media::{
    FlowQuality, MediaEvent, SessionEnd, SessionKey, SubscriptionKey, TrackKey,
};
use forebay_media::srtp::Profile;
use forebay_media::{Event, Loss, Report};

/// A worker's event.
pub(super) fn event(event: &Event) -> MediaEvent {
    match *event {
        Event::Connected { session, path } => MediaEvent::Connected {
            session: SessionKey(session.0),
            remote: path.remote,
        },
        Event::Disconnected { session } => MediaEvent::Disconnected {
            session: SessionKey(session.0),
        },
        Event::Ended { session, why } => MediaEvent::Ended {
            session: SessionKey(session.0),
            why: match why {
                Loss::Consent => SessionEnd::Consent,
                Loss::NeverConnected => SessionEnd::NeverConnected,
            },
        },
        Event::Encoding {
            track,
            encoding,
            active,
        } => MediaEvent::Encoding {
            track: TrackKey(track.0),
            encoding,
            active,
        },
        Event::Layer {
            subscription,
            layer,
        } => MediaEvent::Layer {
            subscription: SubscriptionKey(subscription.0),
            spatial: layer.map(|(spatial, _)| spatial),
            temporal: layer.map_or(0, |(_, temporal)| temporal),
        },
        Event::Bandwidth {
            session,
            bits_per_second,
        } => MediaEvent::Bandwidth {
            session: SessionKey(session.0),
            bits_per_second,
        },
        Event::AudioLevel {
            track,
            level,
            voice,
        } => MediaEvent::AudioLevel {
            track: TrackKey(track.0),
            level,
            voice,
        },
    }
}

/// A worker's line of quality.
pub(super) fn quality(report: &Report) -> MediaEvent {
    match *report {
        Report::Session {
            session,
            rtt,
            estimate,
        } => MediaEvent::SessionQuality {
            session: SessionKey(session.0),
            rtt_us: rtt.map(micros),
            estimate,
        },
        Report::Track { track, receive } => MediaEvent::TrackQuality {
            track: TrackKey(track.0),
            flow: FlowQuality {
                packets: receive.packets,
                bytes: receive.bytes,
                lost: receive.lost,
                jitter_us: micros(receive.jitter),
            },
        },
        Report::Subscription { subscription, send } => MediaEvent::SubscriptionQuality {
            subscription: SubscriptionKey(subscription.0),
            flow: FlowQuality {
                packets: send.packets,
                bytes: send.bytes,
                lost: send.lost,
                jitter_us: micros(send.jitter),
            },
        },
    }
}

/// A profile's number in the registry of RFC 5764 §4.1.2 and RFC 7714 §14.2.
pub(super) const fn profile(profile: Profile) -> u16 {
    match profile {
        Profile::AesCm128HmacSha1_80 => 1,
        Profile::AeadAes128Gcm => 7,
        Profile::AeadAes256Gcm => 8,
    }
}

fn micros(time: Duration) -> u32 {
    u32::try_from(time.as_micros()).unwrap_or(u32::MAX)
}
