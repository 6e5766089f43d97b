//! After any sequence of wishes, answers, refusals, endings and lost
//! connections, the data plane has what is wanted.

use std::collections::VecDeque;

use forebay_controlplane::link::reconcile::{IN_FLIGHT, Reconciler, Token};
use forebay_ipc::media::{
    Extensions, Fingerprint, MediaSession, MediaSubscription, MediaTrack, MediaTransport,
    SessionKey, SubscriptionKey, SubscriptionMode, TrackKey, TrackKind,
};
use forebay_ipc::{Bytes, Command, List, Outcome, Sensitive, Text};
use proptest::prelude::*;

use crate::hall::Plane;

fn session(key: u64, version: u8) -> MediaSession {
    MediaSession {
        key: SessionKey(key),
        worker: 0,
        transport: MediaTransport::Ice {
            local_ufrag: Text::new("abcd").unwrap(),
            local_password: Sensitive::new(Bytes::new(vec![version; 24]).unwrap()),
            remote_ufrag: None,
            remote_fingerprint: Some(Fingerprint([version; 32])),
        },
        extensions: Extensions::default(),
        cname: Text::new("c").unwrap(),
        transport_cc: true,
        note: Bytes::default(),
    }
}

fn track(key: u64, session: u64, muted: bool) -> MediaTrack {
    MediaTrack {
        key: TrackKey(key),
        session: SessionKey(session),
        mid: Text::new("0").unwrap(),
        kind: TrackKind::Audio,
        codecs: List::default(),
        encodings: List::default(),
        nack: false,
        fir: false,
        muted,
        note: Bytes::default(),
    }
}

fn subscription(key: u64, track: u64, session: u64, priority: u8) -> MediaSubscription {
    MediaSubscription {
        key: SubscriptionKey(key),
        track: TrackKey(track),
        session: SessionKey(session),
        mid: Text::new("0").unwrap(),
        payload_types: List::default(),
        mode: SubscriptionMode::Select {
            ssrc: 1,
            rtx_ssrc: None,
        },
        max_spatial: 3,
        max_temporal: 3,
        paused: false,
        priority,
    }
}

#[derive(Debug, Clone)]
enum Step {
    Session(u64, u8),
    Track(u64, u64, bool),
    Subscription(u64, u64, u64, u8),
    DropSession(u64),
    DropTrack(u64),
    DropSubscription(u64),
    Send,
    Carry(bool),
    Lose(bool),
    End(u64),
    Retry,
}

fn step() -> impl Strategy<Value = Step> {
    let key = 0..6u64;
    prop_oneof![
        3 => (key.clone(), any::<u8>()).prop_map(|(k, v)| Step::Session(k, v)),
        3 => (key.clone(), key.clone(), any::<bool>()).prop_map(|(k, s, m)| Step::Track(k, s, m)),
        4 => (key.clone(), key.clone(), key.clone(), any::<u8>())
            .prop_map(|(k, t, s, p)| Step::Subscription(k, t, s, p)),
        1 => key.clone().prop_map(Step::DropSession),
        1 => key.clone().prop_map(Step::DropTrack),
        1 => key.clone().prop_map(Step::DropSubscription),
        8 => Just(Step::Send),
        8 => prop::bool::weighted(0.15).prop_map(Step::Carry),
        1 => any::<bool>().prop_map(Step::Lose),
        1 => key.prop_map(Step::End),
        1 => Just(Step::Retry),
    ]
}

/// The wishes of a well-behaved owner: nothing depends on what it does not
/// want.
struct Owner {
    wishes: Reconciler,
    plane: Plane,
    way: VecDeque<(Token, Command)>,
}

