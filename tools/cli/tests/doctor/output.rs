//! What people and programs are shown.

use std::process::Command;

use super::Tree;

#[test]
fn text_has_no_colour_where_nobody_sees_it_and_fixes_stand_on_their_own_line() {
    let tree = Tree::new();
    tree.write("proc/sys/net/core/rmem_max", "212992\n");
    let output = tree.run(&[]);
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(!text.contains('\u{1b}'), "{text}");
    assert!(
        text.lines().any(|line| line
            .trim_start()
            .starts_with("> sysctl -w net.core.rmem_max=1048576")),
        "{text}"
    );
    assert!(
        text.lines()
            .any(|line| line.starts_with("warning  buffers")),
        "{text}"
    );
    let widest = text
        .lines()
        .filter(|line| !line.trim_start().starts_with('>'))
        .map(|line| line.chars().count())
        .max();
    assert!(widest <= Some(100), "{text}");
}

#[test]
fn json_is_complete() {
    let tree = Tree::new();
    tree.write("proc/sys/kernel/io_uring_disabled", "2\n");
    let output = tree.run(&["--json"]);
    assert_eq!(output.status.code(), Some(2));
    let value: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(value["level"], "failed");
    assert_eq!(value["about"]["server"]["pid"], 700);
    assert_eq!(value["about"]["configuration"], "/etc/forebay/turnd.toml");
    assert!(value["findings"].as_array().expect("findings").len() > 8);
}

#[test]
fn a_configuration_that_cannot_be_read_is_an_error() {
    let tree = Tree::new();
    tree.write("etc/forebay/turnd.toml", "realm = \n");
    let output = tree.run(&[]);
    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(text.contains("/etc/forebay/turnd.toml"), "{text}");
    let output = Command::new(env!("CARGO_BIN_EXE_forebay"))
        .args(["doctor", "--config", "/nowhere/turnd.toml"])
        .output()
        .expect("runs");
    assert_eq!(output.status.code(), Some(1));
}

#[test]
fn an_empty_folder_is_answered_too() {
    let folder = tempfile::tempdir().expect("temporary directory");
    let output = Command::new(env!("CARGO_BIN_EXE_forebay"))
        .args(["doctor", "--root"])
        .arg(folder.path())
        .output()
        .expect("runs");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.contains("no server is running"), "{text}");
    assert!(text.contains("no configuration file"), "{text}");
}
