//! The binary and its data plane: greeting, reconciling, rotation, and either
//! side's death.

#![allow(clippy::unwrap_used, clippy::panic, reason = "test code")]

mod support;

use std::os::unix::net::UnixDatagram;
use std::time::Duration;

use forebay_ipc::{
    AllocationId, Command, Deleted, Deletion, DrainProgress, FromDataplane, Generation, List,
    Outcome, Rejected, RejectionReason, Text, Usage, VERSION,
};
use nix::sys::signal::Signal;
use support::straw::{Scene, Straw};
use support::{ControlPlane, KEY, Place, SECRET, until};

#[test]
fn the_data_plane_gets_what_the_configuration_says() {
    let place = Place::new();
    place.private("users", "probe:its password\n");
    place.configure_turn(
        "users_file = \"users\"\nsecrets = [{ id = \"first\", file = \"turn.secret\", not_after = \
         \"2099-01-01T00:00:00Z\" }]",
        "[peers]\nallow = [\"127.0.0.0/8\"]\ndeny = [\"2001:db8::/32\"]\nlowest_port = 2000\n",
    );
    let control = ControlPlane::start(&place);
    assert_eq!(control.get("/healthz").status, 200);
    let before = control.get("/readyz");
    assert_eq!(before.status, 503);
    assert!(
        control.reasons()[0].starts_with("data plane: "),
        "{:?}",
        control.reasons()
    );

    let straw = Straw::start(&place.socket(), Scene::default());
    control.until_ready();
    let scene = straw.scene.lock().unwrap();
    let [
        Command::SetCredentials(credentials),
        Command::SetPolicy(policy),
    ] = &scene.commands[..]
    else {
        panic!("{:?}", scene.commands);
    };
    assert_eq!(credentials.generation, Generation(1));
    assert_eq!(&credentials.secrets[0].key.expose()[..], SECRET.as_bytes());
    assert_eq!(credentials.secrets[0].not_after, Some(4_070_908_800));
    assert_eq!(&**credentials.users[0].password.expose(), "its password");
    assert_eq!(policy.generation, Generation(1));
    assert_eq!(
        (
            policy.allow[0].length(),
            policy.deny[0].length(),
            policy.lowest_port
        ),
        (8, 32, 2000)
    );
}

#[test]
fn a_rotation_needs_no_new_connection_and_no_restart() {
    let place = Place::new();
    let straw = Straw::start(&place.socket(), Scene::default());
    let control = ControlPlane::start(&place);
    control.until_ready();

    place.private("next.secret", "the-next-secret");
    place.configure_turn(
        "secrets = [{ id = \"second\", file = \"next.secret\" }, { id = \"first\", file = \"turn.secret\" }]",
        "",
    );
    control.signal(Signal::SIGHUP);
    straw.until("the new list", |scene| {
        (scene.secrets()? == ["second", "first"])
            .then_some(())
            .filter(|()| scene.credentials == Some(Generation(2)))
    });
    control.until_ready();
    assert_eq!(control.credentials("").status, 200);
    assert_eq!(
        control.metric("forebay_controlplane_credentials_issued_total{secret=\"second\"}"),
        Some(1.0)
    );
    assert_eq!(straw.scene.lock().unwrap().connections, 1);

    // A list that does not hold together changes nothing.
    place.configure_turn("secrets = [{ id = \"third\", file = \"missing\" }]", "");
    control.signal(Signal::SIGHUP);
    until("the refusal", || {
        (control.metric("forebay_controlplane_reloads_total{result=\"refused\"}") == Some(1.0))
            .then_some(())
    });
    assert!(control.log().contains("everything stays as it was"));
    assert_eq!(control.credentials("").status, 200);
    assert_eq!(
        straw.scene.lock().unwrap().secrets().unwrap(),
        ["second", "first"]
    );
}

#[test]
fn a_changed_file_is_noticed_without_a_signal() {
    let place = Place::new();
    let straw = Straw::start(&place.socket(), Scene::default());
    let control = ControlPlane::start(&place);
    control.until_ready();
    place.private("turn.secret", "another-secret");
    straw.until("the new secret", |scene| {
        scene.commands.iter().find_map(|command| match command {
            Command::SetCredentials(set) => {
                (set.secrets[0].key.expose()[..] == *b"another-secret").then_some(())
            }
            _ => None,
        })
    });
    assert_eq!(straw.scene.lock().unwrap().connections, 1);
}

#[test]
fn either_side_may_die() {
    let place = Place::new();
    let straw = Straw::start(&place.socket(), Scene::default());
    let mut control = ControlPlane::start(&place);
    control.until_ready();

    // The data plane comes back empty and is given everything anew.
    drop(straw);
    until("not ready", || {
        (control.get("/readyz").status == 503).then_some(())
    });
    assert_eq!(
        control.credentials("").status,
        200,
        "credentials need no data plane"
    );
    let straw = Straw::start(&place.socket(), Scene::default());
    control.until_ready();
    assert_eq!(straw.scene.lock().unwrap().secrets().unwrap(), ["first"]);

    // The control plane comes back and goes on from the generation in force.
    straw.scene.lock().unwrap().credentials = Some(Generation(41));
    control.kill();
    let control = ControlPlane::start(&place);
    control.until_ready();
    let scene = straw.scene.lock().unwrap();
    assert_eq!(scene.credentials, Some(Generation(42)));
    assert_eq!(scene.policy, Some(Generation(2)));
}

