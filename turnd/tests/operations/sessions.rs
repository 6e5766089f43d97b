//! `forebay sessions`.

use crate::client::{Talking, forebay, sessions, stdout};
use crate::server::{Setup, USER, wait_for};

#[test]
fn sessions_are_listed_filtered_and_ended() {
    let server = Setup::new().start();
    assert!(sessions(&server, &[]).is_empty());
    let _client = Talking::start(&server);
    let all = sessions(&server, &[]);
    assert!(!all.is_empty());
    let busiest = &all[0];
    assert_eq!(busiest["user"], USER.0);
    assert_eq!(busiest["transport"], "udp");
    let address = format!("{}:", server.setup.address);
    assert_eq!(
        busiest["server"],
        format!("{address}{}", server.setup.port),
        "{busiest}"
    );
    assert!(
        busiest["relay"]
            .as_str()
            .is_some_and(|relay| relay.starts_with(&address))
    );
    assert!(busiest["to_peer_bytes"].as_u64() > Some(0), "{busiest}");
    assert!(busiest["to_peer_packets"].as_u64() > Some(0), "{busiest}");
    assert!(
        busiest["to_peer_bits_per_second"].as_f64() > Some(0.0),
        "{busiest}"
    );
    let expires = busiest["expires_in_seconds"].as_u64().expect("a time");
    assert!((1..=3600).contains(&expires), "{busiest}");

    let text = stdout(&forebay(&server, &["sessions"]));
    println!("{text}");
    assert!(text.starts_with("ID "), "{text}");
    assert!(text.contains(USER.0) && text.contains("b/s"), "{text}");

    let relay = busiest["relay"].as_str().expect("an address");
    let client = busiest["client"].as_str().expect("an address");
    for (filter, found) in [
        (["--user", USER.0], all.len()),
        (["--user", "nobody"], 0),
        (["--relay", relay], 1),
        (["--client", client], 1),
        (["--relay", "192.0.2.1"], 0),
    ] {
        assert_eq!(sessions(&server, &filter).len(), found, "{filter:?}");
    }
    let page = server.metrics();
    let kind = "forebay_sessions{transport=\"udp\",family=\"ipv4\"} ";
    assert!(page.contains(&format!("{kind}{}", all.len())), "{page}");

    let id = busiest["id"].as_str().expect("an id");
    let unknown = forebay(&server, &["sessions", "kill", id, "0.77.1"]);
    assert!(!unknown.status.success());
    assert_eq!(
        sessions(&server, &[]).len(),
        all.len(),
        "an unknown id ends nothing"
    );
    let killed = forebay(&server, &["sessions", "kill", id]);
    assert!(killed.status.success(), "{killed:?}");
    assert!(stdout(&killed).contains(relay), "{killed:?}");
    assert!(wait_for(
        || sessions(&server, &["--relay", relay]).is_empty()
    ));

    let rehearsed = forebay(
        &server,
        &["sessions", "kill", "--user", USER.0, "--dry-run"],
    );
    if all.len() > 1 {
        assert!(stdout(&rehearsed).contains("would end"), "{rehearsed:?}");
        let killed = forebay(&server, &["sessions", "kill", "--user", USER.0]);
        assert!(killed.status.success(), "{killed:?}");
    }
    assert!(wait_for(|| sessions(&server, &[]).is_empty()));
    assert!(!forebay(&server, &["sessions", "kill"]).status.success());
}
