//! The conversation with the data plane, message by message.

#![allow(clippy::unwrap_used, clippy::panic, reason = "test code")]

mod support;

use std::sync::Arc;

use forebay_controlplane::link::{Notice, Session, SessionError};
use forebay_controlplane::settings::Settings;
use forebay_ipc::{
    Ack, BootId, Command, FromDataplane, Generation, List, Outcome, PortRange, Rejected,
    RejectionReason, SnapshotBegin, SnapshotEnd, Text, ToDataplane, VERSION, Welcome,
};
use support::Place;

fn settings(place: &Place) -> Arc<Settings> {
    Arc::new(Settings::load(&place.path("controlplane.toml")).unwrap())
}

fn welcome(version: u16) -> FromDataplane {
    FromDataplane::Welcome(Welcome {
        version,
        software: Text::default(),
        boot: BootId([0; 16]),
        started_at: 0,
        realm: Text::new("example.org").unwrap(),
    })
}

fn begin(generation: Option<u64>) -> FromDataplane {
    FromDataplane::SnapshotBegin(SnapshotBegin {
        listeners: List::default(),
        relays: List::default(),
        relay_ports: PortRange { first: 1, last: 2 },
        credentials: generation.map(Generation),
        policy: None,
        drain: None,
        certificate: None,
    })
}

fn end() -> FromDataplane {
    FromDataplane::SnapshotEnd(SnapshotEnd { allocations: 0 })
}

fn ack(id: u32, outcome: Outcome) -> FromDataplane {
    FromDataplane::Ack(Ack {
        id,
        outcome,
        text: Text::default(),
    })
}

fn hear(session: &mut Session, message: FromDataplane) -> Result<Vec<Notice>, SessionError> {
    let mut notices = Vec::new();
    session.on_message(message, &mut |notice| notices.push(notice))?;
    Ok(notices)
}

fn live(place: &Place, generation: Option<u64>) -> Session {
    let mut session = Session::new(settings(place));
    for message in [welcome(VERSION), begin(generation), end()] {
        assert!(
            session.next_command().is_none(),
            "nothing is asked before the snapshot is complete"
        );
        hear(&mut session, message).unwrap();
    }
    session
}

fn next(session: &mut Session) -> (u32, Option<u64>) {
    match session.next_command().expect("a command") {
        ToDataplane::Command {
            id,
            command: Command::SetCredentials(set),
        } => (id, Some(set.generation.0)),
        ToDataplane::Command { id, .. } => (id, None),
        other => panic!("neither hello nor list of sessions: {other:?}"),
    }
}

#[test]
fn both_pieces_are_pushed_above_what_is_in_force() {
    let place = Place::new();
    let mut session = live(&place, Some(9));
    assert_eq!(next(&mut session), (1, Some(10)));
    assert_eq!(next(&mut session), (2, None));
    assert!(session.next_command().is_none());
    assert!(!session.view().credentials.settled);
    assert!(
        hear(&mut session, ack(1, Outcome::Done))
            .unwrap()
            .is_empty()
    );
    assert_eq!(
        hear(&mut session, ack(2, Outcome::Done)).unwrap(),
        [Notice::Reconciled]
    );
    let view = session.view();
    assert_eq!(view.credentials.applied, Some(Generation(10)));
    assert!(view.problems(Some("example.org")).is_empty());
    assert_eq!(view.problems(Some("example.com")).len(), 1);
}

#[test]
fn a_change_during_a_command_is_sent_after_it() {
    let place = Place::new();
    let mut session = live(&place, None);
    assert_eq!(next(&mut session), (1, Some(1)));
    assert_eq!(next(&mut session), (2, None));
    place.private("turn.secret", "changed");
    session.want(settings(&place));
    assert!(session.next_command().is_none(), "one at a time");
    hear(&mut session, ack(1, Outcome::Done)).unwrap();
    assert_eq!(next(&mut session), (3, Some(2)));
    hear(&mut session, ack(2, Outcome::Done)).unwrap();
    hear(&mut session, ack(3, Outcome::Done)).unwrap();
    assert_eq!(next(&mut session), (4, None));
    assert_eq!(
        hear(&mut session, ack(4, Outcome::Done)).unwrap(),
        [Notice::Reconciled]
    );
    session.want(settings(&place));
    assert!(
        session.next_command().is_none(),
        "the same again is nothing new"
    );
}

#[test]
fn busy_waits_for_the_timer_and_a_refusal_for_a_change() {
    let place = Place::new();
    let mut session = live(&place, None);
    next(&mut session);
    next(&mut session);
    hear(&mut session, ack(1, Outcome::Busy)).unwrap();
    let notices = hear(&mut session, ack(2, Outcome::Invalid)).unwrap();
    assert!(matches!(&notices[..], [Notice::Refused(why)] if why.contains("peer policy")));
    assert!(session.next_command().is_none());
    session.retry();
    assert_eq!(next(&mut session), (3, Some(2)));
    hear(&mut session, ack(3, Outcome::Done)).unwrap();
    session.retry();
    assert!(
        session.next_command().is_none(),
        "what was refused is not repeated"
    );
    assert!(session.view().problems(None)[0].contains("refused peer policy"));
    place.configure("[peers]\nlowest_port = 5\n");
    session.want(settings(&place));
    assert!(session.next_command().is_some());
}

#[test]
fn what_breaks_the_rules_ends_the_conversation() {
    let place = Place::new();
    let fresh = || Session::new(settings(&place));
    let rejected = |version| {
        FromDataplane::Rejected(Rejected {
            reason: RejectionReason::ControllerPresent,
            text: Text::new("taken").unwrap(),
            version,
        })
    };
    assert_eq!(
        hear(&mut fresh(), rejected(VERSION)),
        Err(SessionError::Rejected("taken".to_owned()))
    );
    assert_eq!(
        hear(&mut fresh(), rejected(VERSION + 1)),
        Err(SessionError::Version(VERSION + 1))
    );
    assert_eq!(
        hear(&mut fresh(), welcome(VERSION + 1)),
        Err(SessionError::Version(VERSION + 1))
    );
    let out_of_order = |session: &mut Session, message| {
        assert!(matches!(
            hear(session, message),
            Err(SessionError::OutOfOrder(_))
        ));
    };
    out_of_order(&mut fresh(), begin(None));
    out_of_order(&mut fresh(), end());
    let mut greeted = fresh();
    hear(&mut greeted, welcome(VERSION)).unwrap();
    out_of_order(&mut greeted, FromDataplane::Deleted(List::default()));
    out_of_order(&mut greeted, welcome(VERSION));
    let mut session = live(&place, None);
    out_of_order(&mut session, begin(None));
    out_of_order(&mut session, ack(77, Outcome::Done));
    next(&mut session);
    assert_eq!(
        hear(&mut session, ack(1, Outcome::Stale)),
        Err(SessionError::Overtaken)
    );
}
