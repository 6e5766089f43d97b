//! Credentials that run out, lenient and strict.

use std::thread;
use std::time::Duration;

use super::client::{Client, failures, rest};
use super::server::{PEER, SECRET, Setup, wait_for};

fn with(expiry: &str) -> Setup {
    let setup = Setup::new();
    let config = setup
        .config()
        .replace("users_file", &format!("expiry = \"{expiry}\"\nusers_file"));
    setup.write("turnd.toml", &config, 0o644);
    setup
}

#[test]
fn what_lives_goes_on_or_not() {
    for (expiry, goes_on) in [("lenient", true), ("strict", false)] {
        let server = with(expiry).start();
        let (username, password) = rest(SECRET, "bob", 3);
        let mut client = Client::new(&server, (&username, &password), |_| {});
        client.allocate().expect("allocated");
        client.permit(PEER).expect("permitted");
        thread::sleep(Duration::from_millis(3500));
        assert_eq!(client.permit("127.0.0.2").is_ok(), goes_on, "{expiry}");
        assert_eq!(failures(&server, "expired") > 0.0, !goes_on, "{expiry}");
    }
}

#[test]
fn expired_and_far_off_credentials_are_told_with_their_distance() {
    let server = Setup::new().start();
    let refused = |ttl: i64| {
        let (username, password) = rest(SECRET, "bob", ttl);
        let mut client = Client::new(&server, (&username, &password), |_| {});
        assert!(client.allocate().is_err());
    };
    refused(-3600);
    refused(4 * 24 * 3600);
    assert!(failures(&server, "expired") >= 1.0);
    assert!(failures(&server, "too_far_ahead") >= 1.0);
    assert_eq!(failures(&server, "wrong_credentials"), 0.0);
    let told = |start: &str, within: std::ops::Range<u64>| {
        wait_for(|| {
            server
                .log()
                .split(start)
                .skip(1)
                .filter_map(|rest| rest.split(' ').next()?.parse::<u64>().ok())
                .any(|seconds| within.contains(&seconds))
        })
    };
    assert!(told(" expired ", 3600..3700), "{}", server.log());
    let days = 4 * 24 * 3600;
    assert!(told(" expires ", days - 100..days + 1), "{}", server.log());
}
