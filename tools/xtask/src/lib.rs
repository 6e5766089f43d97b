//! The chores themselves, apart from the command line, so that the test run
//! can call them.

use std::path::{Path, PathBuf};

pub mod run;
pub mod tidy;

/// The folder of the workspace's manifest.
pub fn workspace_root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().nth(2).unwrap_or(here).to_owned()
}
