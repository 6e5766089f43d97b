//! The real data plane, commanded over its socket as the control plane would.

mod dataplane;

use dataplane::{Dataplane, Link, credentials, policy};
use forebay_ipc::{Command, FromDataplane, Outcome, RejectionReason, Role};
use nix::sys::signal::Signal;

#[test]
fn nobody_is_served_until_a_controller_says_whom() {
    let plane = Dataplane::start();
    assert!(plane.http("/readyz").starts_with("HTTP/1.1 503"));
    assert!(!plane.allocates("north"));

    let mut controller = plane.link(Role::Controller, true);
    let snapshot = controller.snapshot();
    assert_eq!(
        (snapshot.begin.credentials, snapshot.begin.policy),
        (None, None)
    );
    assert_eq!(snapshot.begin.listeners[0].address.port(), plane.port);
    assert!(!snapshot.workers.is_empty() && snapshot.allocations.is_empty());

    assert_eq!(
        controller.command(credentials(1, &[("a", "north")])),
        Outcome::Done
    );
    assert_eq!(
        controller.command(policy(1, &["127.0.0.0/8"])),
        Outcome::Done
    );
    assert!(plane.http("/readyz").starts_with("HTTP/1.1 200"));
    assert!(plane.allocates("north"));
    let FromDataplane::Allocations(page) =
        controller.wait_for(|message| matches!(message, FromDataplane::Allocations(_)))
    else {
        panic!("waited for it");
    };
    assert!(page[0].username.ends_with(":bob"), "{page:?}");
}

#[test]
fn secrets_rotate_and_old_generations_are_stale() {
    let plane = Dataplane::start();
    let mut controller = plane.link(Role::Controller, false);
    controller.snapshot();
    assert_eq!(
        controller.command(policy(1, &["127.0.0.0/8"])),
        Outcome::Done
    );
    assert_eq!(
        controller.command(credentials(1, &[("a", "north")])),
        Outcome::Done
    );
    assert_eq!(
        controller.command(credentials(2, &[("a", "north"), ("b", "south")])),
        Outcome::Done
    );
    assert!(plane.allocates("north") && plane.allocates("south"));
    assert_eq!(
        controller.command(credentials(3, &[("b", "south")])),
        Outcome::Done
    );
    assert!(!plane.allocates("north") && plane.allocates("south"));
    assert_eq!(
        controller.command(credentials(2, &[("a", "north")])),
        Outcome::Stale
    );
    assert_eq!(
        controller.command(credentials(4, &[("a", "x"), ("a", "y")])),
        Outcome::Invalid
    );
    assert!(!plane.allocates("north"));
}

#[test]
fn everything_stays_in_force_without_the_controller() {
    let plane = Dataplane::start();
    let mut controller = plane.link(Role::Controller, false);
    controller.snapshot();
    controller.command(policy(7, &["127.0.0.0/8"]));
    controller.command(credentials(7, &[("a", "north")]));
    assert!(plane.allocates("north"));
    drop(controller);
    assert!(plane.allocates("north"));

    let mut successor = plane.link(Role::Controller, true);
    let snapshot = successor.snapshot();
    assert_eq!(
        snapshot.begin.credentials.map(|generation| generation.0),
        Some(7)
    );
    assert_eq!(
        snapshot.begin.policy.map(|generation| generation.0),
        Some(7)
    );
    // The client makes more than one each time.
    assert!(snapshot.allocations.len() >= 2);

    let id = snapshot.allocations[0].id;
    assert_eq!(
        successor.command(Command::DeleteAllocation(id)),
        Outcome::Done
    );
    let FromDataplane::Deleted(page) =
        successor.wait_for(|message| matches!(message, FromDataplane::Deleted(_)))
    else {
        panic!("waited for it");
    };
    assert_eq!(page[0].id, id);
    assert_eq!(
        successor.command(Command::DeleteAllocation(id)),
        Outcome::NotFound
    );
}

#[test]
fn one_controller_and_observers_who_only_read() {
    let plane = Dataplane::start();
    let mut controller = plane.link(Role::Controller, false);
    controller.snapshot();
    let rejected = plane.link(Role::Controller, false).rejection();
    assert_eq!(rejected.reason, RejectionReason::ControllerPresent);

    let mut observer = plane.link(Role::Observer, true);
    observer.snapshot();
    assert_eq!(
        observer.command(credentials(1, &[("a", "north")])),
        Outcome::Forbidden
    );
    assert!(!plane.allocates("north"));
    for _ in 0..2 {
        observer.wait_for(|message| matches!(message, FromDataplane::Stats(_)));
    }
    // The place is free again once the first has gone.
    drop(controller);
    let mut successor = loop {
        let mut link = plane.link(Role::Controller, false);
        if link.is_welcome() {
            break link;
        }
    };
    assert_eq!(successor.command(policy(1, &[])), Outcome::Done);
}

#[test]
fn connections_that_break_the_rules_are_ended() {
    let plane = Dataplane::start();
    let mut old = Link::silent(&plane);
    old.hello(Role::Observer, false, 999);
    assert_eq!(old.rejection().reason, RejectionReason::Version);

    let mut eager = Link::silent(&plane);
    eager.send_command(1, policy(1, &[]));
    assert!(eager.is_closed());

    let mut twice = plane.link(Role::Observer, false);
    twice.snapshot();
    twice.hello(Role::Observer, false, forebay_ipc::VERSION);
    assert!(twice.is_closed());
    // It goes on for everyone else.
    plane.link(Role::Observer, false).snapshot();
}

#[test]
fn who_asks_without_reading_the_answers_is_dropped() {
    let plane = Dataplane::start();
    let mut deaf = plane.link(Role::Observer, true);
    assert!(deaf.floods_until_dropped(), "every answer is kept for it");
    plane.link(Role::Observer, true).snapshot();
}

#[test]
fn a_drain_by_the_controller_ends_the_process() {
    let mut plane = Dataplane::start();
    let mut controller = plane.link(Role::Controller, false);
    controller.snapshot();
    controller.command(policy(1, &["127.0.0.0/8"]));
    controller.command(credentials(1, &[("a", "north")]));
    assert!(plane.allocates("north"));
    assert_eq!(
        controller.command(Command::Drain {
            within_seconds: Some(3),
            at_most: 0,
        }),
        Outcome::Done
    );
    let FromDataplane::Drain(progress) =
        controller.wait_for(|message| matches!(message, FromDataplane::Drain(_)))
    else {
        panic!("waited for it");
    };
    assert!(progress.seconds_left <= 3);
    assert!(!plane.allocates("north"));
    assert!(plane.end().success());
}

#[test]
fn the_socket_is_for_its_group_and_goes_with_the_process() {
    use std::os::unix::fs::PermissionsExt;
    let mut plane = Dataplane::start();
    let mode = std::fs::metadata(plane.socket())
        .expect("there")
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o660);
    plane.signal(Signal::SIGINT);
    assert!(plane.end().success());
    assert!(!plane.socket().exists());
}
