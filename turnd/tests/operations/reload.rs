//! `forebay reload`.

use crate::client::{forebay, stdout};
use crate::server::{SECRET, Setup};

#[test]
fn a_reload_tells_every_change_and_what_takes_a_restart() {
    let server = Setup::new().start();
    let setup = &server.setup;
    let same = forebay(&server, &["reload"]);
    assert_eq!(same.status.code(), Some(0), "{same:?}");
    assert!(stdout(&same).contains("nothing has changed"), "{same:?}");

    setup.write("turn.secret", "southwest", 0o600);
    setup.write("users", "ann:swordfish\neve:wins-a-lot\n", 0o600);
    let live = setup.config().replace("\"::1\"]\n[limits]", "]\n[limits]");
    assert_ne!(live, setup.config());
    setup.write("turnd.toml", &live, 0o644);
    let changed = forebay(&server, &["reload"]);
    let text = stdout(&changed);
    println!("{text}");
    assert_eq!(changed.status.code(), Some(0), "{changed:?}");
    for expected in [
        "in force now",
        "peers.allow",
        "auth.secrets \"a\"  (hidden) -> (changed)",
        "users  1 -> 2 (1 added, 0 removed, 0 changed)",
    ] {
        assert!(text.contains(expected), "{expected} is missing in\n{text}");
    }
    let log = server.log();
    for secret in ["southwest", "wins-a-lot", "swordfish", SECRET] {
        assert!(!text.contains(secret) && !log.contains(secret), "{secret}");
    }

    let restart = live.replace("ready = 64", "ready = 65");
    setup.write("turnd.toml", &restart, 0o644);
    let restart = forebay(&server, &["reload"]);
    assert_eq!(restart.status.code(), Some(3), "{restart:?}");
    let text = stdout(&restart);
    assert!(
        text.contains("in force only after a restart") && text.contains("relay.ready  64 -> 65"),
        "{text}"
    );
}

#[test]
fn a_broken_file_keeps_the_old_configuration_and_raises_a_metric() {
    let server = Setup::new().start();
    let good = server.setup.config();
    let write = |text: &str| server.setup.write("turnd.toml", text, 0o644);
    for (broken, why) in [
        (
            good.replace("ready", "raedy"),
            "did you mean `relay.ready`?",
        ),
        (good.replace("turn.secret", "gone.secret"), "gone.secret"),
        (format!("{good}[log]\nlevel = \"a=b=c\"\n"), "log.level"),
        (
            good.replace(
                "[relay]\naddresses = [",
                "[relay]\naddresses = [\"0.0.0.0\", ",
            ),
            "relay.addresses",
        ),
    ] {
        write(&broken);
        let refused = forebay(&server, &["reload"]);
        assert_eq!(refused.status.code(), Some(1), "{refused:?}");
        let told = String::from_utf8_lossy(&refused.stderr);
        assert!(told.contains(why), "{told}");
        assert!(server.metrics().contains("forebay_last_reload_refused 1"));
    }
    write(&good);
    assert_eq!(forebay(&server, &["reload"]).status.code(), Some(0));
    let metrics = server.metrics();
    assert!(metrics.contains("forebay_last_reload_refused 0"));
    assert!(metrics.contains("forebay_reloads_total{result=\"refused\"} 4"));
}
