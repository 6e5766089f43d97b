//! The unix socket: who may have the path, and what a broken peer does.

#![allow(clippy::unwrap_used, clippy::panic, reason = "test code")]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use forebay_ipc::codec::Buffer;
use forebay_ipc::socket::{Connection, ConnectionError, Listening, SocketError};
use forebay_ipc::{FromDataplane, Hello, Role, SnapshotEnd, Text, ToDataplane, VERSION};
use tempfile::TempDir;

fn place() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("dataplane.sock");
    (folder, path)
}

fn hello() -> ToDataplane {
    ToDataplane::Hello(Hello {
        version: VERSION,
        role: Role::Observer,
        software: Text::new("test").unwrap(),
        allocations: false,
    })
}

#[test]
fn messages_pass_and_a_close_is_seen() {
    let (_folder, path) = place();
    let listening = Listening::bind(&path).unwrap();
    assert_eq!(
        fs::metadata(&path).unwrap().permissions().mode() & 0o777,
        0o660
    );
    assert!(listening.accept().unwrap().is_none());

    let client = Connection::open(&path).unwrap();
    let (server, peer) = listening.accept().unwrap().unwrap();
    assert_eq!(peer.pid, std::process::id().cast_signed());
    assert!(peer.trusted());

    let mut buffer = Buffer::new();
    assert!(
        server
            .receive::<ToDataplane>(&mut buffer)
            .unwrap()
            .is_none()
    );
    assert!(client.send(&hello(), &mut buffer).unwrap());
    assert!(client.send(&hello(), &mut buffer).unwrap());
    assert_eq!(
        server.receive::<ToDataplane>(&mut buffer).unwrap(),
        Some(hello())
    );
    assert_eq!(
        server.receive::<ToDataplane>(&mut buffer).unwrap(),
        Some(hello())
    );
    drop(client);
    assert!(matches!(
        server.receive::<ToDataplane>(&mut buffer),
        Err(ConnectionError::Closed)
    ));
    let report = FromDataplane::SnapshotEnd(SnapshotEnd { allocations: 0 });
    assert!(matches!(
        server.send(&report, &mut buffer),
        Err(ConnectionError::Closed)
    ));
}

#[test]
fn a_slow_reader_is_told_apart_from_a_dead_one() {
    let (_folder, path) = place();
    let listening = Listening::bind(&path).unwrap();
    let client = Connection::open(&path).unwrap();
    let (server, _) = listening.accept().unwrap().unwrap();
    let mut buffer = Buffer::new();
    let report = FromDataplane::SnapshotEnd(SnapshotEnd { allocations: 0 });
    let sent = (0..100_000)
        .take_while(|_| server.send(&report, &mut buffer).unwrap())
        .count();
    assert!(sent < 100_000, "the socket buffer is bounded");
    assert_eq!(
        client.receive::<FromDataplane>(&mut buffer).unwrap(),
        Some(report)
    );
}

#[test]
fn the_wrong_kind_of_message_ends_the_connection() {
    let (_folder, path) = place();
    let listening = Listening::bind(&path).unwrap();
    let client = Connection::open(&path).unwrap();
    let (server, _) = listening.accept().unwrap().unwrap();
    let mut buffer = Buffer::new();
    client.send(&hello(), &mut buffer).unwrap();
    assert!(matches!(
        server.receive::<FromDataplane>(&mut buffer),
        Err(ConnectionError::Decode(_))
    ));
}

#[test]
fn a_dead_predecessor_is_replaced_and_a_living_one_respected() {
    let (_folder, path) = place();
    let first = Listening::bind(&path).unwrap();
    assert!(matches!(Listening::bind(&path), Err(SocketError::InUse(_))));
    // A crash leaves the path behind; a hard link keeps it over our tidy drop.
    let kept = path.with_extension("kept");
    fs::hard_link(&path, &kept).unwrap();
    drop(first);
    assert!(!path.exists(), "the path is removed");
    fs::rename(&kept, &path).unwrap();
    let second = Listening::bind(&path).unwrap();
    Connection::open(&path).unwrap();
    drop(second);
}

#[test]
fn a_successors_path_is_left_alone() {
    let (_folder, path) = place();
    let first = Listening::bind(&path).unwrap();
    fs::remove_file(&path).unwrap();
    let _second = Listening::bind(&path).unwrap();
    drop(first);
    Connection::open(&path).unwrap();
}

#[test]
fn unsafe_places_are_refused_with_the_remedy() {
    let (folder, path) = place();
    fs::write(&path, "").unwrap();
    assert!(matches!(
        Listening::bind(&path),
        Err(SocketError::NotASocket(_))
    ));
    fs::remove_file(&path).unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o777)).unwrap();
    let error = Listening::bind(&path).unwrap_err().to_string();
    assert!(error.contains("chmod o-w"), "{error}");
    let error = Listening::bind(&folder.path().join("none/dataplane.sock"))
        .unwrap_err()
        .to_string();
    assert!(error.contains("create it"), "{error}");
    let long = folder.path().join("x".repeat(120));
    assert!(matches!(
        Listening::bind(&long),
        Err(SocketError::PathTooLong(_))
    ));
    assert!(matches!(
        Connection::open(&long),
        Err(SocketError::PathTooLong(_))
    ));
}
