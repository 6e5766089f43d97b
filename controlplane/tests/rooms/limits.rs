//! What is full is full.

use forebay_controlplane::config;
use forebay_controlplane::rooms::ids::{Identity, RoomName};
use forebay_controlplane::rooms::message::{ErrorCode, parse};
use forebay_controlplane::rooms::note::Way;
use forebay_controlplane::tokens::{Access, Grants};

use crate::hall::{Hall, recorded};

#[test]
fn rooms_participants_and_tracks_are_bounded() {
    let mut hall = Hall::with(config::Rooms {
        max_rooms: 1,
        max_participants: 2,
        max_tracks: 1,
        ..config::Rooms::default()
    });
    let ada = hall.join("ada");
    hall.join("bob");
    let full = hall.join_with("eve", Grants::USUAL, true).err().unwrap();
    assert_eq!(full.code, ErrorCode::Limit);
    // Whoever replaces oneself needs no place.
    assert!(hall.join_with("bob", Grants::USUAL, true).is_ok());
    let elsewhere = Access {
        room: RoomName::new("attic").unwrap(),
        identity: Identity::new("eve").unwrap(),
        name: String::new(),
        grants: Grants::USUAL,
    };
    let refused = hall
        .model
        .join(hall.now, elsewhere, Way::Web, true, None)
        .unwrap_err();
    assert_eq!(refused.code, ErrorCode::Limit);
    let refused = hall
        .model
        .publish(
            hall.now,
            &ada.entered.whom,
            &recorded("chromium-audio_video"),
            &[],
            true,
        )
        .unwrap_err();
    assert_eq!(refused.code, ErrorCode::Limit);
    hall.settle();
    assert!(hall.plane.media.tracks.is_empty(), "all or nothing");
}

#[test]
fn an_empty_room_makes_place_for_another() {
    let mut hall = Hall::with(config::Rooms {
        max_rooms: 1,
        ..config::Rooms::default()
    });
    let denied = Grants {
        join: false,
        ..Grants::USUAL
    };
    assert!(hall.join_with("eve", denied, true).is_err());
    assert!(hall.model.rooms().is_empty());
    hall.join("ada");
    assert_eq!(hall.model.rooms().len(), 1);
}

#[test]
fn names_are_checked() {
    for name in ["", ".", "..", "a b", "ä", "a/b", &"x".repeat(129)] {
        assert!(RoomName::new(name).is_err(), "{name:?}");
    }
    for name in ["lobby", "a.b-c_D9", &"x".repeat(128)] {
        assert!(RoomName::new(name).is_ok(), "{name:?}");
    }
    assert!(Identity::new("").is_err() && Identity::new("a\nb").is_err());
    assert!(Identity::new("Ada Lovelace, 1815").is_ok());
}

#[test]
fn messages_are_read_strictly_and_answered_by_number() {
    let code = |text: &str| parse(text).request.unwrap_err().0;
    assert_eq!(code("{"), ErrorCode::BadMessage);
    assert_eq!(code("[]"), ErrorCode::BadMessage);
    assert_eq!(code("{\"id\":1}"), ErrorCode::BadMessage);
    assert_eq!(code("{\"type\":\"ping\"}"), ErrorCode::BadMessage);
    assert_eq!(code("{\"type\":\"fly\",\"id\":1}"), ErrorCode::UnknownType);
    let long = format!(
        "{{\"type\":\"message\",\"id\":7,\"text\":\"{}\"}}",
        "x".repeat(4_097)
    );
    assert_eq!(parse(&long).id, Some(7));
    assert_eq!(code(&long), ErrorCode::BadMessage);
    let many = format!(
        "{{\"type\":\"subscribe\",\"id\":8,\"tracks\":[{}]}}",
        vec!["\"TR_AAAAAAAAAAA\""; 1_025].join(",")
    );
    assert_eq!(code(&many), ErrorCode::BadMessage);
    let unknown = "{\"type\":\"ping\",\"id\":9,\"colour\":\"blue\"}";
    assert!(parse(unknown).request.is_ok(), "unknown fields are ignored");
}
