//! The configuration file: what it accepts, what it says about the rest.

#![allow(clippy::unwrap_used, reason = "test code")]

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use forebay_controlplane::api_keys::ApiKeys;
use forebay_controlplane::config::keys::Shown;
use forebay_controlplane::config::{Config, SECTIONS};
use forebay_controlplane::settings::Settings;
use tempfile::TempDir;

fn complaint(text: &str) -> String {
    Config::parse(text).unwrap_err().to_string()
}

#[test]
fn the_printed_default_is_the_default() {
    let printed = Config::print_default();
    assert_eq!(Config::parse(&printed).unwrap(), Config::default());
    assert_eq!(Config::parse("").unwrap(), Config::default());
}

#[test]
fn every_example_is_accepted_and_every_key_is_printed_with_its_documentation() {
    let mut uncommented = String::new();
    for line in Config::print_default().lines() {
        let example = line
            .strip_prefix('#')
            .filter(|rest| !rest.starts_with(' ') && rest.contains(" = "));
        uncommented.push_str(example.unwrap_or(line));
        uncommented.push('\n');
    }
    let config = Config::parse(&uncommented).unwrap();
    assert_eq!(config.turn.secrets[0].id, "2026-11");
    assert!(config.metrics.listen.is_some());
    let printed = Config::print_default();
    for section in SECTIONS {
        assert!(printed.contains(&format!("\n[{}]\n", section.name)));
        for key in section.keys {
            let mark = if key.shown == Shown::Example { "#" } else { "" };
            assert!(
                printed.contains(&format!("\n{mark}{} = {}\n", key.name, key.text)),
                "{}",
                key.name
            );
            assert!(
                !key.documentation.is_empty(),
                "{} has documentation",
                key.name
            );
        }
    }
}

#[test]
fn unknown_keys_name_the_nearest() {
    let said = complaint("[turn]\nttl_defualt = \"1h\"\n");
    assert_eq!(
        said,
        "unknown key `turn.ttl_defualt`; did you mean `turn.ttl_default`?"
    );
    let said = complaint("[listen]\nsocket = \"/tmp/x\"\n");
    assert_eq!(
        said,
        "unknown key `listen.socket`; did you mean `dataplane.socket`?"
    );
    let said = complaint("[peer]\nallow = []\n");
    assert_eq!(said, "unknown section `peer`; did you mean `peers`?");
    let said = complaint("[turn]\nsecrets = [{ id = \"a\", flie = \"b\" }]\n");
    assert_eq!(
        said,
        "unknown key `turn.secrets.flie`; did you mean `turn.secrets.file`?"
    );
    let said = complaint("[turn]\nrelm = \"a\"\nsecrts = []\n");
    assert_eq!(said.lines().count(), 2, "all at once: {said}");
}

#[test]
fn values_are_judged() {
    assert!(complaint("[turn]\nttl_default = \"2d\"\n").contains("ttl_default must not exceed"));
    assert!(complaint("[turn]\nttl_max = \"never\"\n").contains("ttl_max"));
    assert!(complaint("[peers]\nallow = [\"10.0.0.0/33\"]\n").contains("allow"));
    assert!(complaint("[peers]\nlowest_port = 0\n").contains("at least 1"));
    assert!(complaint("[rooms]\nmax_received = 61\n").contains("2 to 60"));
    assert!(complaint("[rooms]\nvideo_codecs = []\n").contains("at least one codec"));
    assert!(complaint("[rooms]\nvideo_codecs = [\"vp8\", \"vp8\"]\n").contains("none twice"));
    assert!(complaint("[rooms]\nvideo_codecs = [\"h265\"]\n").contains("h265"));
    assert!(complaint("listen = 3\n").contains("listen"));
    assert!(complaint("[[[").contains("TOML parse error"));
}

#[test]
fn turn_urls_are_checked() {
    for url in [
        "turn:turn.example.org",
        "turn:192.0.2.1:3478?transport=udp",
        "turns:turn.example.org:443?transport=tcp",
        "turn:[2001:db8::1]:3478",
        "turn:[2001:db8::1]",
    ] {
        assert!(
            Config::parse(&format!("[turn]\nurls = [{url:?}]\n")).is_ok(),
            "{url}"
        );
    }
    for url in [
        "stun:turn.example.org",
        "turn:",
        "turn:host:0",
        "turn:host:65536",
        "turn:host:",
        "turn:2001:db8::1:3478",
        "turn:[2001:db8::1",
        "turn:[host]:1",
        "turn:[2001:db8::1]x",
        "turn:host?transport=sctp",
        "turn:ho st",
    ] {
        assert!(
            complaint(&format!("[turn]\nurls = [{url:?}]\n")).contains("turn.urls"),
            "{url}"
        );
    }
}

#[test]
fn what_takes_a_restart_is_named_and_kept() {
    let running = Config::default();
    let mut next = Config::parse(
        "[listen]\nhttp = \"127.0.0.1:1\"\n[log]\nusage = true\n[dataplane]\nsocket = \"/x\"\n[limits]\nburst = 7\n",
    )
    .unwrap();
    assert_eq!(
        next.needs_restart(&running),
        ["listen.http", "dataplane.socket"]
    );
    next.keep_fixed(&running);
    assert!(next.needs_restart(&running).is_empty());
    assert!(
        next.log.usage && next.limits.burst == 7,
        "the rest is taken"
    );
}

