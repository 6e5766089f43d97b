//! Logs that stay small and whole.

use nix::sys::signal::Signal;
use serde_json::Value;

use crate::client::forebay;
use crate::server::{Setup, wait_for};

#[test]
fn lines_of_one_cause_are_limited_and_counted() {
    let setup = Setup::new();
    let good = format!(
        "{}[log]\nformat = \"json\"\nper_minute = 1\n",
        setup.config()
    );
    setup.write("turnd.toml", &good, 0o644);
    let mut server = setup.start();
    server.setup.write("turnd.toml", "nonsense", 0o644);
    for _ in 0..130 {
        assert_eq!(forebay(&server, &["reload"]).status.code(), Some(1));
    }
    assert!(wait_for(|| server
        .log()
        .contains("more lines like: configuration not reloaded")));
    server.signal(Signal::SIGINT);
    assert!(server.end().expect("ends").success());
    let log = server.log();
    let mut written = 0;
    let mut suppressed = 0;
    for line in log.lines() {
        let line: Value = serde_json::from_str(line).expect("every line is JSON");
        let message = line["message"].as_str().expect("a message");
        if message.starts_with("configuration not reloaded") {
            written += 1;
        }
        suppressed += line["suppressed"].as_u64().unwrap_or(0);
    }
    assert_eq!(written + suppressed, 130, "{log}");
    assert!(suppressed >= 20, "{log}");
}

#[test]
fn single_allocations_are_told_at_debug_alone() {
    let setup = Setup::new();
    let good = setup.config();
    // A user whose name would break a line.
    setup.write("users", "ann\u{1b}[31m\u{7}:swordfish\n", 0o600);
    let server = setup.start();
    let user = ["-u", "ann\u{1b}[31m\u{7}", "-w", "swordfish"];
    assert!(server.lets_in(&user));
    assert!(wait_for(|| server
        .metric("forebay_allocations_created_total")
        >= 1.0));
    assert!(
        !server.log().contains("allocation made"),
        "{}",
        server.log()
    );
    server.setup.write(
        "turnd.toml",
        &format!("{good}[log]\nlevel = \"debug\"\n"),
        0o644,
    );
    assert_eq!(forebay(&server, &["reload"]).status.code(), Some(0));
    assert!(server.lets_in(&user));
    assert!(server.says("allocation made"), "{}", server.log());
    let log = server.log();
    assert!(log.contains("ann\\u{1b}[31m\\u{7}"), "{log}");
    assert!(!log.contains('\u{7}'), "{log}");
    let listed = forebay(&server, &["sessions"]);
    assert!(!listed.stdout.contains(&7), "{listed:?}");
}
