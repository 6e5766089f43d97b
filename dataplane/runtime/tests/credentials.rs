//! Secrets and users from files.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use forebay_runtime::config::{Auth, SecretFile, load_credentials};

struct Directory(tempfile::TempDir);

impl Directory {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("temporary directory"))
    }

    fn write(&self, name: &str, content: &[u8], mode: u32) -> PathBuf {
        let file = self.0.path().join(name);
        fs::write(&file, content).expect("written");
        fs::set_permissions(&file, fs::Permissions::from_mode(mode)).expect("mode set");
        file
    }

    fn config(&self) -> PathBuf {
        self.0.path().join("forebay.toml")
    }
}

fn secret(id: &str, file: &Path) -> SecretFile {
    SecretFile {
        id: id.to_owned(),
        file: file.to_owned(),
        not_after: None,
    }
}

#[test]
fn secrets_and_users_are_read_together() {
    let directory = Directory::new();
    let first = directory.write("first", b"north\n", 0o600);
    directory.write("second", b"south", 0o640);
    let users = directory.write("users", b"# staff\n\nann:p:w\nbob:x\n", 0o600);
    let auth = Auth {
        secrets: vec![secret("1", &first), secret("2", Path::new("second"))],
        users_file: Some(users),
        ..Auth::default()
    };
    let read = load_credentials(&auth, &directory.config()).expect("readable");
    assert_eq!(read.secrets[0].key, b"north");
    assert_eq!(
        read.secrets[1].key, b"south",
        "a relative name starts beside the configuration"
    );
    assert_eq!(
        (read.users[0].name.as_str(), read.users[0].password.as_str()),
        ("ann", "p:w")
    );
    assert_eq!(read.users[1].name, "bob");
}

#[test]
fn a_file_that_everyone_may_read_is_refused_with_the_fix() {
    let directory = Directory::new();
    let file = directory.write("s", b"north", 0o644);
    let auth = Auth {
        secrets: vec![secret("1", &file)],
        ..Auth::default()
    };
    let error = load_credentials(&auth, &directory.config())
        .expect_err("must be refused")
        .to_string();
    assert!(
        error.contains("mode 0644") && error.contains(&format!("chmod 600 {}", file.display())),
        "{error}"
    );
    assert!(!error.contains("north"));
}

#[test]
fn content_that_makes_no_sense_is_refused_without_quoting_it() {
    let directory = Directory::new();
    let with_users = |content: &[u8]| {
        let file = directory.write("users", content, 0o600);
        let auth = Auth {
            users_file: Some(file),
            ..Auth::default()
        };
        load_credentials(&auth, &directory.config())
            .expect_err("must be refused")
            .to_string()
    };
    assert!(with_users(b"ann:hunter2\nbob\n").ends_with("line 2: expected name:password"));
    assert!(with_users(b"ann:\n").contains("must not be empty"));
    let twice = with_users(b"ann:hunter2\nann:hunter3\n");
    assert!(twice.ends_with("line 2: the name stands twice") && !twice.contains("hunter"));
    assert!(with_users(b"# nobody\n").contains("holds no user"));
    assert!(with_users(b"\xff\xfe:x\n").contains("not UTF-8"));

    let empty = directory.write("s", b"\n", 0o600);
    let auth = Auth {
        secrets: vec![secret("1", &empty)],
        ..Auth::default()
    };
    let error = load_credentials(&auth, &directory.config())
        .expect_err("must be refused")
        .to_string();
    assert!(error.contains("holds no secret"), "{error}");
    let auth = Auth {
        secrets: vec![secret("1", directory.0.path())],
        ..Auth::default()
    };
    let error = load_credentials(&auth, &directory.config())
        .expect_err("must be refused")
        .to_string();
    assert!(error.contains("not a regular file"), "{error}");
}
