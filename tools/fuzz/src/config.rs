//! The configuration file: any text is accepted or refused with a place in
//! the file, for either process.

use std::path::Path;

use forebay_runtime::config::{Role, Settings};

pub(crate) fn run(bytes: &[u8]) {
    let Ok(text) = core::str::from_utf8(bytes) else {
        return;
    };
    for role in [Role::Standalone, Role::Controlled] {
        if let Err(error) = Settings::parse(text, Path::new("fuzz.toml"), role) {
            assert!(error.to_string().contains("fuzz.toml"));
        }
    }
}
