//! Offers that follow others on one connection.

use forebay_controlplane::sdp::PublisherOffer;

use crate::{local, offer, parts};

#[test]
fn a_changed_fragment_restarts_ice() {
    let text = offer("chromium-audio_video");
    let first = PublisherOffer::parse(&text).unwrap();
    let note = first.note();
    assert_eq!(
        PublisherOffer::parse(&text).unwrap().restarts(&note),
        Ok(false)
    );
    let ufrag = text
        .lines()
        .find_map(|line| line.strip_prefix("a=ice-ufrag:"))
        .unwrap();
    let restarted = text.replace(&format!("a=ice-ufrag:{ufrag}"), "a=ice-ufrag:new0");
    let restarted = PublisherOffer::parse(&restarted).unwrap();
    assert_eq!(restarted.restarts(&note), Ok(true));
}

#[test]
fn sections_keep_their_place_and_may_only_be_added() {
    let one = offer("chromium-screen_data");
    let two = offer("chromium-audio_video");
    let note = PublisherOffer::parse(&one).unwrap().note();
    let fewer = PublisherOffer::parse(&two).unwrap();
    assert!(fewer.restarts(&note).is_err());
    assert!(
        PublisherOffer::parse(&one)
            .unwrap()
            .restarts(&fewer.note())
            .is_ok()
    );

    let renamed = two
        .replace("BUNDLE 0 1", "BUNDLE 0 9")
        .replace("a=mid:1", "a=mid:9");
    let renamed = PublisherOffer::parse(&renamed).unwrap();
    assert!(renamed.restarts(&fewer.note()).is_err());

    // A stopped section is rejected, and its place may be used anew.
    let stopped = two
        .replace("BUNDLE 0 1", "BUNDLE 0")
        .replace("m=video 9", "m=video 0");
    let stopped = PublisherOffer::parse(&stopped).unwrap();
    assert!(stopped.restarts(&fewer.note()).is_ok());
    assert!(renamed.restarts(&stopped.note()).is_ok());
    let (text, negotiated) = stopped.answer(&local()).unwrap();
    assert_eq!(negotiated.tracks.len(), 1);
    assert!(parts(&text)[2][0].starts_with("m=video 0 "));
}

#[test]
fn a_note_survives_as_json() {
    let note = PublisherOffer::parse(&offer("firefox-screen_data"))
        .unwrap()
        .note();
    let json = serde_json::to_string(&note).unwrap();
    assert!(json.len() < 256, "{json}");
    assert_eq!(
        serde_json::from_str::<forebay_controlplane::sdp::PublisherNote>(&json).unwrap(),
        note
    );
}

#[test]
fn a_paused_section_is_no_track() {
    let text = offer("chromium-audio_video");
    let paused = text.replace("a=sendrecv", "a=recvonly");
    let (answer, negotiated) = PublisherOffer::parse(&paused)
        .unwrap()
        .answer(&local())
        .unwrap();
    assert!(negotiated.tracks.is_empty());
    assert!(parts(&answer)[1].contains(&"a=inactive"));
}
