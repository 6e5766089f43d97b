//! Records of calls in SQLite.

use forebay_controlplane::calls::{CallEvent, CallSink, Page, Store, WAITING};
use forebay_controlplane::rooms::ids::{CallId, Identity, ParticipantId, RoomName};
use forebay_controlplane::rooms::message::LeaveReason;
use forebay_controlplane::rooms::note::Way;

fn call(number: u64, room: &str) -> Vec<CallEvent> {
    let call = CallId(number);
    let participant = ParticipantId(number * 10);
    vec![
        CallEvent::Started {
            call,
            room: RoomName::new(room).unwrap(),
            at: 1_000 + number,
        },
        CallEvent::Joined {
            call,
            participant,
            identity: Identity::new("ada").unwrap(),
            name: "Ada".to_owned(),
            way: Way::Whip,
            at: 1_001 + number,
        },
        CallEvent::Left {
            call,
            participant,
            at: 1_050 + number,
            reason: LeaveReason::Timeout,
            mos: Some(4.1),
            freezes: 2,
            freeze_ms: 700,
        },
        CallEvent::Ended {
            call,
            at: 1_051 + number,
            peak: 1,
            mos: Some(4.1),
        },
    ]
}

#[tokio::test]
async fn calls_are_written_read_in_pages_and_forgotten() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("calls.sqlite");
    let store = Store::open(&path).await.unwrap();
    for number in 1..=25 {
        let room = if number % 5 == 0 { "attic" } else { "lobby" };
        store.write(&call(number, room)).await.unwrap();
    }
    // The same again changes nothing.
    store.write(&call(3, "lobby")).await.unwrap();
    let mut page = Page {
        limit: 10,
        ..Page::default()
    };
    let mut seen = Vec::new();
    loop {
        let calls = store.calls(&page).await.unwrap();
        let Some(last) = calls.last() else { break };
        page.after = Some((last.started_at, last.id.clone()));
        seen.extend(calls);
    }
    assert_eq!(seen.len(), 25);
    assert!(seen.is_sorted_by(|a, b| a.started_at > b.started_at));
    assert_eq!(
        (seen[0].peak, seen[0].mos, seen[0].ended_at),
        (1, Some(4.1), Some(1_076))
    );
    let attic = Page {
        room: Some("attic".to_owned()),
        limit: 100,
        after: None,
    };
    assert_eq!(store.calls(&attic).await.unwrap().len(), 5);
    let people = store.participants(&seen[0].id).await.unwrap();
    assert_eq!(people.len(), 1);
    assert_eq!((people[0].way.as_str(), people[0].freezes), ("whip", 2));
    assert_eq!(people[0].reason.as_deref(), Some("timeout"));
    // Opened again it is still there; old calls go with their people.
    drop(store);
    let store = Store::open(&path).await.unwrap();
    store.forget_before(1_070).await.unwrap();
    let left = store
        .calls(&Page {
            limit: 100,
            ..Page::default()
        })
        .await
        .unwrap();
    assert!(
        left.iter().all(|c| c.ended_at >= Some(1_070)) && left.len() == 7,
        "{}",
        left.len()
    );
    let first = CallId(1).to_string();
    assert!(store.participants(&first).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_batch_is_written_whole_or_not_at_all() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(&folder.path().join("calls.sqlite"))
        .await
        .unwrap();
    // Somebody of a call nobody recorded is nobody.
    let orphan = vec![call(1, "lobby").remove(1)];
    store.write(&orphan).await.unwrap();
    assert!(
        store
            .participants(&CallId(1).to_string())
            .await
            .unwrap()
            .is_empty()
    );
    assert!(
        Store::open(&folder.path().join("none/calls.sqlite"))
            .await
            .is_err()
    );
}

#[test]
fn the_queue_is_bounded_and_drops_are_counted() {
    let dropped = prometheus_client::metrics::counter::Counter::default();
    let (sink, mut waiting) = CallSink::new(dropped.clone());
    let mut hall = crate::hall::Hall::new();
    hall.model = forebay_controlplane::rooms::model::Model::new(
        hall.now,
        hall.limits.clone(),
        crate::hall::keys(),
        Default::default(),
        sink,
    );
    for _ in 0..WAITING {
        hall.join("ada");
    }
    assert!(dropped.get() > 0);
    let mut events = 0;
    while waiting.try_recv().is_ok() {
        events += 1;
    }
    assert_eq!(events, WAITING);
}
