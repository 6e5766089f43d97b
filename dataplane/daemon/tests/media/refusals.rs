//! What contradicts itself, names nothing or finds no room is refused, and
//! nothing changes.

use forebay_ipc::media::{MediaTransport, SessionKey, SubscriptionKey, SubscriptionMode, TrackKey};
use forebay_ipc::{Command, List, Outcome, Role, Text};

use crate::dataplane::Dataplane;
use crate::describe::{
    audio, link, select, session, set_session, set_subscription, set_track, subscription, video,
};

#[test]
fn what_makes_no_sense_is_refused() {
    let plane = Dataplane::start();
    let mut control = plane.link(Role::Controller, true);
    control.snapshot();
    let good = session(1, 0, [1; 32]);
    assert_eq!(control.command(set_session(&good)), Outcome::Done);
    let voice = audio(10, 1, 77);
    assert_eq!(control.command(set_track(&voice)), Outcome::Done);
    let heard = subscription(20, &voice, 1, select(5000));
    assert_eq!(control.command(set_subscription(&heard)), Outcome::Done);

    let mut short = good.clone();
    short.transport = MediaTransport::Ice {
        local_ufrag: Text::truncated("abc"),
        local_password: forebay_ipc::Sensitive::new(forebay_ipc::Bytes::default()),
        remote_ufrag: None,
        remote_fingerprint: None,
    };
    let mut twice = good.clone();
    twice.extensions.mid = 3;
    twice.extensions.rid = 3;
    let unspecified = link(5, 0, "0.0.0.0:7882".parse().expect("an address"), 1, 2);
    let mut kind = link(1, 0, plane.media_v4(1), 1, 2);
    kind.key = good.key;
    for wrong in [short, twice, unspecified, kind] {
        assert_eq!(
            control.command(set_session(&wrong)),
            Outcome::Invalid,
            "{wrong:?}"
        );
    }
    let elsewhere = session(6, 99, [1; 32]);
    assert_eq!(control.command(set_session(&elsewhere)), Outcome::NotFound);

    let mut nothing = voice.clone();
    nothing.encodings = List::default();
    let mut large = voice.clone();
    large.codecs = List::truncated(voice.codecs.iter().map(|codec| {
        let mut codec = *codec;
        codec.payload_type = 200;
        codec
    }));
    let mut nameless = voice.clone();
    nameless.mid = Text::default();
    for wrong in [nothing, large, nameless] {
        assert_eq!(
            control.command(set_track(&wrong)),
            Outcome::Invalid,
            "{wrong:?}"
        );
    }
    assert_eq!(
        control.command(set_track(&video(11, 99, 5))),
        Outcome::NotFound
    );

    let mut relayed = heard.clone();
    relayed.mode = SubscriptionMode::Relay(List::default());
    let mut high = heard.clone();
    high.max_spatial = 4;
    let mut other = heard.clone();
    other.session = SessionKey(99);
    for (wrong, outcome) in [
        (relayed, Outcome::Invalid),
        (high, Outcome::Invalid),
        (other, Outcome::Invalid),
        (
            subscription(21, &voice, 99, select(6000)),
            Outcome::NotFound,
        ),
        (
            subscription(21, &audio(99, 1, 5), 1, select(6000)),
            Outcome::NotFound,
        ),
    ] {
        assert_eq!(
            control.command(set_subscription(&wrong)),
            outcome,
            "{wrong:?}"
        );
    }
    for unknown in [
        Command::RemoveSession(SessionKey(99)),
        Command::RemoveTrack(TrackKey(99)),
        Command::RemoveSubscription(SubscriptionKey(99)),
    ] {
        assert_eq!(control.command(unknown), Outcome::NotFound);
    }

    let snapshot = plane.link(Role::Observer, true).snapshot();
    assert_eq!(snapshot.sessions.len(), 1);
    assert_eq!(snapshot.tracks.len(), 1);
    assert_eq!(snapshot.subscriptions, [heard]);
}

#[test]
fn a_full_worker_says_so() {
    let plane = Dataplane::start();
    let mut control = plane.link(Role::Controller, true);
    let room = control.snapshot().media[0].session_capacity;
    for key in 1..=u64::from(room) {
        let set = set_session(&session(key, 0, [1; 32]));
        assert_eq!(control.command(set), Outcome::Done);
    }
    let more = set_session(&session(1000, 0, [1; 32]));
    assert_eq!(control.command(more.clone()), Outcome::Busy);
    let remove = Command::RemoveSession(SessionKey(1));
    assert_eq!(control.command(remove), Outcome::Done);
    assert_eq!(control.command(more), Outcome::Done);
}