struct Files(TempDir);

impl Files {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn put(&self, name: &str, text: &str, mode: u32) -> PathBuf {
        let path = self.0.path().join(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        path
    }

    fn load(&self, config: &str) -> Result<Settings, String> {
        let path = self.put("controlplane.toml", config, 0o644);
        Settings::load(&path).map_err(|error| error.to_string())
    }
}

const BOTH: &str =
    "[turn]\nsecrets = [{ id = \"a\", file = \"turn.secret\" }]\n[api]\nkeys_file = \"api.keys\"\n";

#[test]
fn secrets_are_read_beside_the_configuration() {
    let files = Files::new();
    files.put("turn.secret", "north\n", 0o600);
    files.put("api.keys", "# who\nweb:0123456789abcdef\n", 0o640);
    let settings = files.load(BOTH).unwrap();
    assert_eq!(&settings.secrets[0].key.expose()[..], b"north");
    assert_eq!(settings.api_keys.find("0123456789abcdef"), Some("web"));
    assert_eq!(settings.api_keys.find("0123456789abcdeg"), None);
    let shown = format!("{settings:?}");
    assert!(
        !shown.contains("north") && !shown.contains("0123456789abcdef"),
        "{shown}"
    );
}

#[test]
fn files_others_can_read_are_refused_with_the_remedy() {
    let files = Files::new();
    let secret = files.put("turn.secret", "north\n", 0o644);
    let keys = files.put("api.keys", "web:0123456789abcdef\n", 0o604);
    let said = files.load(BOTH).unwrap_err();
    assert!(
        said.contains(&format!("chmod o= {}", secret.display())),
        "{said}"
    );
    assert!(
        said.contains(&format!("chmod o= {}", keys.display())),
        "{said}"
    );
}

#[test]
fn everything_that_is_wrong_is_said_at_once() {
    let files = Files::new();
    let said = files.load("").unwrap_err();
    assert!(
        said.contains("turn.secrets is empty") && said.contains("api.keys_file: is not set"),
        "{said}"
    );
    files.put("turn.secret", "two\nlines\n", 0o600);
    files.put("api.keys", "web:short\n", 0o600);
    files.put("users", "ann:x\nann:y\n", 0o600);
    let said = files
        .load(
            "[turn]\nusers_file = \"users\"\nsecrets = [{ id = \"a\", file = \"turn.secret\" }, { id = \"a\", file = \
             \"none\" }, { id = \"b\", file = \"/\" }]\n[api]\nkeys_file = \"api.keys\"\n",
        )
        .unwrap_err();
    for part in [
        "more than one line",
        "used twice",
        "No such file",
        "not a plain file",
        "at least 16",
        "line 2: this name",
    ] {
        assert!(said.contains(part), "{part} in {said}");
    }
    assert!(
        !said.contains("short") && !said.contains("lines\n"),
        "no secret is repeated: {said}"
    );
}

#[test]
fn a_secret_ends_when_its_time_has_come() {
    let files = Files::new();
    files.put("new", "new", 0o600);
    files.put("old", "old", 0o600);
    files.put("api.keys", "web:0123456789abcdef\n", 0o600);
    let config = |end: &str| {
        format!(
            "[turn]\nsecrets = [{{ id = \"old\", file = \"old\", not_after = \"{end}\" }}, {{ id = \"new\", file = \
             \"new\" }}]\n[api]\nkeys_file = \"api.keys\"\n"
        )
    };
    let settings = files.load(&config("2027-01-01T00:00:00Z")).unwrap();
    let end = 1_798_761_600;
    assert_eq!(&*settings.signer(end - 1).unwrap().id, "old");
    assert_eq!(&*settings.signer(end).unwrap().id, "new");
    assert!(
        files
            .load(&config("tomorrow"))
            .unwrap_err()
            .contains("not a UTC time")
    );
}

#[test]
fn api_keys_may_be_kept_as_digests() {
    // printf %s 0123456789abcdef | sha256sum
    let digest = "9f9f5111f7b27a781f1f1ddde5ebc2dd2b796bfc7365c9c28b548e564176929f";
    let keys = ApiKeys::parse(&format!("web:sha256:{digest}\nother:fedcba9876543210")).unwrap();
    assert_eq!(keys.find("0123456789abcdef"), Some("web"));
    assert_eq!(keys.find("fedcba9876543210"), Some("other"));
    assert_eq!(keys.find(digest), None);
    assert!(
        ApiKeys::parse("# nothing\n")
            .unwrap_err()
            .contains("no key")
    );
    assert!(
        ApiKeys::parse("web:sha256:12")
            .unwrap_err()
            .contains("line 1")
    );
    assert!(
        ApiKeys::parse("web 0123456789abcdef")
            .unwrap_err()
            .contains("name:key")
    );
}

#[test]
fn the_files_to_watch_are_those_named() {
    let files = Files::new();
    files.put("turn.secret", "north\n", 0o600);
    files.put("api.keys", "web:0123456789abcdef\n", 0o600);
    let settings = files.load(BOTH).unwrap();
    let config: &Path = &files.0.path().join("controlplane.toml");
    let names: Vec<_> = settings
        .files(config)
        .iter()
        .map(|p| p.file_name().unwrap().to_owned())
        .collect();
    assert_eq!(names, ["turn.secret", "api.keys", "controlplane.toml"]);
}
