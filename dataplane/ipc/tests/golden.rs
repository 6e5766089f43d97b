//! The encoding is what both daemons agreed on: a difference here means
//! `VERSION` must rise. `FOREBAY_BLESS=1 cargo test -p forebay-ipc` rewrites
//! the files.

#![allow(clippy::unwrap_used, clippy::panic, reason = "test code")]

mod support;

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use forebay_ipc::codec::{Buffer, Message, decode};
use forebay_ipc::{VERSION, limits};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden")
}

fn hex(bytes: &[u8]) -> String {
    let mut text = String::new();
    for line in bytes.chunks(32) {
        for byte in line {
            write!(text, "{byte:02x}").unwrap();
        }
        text.push('\n');
    }
    text
}

fn check<M: Message + PartialEq>(name: &str, message: &M, seen: &mut BTreeSet<String>) {
    let file = format!("{name}.hex");
    let path = folder().join(&file);
    let mut buffer = Buffer::new();
    let bytes = buffer.encode(message).unwrap();
    if std::env::var_os("FOREBAY_BLESS").is_some() {
        fs::write(&path, hex(bytes)).unwrap();
    }
    let golden = fs::read_to_string(&path).unwrap();
    assert_eq!(
        hex(bytes),
        golden,
        "{file} differs: the encoding changed, so VERSION must rise"
    );
    assert_eq!(&decode::<M>(bytes).unwrap(), message);
    seen.insert(file);
}

#[test]
fn encoding_is_the_agreed_one() {
    assert_eq!(VERSION, 4, "bless the files together with the version");
    let (to, from) = support::samples::all();
    let mut seen = BTreeSet::new();
    for (name, message) in &to {
        check(name, message, &mut seen);
    }
    for (name, message) in &from {
        check(name, message, &mut seen);
    }
    let files: BTreeSet<_> = fs::read_dir(folder())
        .unwrap()
        .map(|e| e.unwrap().file_name().into_string().unwrap())
        .collect();
    assert_eq!(files, seen, "every golden file belongs to a message");
}

#[test]
fn largest_messages_fit() {
    let (to, from) = support::largest::all();
    let mut buffer = Buffer::new();
    for message in &to {
        let length = buffer.encode(message).expect("fits").len();
        assert!(length <= limits::MESSAGE);
    }
    for message in &from {
        let length = buffer.encode(message).expect("fits").len();
        assert!(length <= limits::MESSAGE);
    }
}

#[test]
fn a_later_hello_is_still_understood() {
    // Fields added behind ours are skipped, so the version can be judged.
    let bytes = [
        0x82, 0x00, 0x81, 0x86, 0x18, 0x63, 0x01, 0x61, b'x', 0xf4, 0x82, 0x01, 0x02, 0xf6,
    ];
    let forebay_ipc::ToDataplane::Hello(hello) = decode(&bytes).unwrap() else {
        panic!("a hello")
    };
    assert_eq!(hello.version, 99);
}