impl Owner {
    fn take(&mut self, step: Step) {
        let wishes = &mut self.wishes;
        match step {
            Step::Session(k, v) => wishes.want_session(session(k, v)),
            Step::Track(k, s, m) => {
                // A track stays with its session.
                let held = wishes.desired().tracks.get(&TrackKey(k)).map(|t| t.session);
                if wishes.desired().sessions.contains_key(&SessionKey(s))
                    && held.is_none_or(|held| held == SessionKey(s))
                {
                    wishes.want_track(track(k, s, m));
                }
            }
            Step::Subscription(k, t, s, p) => {
                let held = wishes.desired().subscriptions.get(&SubscriptionKey(k));
                let same =
                    held.is_none_or(|h| h.track == TrackKey(t) && h.session == SessionKey(s));
                if wishes.desired().sessions.contains_key(&SessionKey(s))
                    && wishes.desired().tracks.contains_key(&TrackKey(t))
                    && same
                {
                    wishes.want_subscription(subscription(k, t, s, p));
                }
            }
            Step::DropSession(k) => wishes.drop_session(SessionKey(k)),
            Step::DropTrack(k) => wishes.drop_track(TrackKey(k)),
            Step::DropSubscription(k) => wishes.drop_subscription(SubscriptionKey(k)),
            Step::Send => self.way.extend(wishes.next_command()),
            Step::Carry(busy) => {
                if let Some((token, command)) = self.way.pop_front() {
                    let outcome = if busy {
                        Outcome::Busy
                    } else {
                        self.plane.apply(&command)
                    };
                    wishes.on_ack(token, outcome);
                }
            }
            Step::Lose(carried) => {
                // What was on its way got there or did not; nobody knows.
                for (_, command) in self.way.drain(..) {
                    if carried {
                        self.plane.apply(&command);
                    }
                }
                wishes.disconnected();
                for ended in wishes.connected(self.plane.media.clone()) {
                    wishes.drop_session(ended);
                }
            }
            Step::End(k) => {
                if self.plane.media.sessions.contains_key(&SessionKey(k)) {
                    // The news of it overtakes no answer.
                    while let Some((token, command)) = self.way.pop_front() {
                        let outcome = self.plane.apply(&command);
                        wishes.on_ack(token, outcome);
                    }
                    self.plane.remove(SessionKey(k));
                    wishes.on_ended(SessionKey(k));
                    wishes.drop_session(SessionKey(k));
                }
            }
            Step::Retry => wishes.retry(),
        }
    }

    fn finish(&mut self) {
        for _ in 0..1_000 {
            self.wishes.retry();
            while let Some(asked) = self.wishes.next_command() {
                self.way.push_back(asked);
            }
            let Some((token, command)) = self.way.pop_front() else {
                break;
            };
            let outcome = self.plane.apply(&command);
            self.wishes.on_ack(token, outcome);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn both_agree_in_the_end(steps in prop::collection::vec(step(), 0..250)) {
        let mut owner = Owner { wishes: Reconciler::default(), plane: Plane::default(), way: VecDeque::new() };
        prop_assert!(owner.wishes.connected(Default::default()).is_empty());
        for step in steps {
            owner.take(step);
        }
        owner.finish();
        prop_assert_eq!(owner.wishes.desired(), &owner.plane.media);
        prop_assert_eq!(owner.wishes.known(), &owner.plane.media);
        prop_assert!(owner.wishes.settled());
        prop_assert!(owner.wishes.next_command().is_none());
    }
}

#[test]
fn parents_are_made_first_and_go_last_and_little_is_under_way() {
    let mut wishes = Reconciler::default();
    wishes.connected(Default::default());
    for key in 0..1_000 {
        wishes.want_session(session(key, 0));
        wishes.want_track(track(key, key, false));
    }
    let mut under_way: Vec<_> = std::iter::from_fn(|| wishes.next_command()).collect();
    assert_eq!(under_way.len(), IN_FLIGHT);
    assert!(
        under_way
            .iter()
            .all(|(_, command)| matches!(command, Command::SetSession(_)))
    );
    let (first, _) = under_way.remove(0);
    wishes.on_ack(first, Outcome::Done);
    assert!(wishes.next_command().is_some());
    assert!(wishes.next_command().is_none());
}

#[test]
fn what_is_refused_is_not_asked_again_until_it_changes() {
    let mut wishes = Reconciler::default();
    wishes.connected(Default::default());
    wishes.want_session(session(1, 0));
    let (token, _) = wishes.next_command().unwrap();
    wishes.on_ack(token, Outcome::Invalid);
    wishes.retry();
    assert!(wishes.next_command().is_none());
    assert!(!wishes.settled());
    wishes.want_session(session(1, 1));
    assert!(wishes.next_command().is_some());
}

#[test]
fn a_session_that_vanished_between_two_connections_is_named() {
    let mut owner = Owner {
        wishes: Reconciler::default(),
        plane: Plane::default(),
        way: VecDeque::new(),
    };
    owner.wishes.connected(Default::default());
    owner.wishes.want_session(session(1, 0));
    owner.wishes.want_session(session(2, 0));
    owner.finish();
    owner.wishes.want_session(session(3, 0));
    assert!(
        owner.wishes.next_command().is_some(),
        "lost with the connection"
    );
    owner.wishes.disconnected();
    owner.plane.remove(SessionKey(1));
    let ended = owner.wishes.connected(owner.plane.media.clone());
    assert_eq!(ended, [SessionKey(1)], "the third was never there");
}
