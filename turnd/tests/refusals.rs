//! What an operator is told before anything starts.

mod server;

use std::process::Command;

use server::{Setup, binary, installed, told};

#[test]
fn the_printed_default_is_a_start() {
    let output = binary().arg("--print-default").output().expect("runs");
    assert!(output.status.success());
    let text = String::from_utf8(output.stdout).expect("text");
    for section in [
        "[listen]",
        "[relay]",
        "[auth]",
        "[peers]",
        "[metrics]",
        "[log]",
    ] {
        assert!(text.contains(section), "{section} is missing");
    }
    // It names no secret, so it is refused as it stands, for that reason alone.
    let setup = Setup::new();
    setup.write("turnd.toml", &text, 0o644);
    let refused = told(&setup.run(&["--check"]));
    assert!(refused.contains("anyone could relay"), "{refused}");
    assert_eq!(refused.trim_end().lines().count(), 1, "{refused}");
}

#[test]
fn check_tells_what_would_be_started() {
    let setup = Setup::new();
    let output = setup.run(&["--check"]);
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{}", told(&output));
    assert!(text.contains("1 secrets, 1 users"), "{text}");
    assert!(
        text.contains(&format!("listens on udp {}:{}", setup.address, setup.port)),
        "{text}"
    );
    assert!(text.trim_end().ends_with("turnd.toml: good"), "{text}");
}

#[test]
fn mistakes_are_refused_with_place_and_remedy() {
    let cases: [(&str, &str, &str); 6] = [
        (
            "realm =",
            "relm =",
            "1:1: unknown key `relm`; did you mean `realm`?",
        ),
        (
            "allocations = 1000",
            "allocations = 1000\nalocations = 1",
            "unknown key `limits.alocations`",
        ),
        (
            "ready = 64",
            "ready = 64\nports = \"9\"",
            "write it as \"49152-65535\"",
        ),
        (
            "allow = [",
            "deny = [\"10.0.0.0\"]\nallow = [\"1.2.3.4/99\", ",
            "neither a network",
        ),
        (
            "[listen]",
            "[cores]\npin = [4095]\n[listen]",
            "core 4095 is not among the cores",
        ),
        (
            "addresses = [",
            "addresses = [\"192.0.2.1\", ",
            "192.0.2.1 cannot be bound",
        ),
    ];
    for (good, bad, expected) in cases {
        let setup = Setup::new();
        setup.write("turnd.toml", &setup.config().replacen(good, bad, 1), 0o644);
        let output = setup.run(&["--check"]);
        assert!(!output.status.success());
        let text = told(&output);
        assert!(
            text.contains(expected)
                && text.contains("turnd.toml") != text.contains("cannot be bound"),
            "{text}"
        );
    }
}

#[test]
fn a_secret_everyone_can_read_is_refused() {
    let setup = Setup::new();
    let secret = setup.write("turn.secret", "north", 0o644);
    for arguments in [&["--check"][..], &[]] {
        let output = setup.run(arguments);
        assert!(!output.status.success());
        let text = told(&output);
        assert!(
            text.contains(&format!("chmod 600 {}", secret.display())),
            "{text}"
        );
    }
}

#[test]
fn credentials_of_systemd_are_found_by_name() {
    let setup = Setup::new();
    let elsewhere = tempfile::tempdir().expect("temporary directory");
    std::fs::rename(
        setup.path("turn.secret"),
        elsewhere.path().join("turn.secret"),
    )
    .expect("moved");
    assert!(told(&setup.run(&["--check"])).contains("turn.secret: No such file"));
    let output = binary()
        .args(["--check", "--config"])
        .arg(setup.path("turnd.toml"))
        .env("CREDENTIALS_DIRECTORY", elsewhere.path())
        .output()
        .expect("runs");
    assert!(output.status.success(), "{}", told(&output));
}

#[test]
fn a_port_in_use_is_named() {
    let setup = Setup::new();
    let _taken = std::net::UdpSocket::bind((setup.address, setup.port)).expect("free");
    let text = told(&setup.run(&[]));
    assert!(
        text.contains(&format!(
            "cannot listen on {}:{}",
            setup.address, setup.port
        )),
        "{text}"
    );
}

#[test]
fn too_few_descriptors_are_named_with_the_fix() {
    let setup = Setup::new();
    let output = installed(
        Command::new("prlimit")
            .args([
                "--nofile=24:24",
                env!("CARGO_BIN_EXE_forebay-turnd"),
                "--config",
            ])
            .arg(setup.path("turnd.toml"))
            .output(),
    );
    assert!(!output.status.success());
    let text = told(&output);
    assert!(text.contains("LimitNOFILE"), "{text}");
}
