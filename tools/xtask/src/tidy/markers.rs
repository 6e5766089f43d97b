//! Notes that promise work: it is done now, or it is written down where work
//! is planned.

use super::Finding;
use super::source::Source;

const MARKERS: [&str; 4] = ["TODO", "FIXME", "XXX", "HACK"];

/// Markers in comments, and anywhere in files other than Rust.
pub fn check(source: &Source) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (index, line) in source.comments.lines().enumerate() {
        let mut words = line.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
        if let Some(marker) = words.find(|word| MARKERS.contains(word)) {
            findings.push(Finding {
                path: source.path.clone(),
                line: index + 1,
                message: format!("{marker}: finish it or drop it; a marker is read by nobody"),
            });
        }
    }
    findings
}
