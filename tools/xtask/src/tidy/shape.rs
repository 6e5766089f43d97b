//! File lengths, file names, and the lints table of every crate.

use std::path::Path;

use super::Finding;
use super::source::Source;

/// The longest file.
const MAX_LINES: usize = 600;

/// A file longer than a reader keeps in mind.
pub fn length(source: &Source) -> Option<Finding> {
    let lines = source.text.lines().count();
    (lines > MAX_LINES).then(|| Finding {
        path: source.path.clone(),
        line: MAX_LINES + 1,
        message: format!(
            "{lines} lines; more than {MAX_LINES} means two subjects in one file: split it by subject"
        ),
    })
}

/// A file or folder whose name says nothing about what is inside.
pub fn name(path: &str) -> Option<Finding> {
    let says_nothing = |part: &str| {
        let stem = Path::new(part).file_stem().unwrap_or_default();
        ["util", "utils", "misc", "helpers"]
            .iter()
            .any(|name| stem == *name)
    };
    let part = path.split('/').find(|part| says_nothing(part))?;
    Some(Finding {
        path: path.to_owned(),
        line: 1,
        message: format!(
            "`{part}`: a name has to tell where things are; name it after what it holds"
        ),
    })
}

/// A manifest that does not take the workspace's lints.
pub fn lints(manifest: &Source) -> Option<Finding> {
    let mut lines = manifest.text.lines().map(str::trim);
    let inherits = lines.any(|line| line == "[lints]")
        && lines
            .take_while(|line| !line.starts_with('['))
            .any(|line| line.replace(' ', "") == "workspace=true");
    (!inherits).then(|| Finding {
        path: manifest.path.clone(),
        line: 1,
        message: "no `[lints] workspace = true`; without it this crate is held to nothing"
            .to_owned(),
    })
}
