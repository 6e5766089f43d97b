//! Files that hold secrets.

use std::env;
use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

/// Bytes a file of secrets may have.
const MAX: u64 = 65_536;

/// What stands before the name of a systemd credential.
const CREDENTIAL: &str = "credential:";

/// Where the file is: a path as it stands, or `credential:NAME` in the folder
/// systemd made for this service.
pub fn locate(source: &Path) -> Result<PathBuf, String> {
    let Some(name) = source.to_str().and_then(|s| s.strip_prefix(CREDENTIAL)) else {
        return Ok(source.to_owned());
    };
    if name.is_empty() || name.contains('/') || name == ".." {
        return Err(format!(
            "{source:?}: a systemd credential's name has no slash"
        ));
    }
    let folder = env::var_os("CREDENTIALS_DIRECTORY").ok_or_else(|| {
        format!("{source:?}: $CREDENTIALS_DIRECTORY is not set; add LoadCredential={name}:PATH to the unit")
    })?;
    Ok(Path::new(&folder).join(OsStr::new(name)))
}

/// Reads it whole, unless others may read it too.
pub fn read(source: &Path) -> Result<Zeroizing<String>, String> {
    const OTHERS: u32 = 0o007;
    let path = locate(source)?;
    let shown = path.display();
    let failed = |error: io::Error| format!("{shown}: {error}");
    // Non-blocking, so that a fifo put in its place cannot hang a reload.
    let file = File::options()
        .read(true)
        .custom_flags(libc::O_NONBLOCK)
        .open(&path)
        .map_err(failed)?;
    let metadata = file.metadata().map_err(failed)?;
    if !metadata.is_file() {
        return Err(format!("{shown}: not a plain file"));
    }
    if metadata.mode() & OTHERS != 0 {
        return Err(format!(
            "{shown}: others may access this secret; chmod o= {shown}"
        ));
    }
    if metadata.len() > MAX {
        return Err(format!("{shown}: larger than {MAX} bytes"));
    }
    // Room from the start: growing would leave copies behind.
    let mut text = Zeroizing::new(String::with_capacity(usize::try_from(MAX).unwrap_or(0) + 1));
    file.take(MAX).read_to_string(&mut text).map_err(failed)?;
    Ok(text)
}
