//! `forebay drain`.

use nix::sys::signal::Signal;

use crate::client::{Talking, forebay, sessions, stdout};
use crate::server::{Setup, USER, wait_for};

const ANN: [&str; 4] = ["-u", USER.0, "-w", USER.1];

#[test]
fn a_drain_ends_at_its_number_or_its_deadline() {
    let mut server = Setup::new().start();
    let client = Talking::start(&server);
    let begun = forebay(&server, &["drain", "--deadline", "10m", "--no-wait"]);
    assert!(begun.status.success(), "{begun:?}");
    assert!(wait_for(|| {
        server
            .http("/readyz")
            .is_some_and(|answer| answer.contains("503") && answer.contains("draining"))
    }));
    // Its allocations stay.
    drop(client);
    assert!(server.keeps_out(&ANN));
    assert!(!sessions(&server, &[]).is_empty(), "live ones go on");

    // A drain with other bounds replaces the first: two are not waited for.
    let live = sessions(&server, &[]).len();
    let most = live.to_string();
    let drained = forebay(&server, &["drain", "--deadline", "10m", "--at-most", &most]);
    assert_eq!(drained.status.code(), Some(0), "{drained:?}");
    assert!(stdout(&drained).contains("drained"), "{drained:?}");
    assert!(server.end().expect("ends").success(), "{}", server.log());
    assert!(
        server
            .log()
            .contains(&format!("drained but for {live} allocations")),
        "{}",
        server.log()
    );
}

#[test]
fn a_deadline_cuts_off_and_says_so() {
    let mut server = Setup::new().start();
    let _client = Talking::start(&server);
    let drained = forebay(&server, &["drain", "--deadline", "3s"]);
    assert_eq!(drained.status.code(), Some(3), "{drained:?}");
    assert!(stdout(&drained).contains("were cut off"), "{drained:?}");
    assert!(server.end().expect("ends").success());
}

#[test]
fn a_first_sigterm_only_shortens_an_operators_drain() {
    let setup = Setup::new();
    setup.write(
        "turnd.toml",
        &format!("{}[lifetimes]\ndrain = \"5s\"\n", setup.config()),
        0o644,
    );
    let mut server = setup.start();
    let _client = Talking::start(&server);
    forebay(&server, &["drain", "--deadline", "1h", "--no-wait"]);
    server.signal(Signal::SIGTERM);
    assert!(server.end().expect("ends").success());
    assert!(
        server.log().contains("the deadline has come"),
        "{}",
        server.log()
    );
}
