//! Tokens: what passes, and what does not.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use forebay_controlplane::rooms::ids::ParticipantId;
use forebay_controlplane::settings::unix_now;
use forebay_controlplane::tokens::{Grants, Resume, TokenError, TokenKey, TokenKeys};
use forebay_ipc::{Bytes, Sensitive};
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::json;
use sha2::Sha256;

use crate::hall::{access, keys};

const SECRET: &[u8] = b"0123456789abcdef0123456789abcdef";

/// A token made by hand.
fn token(header: &serde_json::Value, claims: &serde_json::Value, secret: &[u8]) -> String {
    let part = |value: &serde_json::Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let signed = format!("{}.{}", part(header), part(claims));
    let mac = Hmac::<Sha256>::new_from_slice(secret)
        .unwrap()
        .chain_update(&signed)
        .finalize()
        .into_bytes();
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(mac))
}

fn header() -> serde_json::Value {
    json!({ "alg": "HS256", "typ": "JWT", "kid": "first" })
}

fn claims() -> serde_json::Value {
    json!({ "sub": "ada", "room": "lobby", "exp": unix_now() + 60 })
}

#[test]
fn a_token_of_ours_is_what_a_back_end_would_make() {
    let given = access(
        "ada",
        Grants {
            admin: true,
            ..Grants::USUAL
        },
    );
    let minted = keys().mint(&given, unix_now() + 60).unwrap();
    assert_eq!(keys().verify(&minted).unwrap(), given);
    let read = keys().verify(&token(&header(), &claims(), SECRET)).unwrap();
    assert_eq!(read.grants, Grants::USUAL);
    let mut few = claims();
    few["grants"] = json!({ "join": true });
    let read = keys().verify(&token(&header(), &few, SECRET)).unwrap();
    assert!(read.grants.join && !read.grants.publish && !read.grants.subscribe);
}

#[test]
fn times_are_held_to_with_leeway() {
    let at = |claim: &str, seconds: i64| {
        let mut claims = claims();
        claims[claim] = json!(unix_now().cast_signed() + seconds);
        keys().verify(&token(&header(), &claims, SECRET))
    };
    assert_eq!(at("exp", -60).unwrap_err(), TokenError::Expired);
    assert!(at("exp", -10).is_ok());
    assert_eq!(at("nbf", 60).unwrap_err(), TokenError::Early);
    assert!(at("nbf", 10).is_ok());
    let mut endless = claims();
    endless.as_object_mut().unwrap().remove("exp");
    let refused = keys().verify(&token(&header(), &endless, SECRET));
    assert_eq!(refused.unwrap_err(), TokenError::Claims);
}

#[test]
fn algorithms_and_keys_that_are_not_ours_are_refused() {
    let bad = |header: serde_json::Value, secret: &[u8]| {
        keys()
            .verify(&token(&header, &claims(), secret))
            .unwrap_err()
    };
    assert_eq!(
        bad(header(), b"another secret of thirty-two by"),
        TokenError::Bad
    );
    for algorithm in ["none", "None", "HS384", "RS256", "ES256"] {
        let mut header = header();
        header["alg"] = json!(algorithm);
        assert_eq!(bad(header, SECRET), TokenError::Bad, "{algorithm}");
    }
    let mut unknown = header();
    unknown["kid"] = json!("second");
    assert_eq!(bad(unknown, SECRET), TokenError::Bad);
    let none = format!(
        "{}.{}.",
        URL_SAFE_NO_PAD.encode(json!({ "alg": "none" }).to_string()),
        URL_SAFE_NO_PAD.encode(claims().to_string())
    );
    assert_eq!(keys().verify(&none).unwrap_err(), TokenError::Bad);
    for garbage in ["", "a.b.c", "....", &"x".repeat(5_000)] {
        assert_eq!(keys().verify(garbage).unwrap_err(), TokenError::Bad);
    }
    let good = token(&header(), &claims(), SECRET);
    let tampered = good.replacen("ey", "ez", 1);
    assert!(keys().verify(&tampered).is_err());
    assert_eq!(
        TokenKeys::default().verify(&good).unwrap_err(),
        TokenError::NoKey
    );
}

#[test]
fn claims_are_bounded() {
    for (claim, value) in [
        ("sub", json!("")),
        ("sub", json!("x".repeat(129))),
        ("room", json!("../etc")),
        ("room", json!("")),
        ("name", json!("x".repeat(129))),
    ] {
        let mut claims = claims();
        claims[claim] = value;
        let refused = keys().verify(&token(&header(), &claims, SECRET));
        assert_eq!(refused.unwrap_err(), TokenError::Claims, "{claim}");
    }
}

#[test]
fn the_two_kinds_of_tokens_do_not_pass_for_each_other() {
    let given = access("ada", Grants::USUAL);
    let resume = Resume {
        room: given.room.clone(),
        participant: ParticipantId(7),
        identity: given.identity.clone(),
        name: given.name.clone(),
        grants: given.grants,
        auto_subscribe: true,
        joined_at: 1,
        serial: 3,
        exp: unix_now() + 60,
    };
    let minted = keys().mint_resume(&resume).unwrap();
    assert_eq!(keys().verify_resume(&minted).unwrap(), resume);
    assert!(keys().verify(&minted).is_err());
    let entry = keys().mint(&given, unix_now() + 60).unwrap();
    assert!(keys().verify_resume(&entry).is_err());
}

#[test]
fn keys_rotate() {
    let old = keys();
    let given = access("ada", Grants::USUAL);
    let minted = old.mint(&given, unix_now() + 60).unwrap();
    let second = TokenKey {
        id: "second".to_owned(),
        key: Sensitive::new(Bytes::new(*b"ffffffffffffffffffffffffffffffff").unwrap()),
    };
    let mut both = TokenKeys(vec![second]);
    both.0.extend(old.0.clone());
    assert!(both.verify(&minted).is_ok());
    let fresh = both.mint(&given, unix_now() + 60).unwrap();
    assert_eq!(old.verify(&fresh).unwrap_err(), TokenError::Bad);
}