#[test]
fn a_data_plane_that_talks_nonsense_is_left_and_tried_again() {
    let place = Place::new();
    let straw = Straw::start(
        &place.socket(),
        Scene {
            garbage: Some(vec![0xff; 300]),
            ..Scene::default()
        },
    );
    let control = ControlPlane::start(&place);
    control.until_ready();
    assert!(control.log().contains("not a message of this protocol"));
    assert_eq!(straw.scene.lock().unwrap().connections, 2);
}

#[test]
fn a_rejection_is_said_and_tried_again() {
    let place = Place::new();
    let rejection = Rejected {
        reason: RejectionReason::Version,
        text: Text::new("another version").unwrap(),
        version: VERSION + 1,
    };
    let _straw = Straw::start(
        &place.socket(),
        Scene {
            rejection: Some(rejection),
            ..Scene::default()
        },
    );
    let control = ControlPlane::start(&place);
    control.until_ready();
    assert!(
        control.log().contains("upgrade the older one"),
        "{}",
        control.log()
    );
}

#[test]
fn readiness_tells_what_is_missing() {
    let place = Place::new();
    place.configure_turn(
        "realm = \"other.example\"\nsecrets = [{ id = \"first\", file = \"turn.secret\" }]",
        "",
    );
    let straw = Straw::start(
        &place.socket(),
        Scene {
            outcomes: vec![Outcome::Invalid, Outcome::Busy],
            ..Scene::default()
        },
    );
    let control = ControlPlane::start(&place);
    straw.until("busy is tried again", |scene| scene.policy);
    let reasons = until("both reasons", || {
        Some(control.reasons())
            .filter(|reasons| reasons.len() == 2 && reasons[0].contains("refused"))
    });
    assert!(
        reasons[0].contains("refused credentials: as the test wants"),
        "{reasons:?}"
    );
    assert!(
        reasons[1].contains("other.example") && reasons[1].contains("example.org"),
        "{reasons:?}"
    );
    straw
        .scene
        .lock()
        .unwrap()
        .events
        .push(FromDataplane::Drain(DrainProgress {
            remaining: 5,
            seconds_left: 9,
            at_most: 0,
        }));
    until("the drain", || {
        control
            .reasons()
            .iter()
            .any(|r| r.contains("draining, 5 allocations"))
            .then_some(())
    });
}

#[test]
fn usage_is_counted_and_logged_with_the_username_escaped() {
    let place = Place::new();
    let straw = Straw::start(&place.socket(), Scene::default());
    let control = ControlPlane::start(&place);
    control.until_ready();
    let usage = Usage {
        to_peer_packets: 1,
        to_peer_bytes: 1_000,
        to_client_packets: 2,
        to_client_bytes: 2_000,
    };
    let deleted = Deleted {
        id: AllocationId {
            worker: 0,
            slot: 1,
            generation: 2,
        },
        username: Text::new("1:evil\nname").unwrap(),
        reason: Deletion::Expired,
        lived_seconds: 3,
        usage,
    };
    straw
        .scene
        .lock()
        .unwrap()
        .events
        .push(FromDataplane::Deleted(List::new(vec![deleted]).unwrap()));
    until("the count", || {
        (control.metric("forebay_controlplane_allocations_ended_total{reason=\"expired\"}")
            == Some(1.0))
        .then_some(())
    });
    assert_eq!(
        control.metric("forebay_controlplane_allocations_ended_relayed_bytes_total"),
        Some(3_000.0)
    );
    let log = control.log();
    let line = log
        .lines()
        .find(|line| line.contains("allocation ended"))
        .unwrap();
    let line: serde_json::Value = serde_json::from_str(line).unwrap();
    assert_eq!(line["user"], "\"1:evil\\nname\"");
    until("the gauge", || {
        (control.metric("forebay_controlplane_dataplane_allocations") == Some(17.0)).then_some(())
    });
}

#[test]
fn the_service_manager_is_told_and_sigterm_ends_it() {
    let place = Place::new();
    let notify = place.path("notify.sock");
    let manager = UnixDatagram::bind(&notify).unwrap();
    manager
        .set_read_timeout(Some(Duration::from_secs(30)))
        .unwrap();
    let hear = || {
        let mut bytes = [0; 512];
        let length = manager.recv(&mut bytes).unwrap();
        String::from_utf8(bytes[..length].to_vec()).unwrap()
    };
    let mut control = ControlPlane::start_with(&place, &[("NOTIFY_SOCKET", &notify)]);
    assert!(hear().contains("READY=1"));
    control.signal(Signal::SIGHUP);
    let reloading = hear();
    assert!(
        reloading.contains("RELOADING=1") && reloading.contains("MONOTONIC_USEC="),
        "{reloading}"
    );
    assert!(hear().contains("READY=1"));
    control.signal(Signal::SIGTERM);
    assert!(hear().contains("STOPPING=1"));
    assert!(control.until_gone().success());
}

#[test]
fn no_secret_reaches_the_log() {
    let place = Place::new();
    let _straw = Straw::start(&place.socket(), Scene::default());
    let control = ControlPlane::start(&place);
    control.until_ready();
    let password = control.credentials("").json()["password"]
        .as_str()
        .unwrap()
        .to_owned();
    control.signal(Signal::SIGHUP);
    until("the reload", || {
        control.log().contains("nothing changed").then_some(())
    });
    let log = control.log();
    assert!(
        log.contains("credentials issued"),
        "the log is at its most talkative"
    );
    for secret in [SECRET, KEY, password.as_str()] {
        assert!(!log.contains(secret), "{log}");
    }
}
