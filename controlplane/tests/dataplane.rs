//! With the real data plane and real TURN clients.

#![allow(clippy::unwrap_used, clippy::panic, reason = "test code")]

mod support;

use std::process::Output;

use nix::sys::signal::Signal;
use support::pair::{DataPlane, Login, all_arrived, login, uclient};
use support::{ControlPlane, Place, until};

fn relayed(port: u16, login: &Login) -> Output {
    uclient(port, login, 20, 20).wait_with_output().unwrap()
}

#[test]
fn credentials_work_until_their_secret_is_withdrawn() {
    let place = Place::new();
    let data = DataPlane::start(&place, "52000-52099");
    let control = ControlPlane::start(&place);
    control.until_ready();
    let urls = control.credentials("").json()["uris"].clone();
    assert_eq!(
        urls,
        serde_json::json!([format!("turn:127.0.0.1:{}?transport=udp", data.port)])
    );
    let old = login(&control);
    let output = relayed(data.port, &old);
    assert!(all_arrived(&output), "{output:?}");

    place.private("next.secret", "the-next-secret");
    let both = "secrets = [{ id = \"next\", file = \"next.secret\" }, { id = \"first\", file = \"turn.secret\" }]";
    place.configure_turn(both, "");
    reload(&control, 2.0);
    let new = login(&control);
    for login in [&old, &new] {
        let output = relayed(data.port, login);
        assert!(all_arrived(&output), "{output:?}");
    }

    place.configure_turn("secrets = [{ id = \"next\", file = \"next.secret\" }]", "");
    reload(&control, 3.0);
    assert!(all_arrived(&relayed(data.port, &new)));
    assert!(
        !all_arrived(&relayed(data.port, &old)),
        "the old secret is gone"
    );
}

fn reload(control: &ControlPlane, generation: f64) {
    control.signal(Signal::SIGHUP);
    until("the new generation", || {
        let now =
            control.metric("forebay_controlplane_dataplane_generation{piece=\"credentials\"}");
        (now == Some(generation)).then_some(())
    });
    control.until_ready();
}

#[test]
fn nothing_is_lost_while_the_control_plane_is_killed_and_restarted() {
    let place = Place::new();
    let data = DataPlane::start(&place, "52100-52199");
    let mut control = ControlPlane::start(&place);
    control.until_ready();
    // Four seconds of a packet every 10 ms each way.
    let client = uclient(data.port, &login(&control), 400, 10);
    until("the allocations", || {
        (control.metric("forebay_controlplane_dataplane_allocations")? >= 2.0).then_some(())
    });
    for _ in 0..3 {
        control.kill();
        control = ControlPlane::start(&place);
        control.until_ready();
        place.private("turn.secret", support::SECRET);
    }
    let output = client.wait_with_output().unwrap();
    assert!(all_arrived(&output), "{output:?}");
    until("the usage", || {
        let ended: f64 = ["expired", "closed_by_client", "administrative"]
            .iter()
            .filter_map(|r| {
                control.metric(&format!(
                    "forebay_controlplane_allocations_ended_total{{reason=\"{r}\"}}"
                ))
            })
            .sum();
        (ended >= 2.0).then_some(())
    });
}

#[test]
fn a_restarted_data_plane_is_given_everything_anew() {
    let place = Place::new();
    let mut data = DataPlane::start(&place, "52200-52299");
    let control = ControlPlane::start(&place);
    control.until_ready();
    let login = login(&control);
    for crash in [true, false] {
        if crash {
            data.kill();
        } else {
            data.terminate();
        }
        until("not ready", || {
            (control.get("/readyz").status == 503).then_some(())
        });
        let port = data.port;
        data = DataPlane::start_on(&place, port, "52200-52299");
        control.until_ready();
        let output = relayed(port, &login);
        assert!(all_arrived(&output), "{output:?}");
    }
}

#[test]
fn one_controller_at_a_time() {
    let place = Place::new();
    let _data = DataPlane::start(&place, "52300-52399");
    let first = ControlPlane::start(&place);
    first.until_ready();
    // Its own log, so that both can be read.
    let elsewhere = Place::new();
    let text = std::fs::read_to_string(elsewhere.path("controlplane.toml")).unwrap();
    let text = text.replace(
        elsewhere.socket().to_str().unwrap(),
        place.socket().to_str().unwrap(),
    );
    elsewhere.private("controlplane.toml", &text);
    let second = ControlPlane::start(&elsewhere);
    until("the rejection", || {
        second
            .reasons()
            .iter()
            .any(|r| r.contains("the data plane refuses"))
            .then_some(())
    });
    assert_eq!(first.get("/readyz").status, 200);
    drop(first);
    second.until_ready();
}
