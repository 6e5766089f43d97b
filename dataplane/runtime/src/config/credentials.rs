//! Secrets and users from their files. Nothing here ends up in a message but
//! names of files, ids and line numbers.

use std::collections::HashSet;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use forebay_turn::{Credentials, Secret, User};
use zeroize::Zeroizing;

use super::settings::Auth;

/// The longest credential file that is read.
const LONGEST_FILE: u64 = 16 << 20;

/// A credential file that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CredentialsError {
    /// It cannot be opened or read.
    #[error("{file}: {error}", file = file.display())]
    Unreadable {
        /// The file.
        file: PathBuf,
        /// What the system says.
        error: io::Error,
    },
    /// Everyone on the host may read it.
    #[error("{file}: readable by everyone on this host (mode {mode:04o}); run `chmod 600 {file}`", file = file.display())]
    WorldReadable {
        /// The file.
        file: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// Its content makes no sense.
    #[error("{file}: {message}", file = file.display())]
    Content {
        /// The file.
        file: PathBuf,
        /// What is wrong.
        message: String,
    },
}

/// Reads what `[auth]` names. `config_file` is where relative names start when
/// they are not systemd credentials.
pub fn load_credentials(auth: &Auth, config_file: &Path) -> Result<Credentials, CredentialsError> {
    let locate = |name: &Path| locate(name, config_file);
    let mut credentials = Credentials::default();
    for entry in &auth.secrets {
        let file = locate(&entry.file);
        let text = read_private(&file)?;
        let key = text.trim_ascii();
        if key.is_empty() {
            return Err(CredentialsError::Content {
                file,
                message: "holds no secret; make one with `openssl rand -hex 32`".to_owned(),
            });
        }
        credentials.secrets.push(Secret {
            id: entry.id.clone(),
            key: key.to_vec(),
            not_after: entry.not_after.map(|moment| moment.0),
        });
    }
    if let Some(name) = &auth.users_file {
        let file = locate(name);
        let text = read_private(&file)?;
        credentials.users =
            users(&text).map_err(|message| CredentialsError::Content { file, message })?;
    }
    Ok(credentials)
}

/// Reads a file that holds one secret, found as those of `[auth]` are.
pub(crate) fn read_secret(
    name: &Path,
    config_file: &Path,
) -> Result<Zeroizing<Vec<u8>>, CredentialsError> {
    let file = locate(name, config_file);
    let text = read_private(&file)?;
    let secret = text.trim_ascii();
    if secret.is_empty() {
        return Err(CredentialsError::Content {
            file,
            message: "holds no secret".to_owned(),
        });
    }
    Ok(Zeroizing::new(secret.to_vec()))
}

/// A relative name is a systemd credential or lies beside the configuration.
pub(super) fn locate(name: &Path, config_file: &Path) -> PathBuf {
    if name.is_absolute() {
        return name.to_owned();
    }
    if let Some(directory) = std::env::var_os("CREDENTIALS_DIRECTORY") {
        let candidate = Path::new(&directory).join(name);
        if candidate.exists() {
            return candidate;
        }
    }
    config_file.parent().unwrap_or(Path::new("")).join(name)
}

/// A file that not everyone may read.
pub(super) fn read_private(file: &Path) -> Result<Zeroizing<Vec<u8>>, CredentialsError> {
    read(file, true)
}

/// A file of reasonable size; `private`: not everyone may be able to read it.
pub(super) fn read(file: &Path, private: bool) -> Result<Zeroizing<Vec<u8>>, CredentialsError> {
    let unreadable = |error| CredentialsError::Unreadable {
        file: file.to_owned(),
        error,
    };
    let handle = File::open(file).map_err(unreadable)?;
    // Judged on the open file: the name may be exchanged meanwhile.
    let metadata = handle.metadata().map_err(unreadable)?;
    if !metadata.is_file() {
        return Err(CredentialsError::Content {
            file: file.to_owned(),
            message: "is not a regular file".to_owned(),
        });
    }
    let mode = metadata.mode() & 0o7777;
    if private && mode & 0o007 != 0 {
        return Err(CredentialsError::WorldReadable {
            file: file.to_owned(),
            mode,
        });
    }
    if metadata.len() > LONGEST_FILE {
        return Err(CredentialsError::Content {
            file: file.to_owned(),
            message: "exceeds 16 MiB".to_owned(),
        });
    }
    let mut text = Zeroizing::new(Vec::with_capacity(
        usize::try_from(metadata.len()).unwrap_or(0) + 1,
    ));
    handle
        .take(LONGEST_FILE)
        .read_to_end(&mut text)
        .map_err(unreadable)?;
    Ok(text)
}

/// One `name:password` per line; empty lines and lines that start with `#` are
/// skipped. The password may hold further colons.
fn users(text: &[u8]) -> Result<Vec<User>, String> {
    let text = std::str::from_utf8(text).map_err(|_| "is not UTF-8".to_owned())?;
    let mut users = Vec::new();
    let mut names = HashSet::new();
    for (index, line) in text.lines().enumerate() {
        let number = index + 1;
        if line.trim().is_empty() || line.starts_with('#') {
            continue;
        }
        let Some((name, password)) = line.split_once(':') else {
            return Err(format!("line {number}: expected name:password"));
        };
        if name.is_empty() || password.is_empty() {
            return Err(format!(
                "line {number}: name and password must not be empty"
            ));
        }
        // RFC 8489 §14.3 bounds USERNAME.
        if name.len() > 508 {
            return Err(format!("line {number}: the name exceeds 508 bytes"));
        }
        if !names.insert(name) {
            return Err(format!("line {number}: the name stands twice"));
        }
        users.push(User {
            name: name.to_owned(),
            password: password.to_owned(),
        });
    }
    if users.is_empty() {
        return Err("holds no user; expected lines of name:password".to_owned());
    }
    Ok(users)
}
