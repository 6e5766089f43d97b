//! Files that hold secrets.

use std::env;
use std::fs::File;
use std::io::{self, Read as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

/// Bytes a file of secrets may have.
const MAX: u64 = 65_536;

/// Where a file is: an absolute path as it stands; a relative one among the
/// service's systemd credentials, else beside the configuration.
pub fn locate(name: &Path, config: &Path) -> PathBuf {
    if name.is_absolute() {
        return name.to_owned();
    }
    let credential =
        env::var_os("CREDENTIALS_DIRECTORY").map(|folder| Path::new(&folder).join(name));
    credential
        .filter(|path| path.exists())
        .unwrap_or_else(|| config.parent().unwrap_or(Path::new("")).join(name))
}

/// Reads it whole, unless others may read it too.
pub fn read(path: &Path) -> Result<Zeroizing<String>, String> {
    const OTHERS: u32 = 0o007;
    let shown = path.display();
    let failed = |error: io::Error| format!("{shown}: {error}");
    // Non-blocking, so that a fifo put in its place cannot hang a reload.
    let file = File::options()
        .read(true)
        .custom_flags(libc::O_NONBLOCK)
        .open(path)
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
