//! TURN REST credentials against vectors made with OpenSSL.

#![allow(clippy::unwrap_used, reason = "test code")]

use forebay_controlplane::credentials::{USER_MAX, UserName, sign};
use proptest::prelude::*;

#[test]
fn passwords_are_those_other_implementations_make() {
    // printf %s USERNAME | openssl dgst -sha1 -hmac SECRET -binary | base64
    for (secret, user, expiry, password) in [
        (
            "north",
            "ann",
            1_700_000_000,
            "jeamH6dA5l2I9g3jmieza7CzEDo=",
        ),
        (
            "a secret longer than the sixty-four bytes that one block of SHA-1 takes in",
            "relay-check",
            1_893_456_000,
            "UqkaxPxq8+0kUWSV9XnT5XwbJ1Q=",
        ),
    ] {
        let credential = sign(secret.as_bytes(), &UserName::new(user).unwrap(), expiry);
        assert_eq!(credential.username, format!("{expiry}:{user}"));
        assert_eq!(credential.password, password);
        assert_eq!(credential.expires_at, expiry);
    }
}

#[test]
fn names_that_would_be_misread_are_refused() {
    for name in [
        "",
        "a:b",
        "a b",
        "tab\t",
        "quote\"",
        "back\\slash",
        "ünïcode",
        "\u{7f}",
        &"x".repeat(USER_MAX + 1),
    ] {
        assert!(UserName::new(name).is_err(), "{name:?}");
    }
    for name in [
        "a",
        "ann@example.org",
        "room-7/alice",
        &"x".repeat(USER_MAX),
    ] {
        assert!(UserName::new(name).is_ok(), "{name:?}");
    }
}

#[test]
fn strangers_get_names_of_their_own() {
    let make = || sign(b"k", &UserName::random().unwrap(), 1).username;
    assert_ne!(make(), make());
}

proptest! {
    #[test]
    fn a_username_always_splits_at_its_first_colon(name in ".{0,80}", expiry in any::<u64>()) {
        if let Ok(user) = UserName::new(&name) {
            let credential = sign(b"k", &user, expiry);
            let (time, rest) = credential.username.split_once(':').unwrap();
            prop_assert_eq!(time.parse::<u64>().unwrap(), expiry);
            prop_assert_eq!(rest, name);
            prop_assert!(credential.username.len() <= 508);
        }
    }
}
