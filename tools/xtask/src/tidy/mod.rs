//! What neither compiler nor clippy checks. Each rule is a function from
//! plain values to findings, one file per rule.

use std::fmt;
use std::path::Path;

use anyhow::Context;
use cargo_metadata::MetadataCommand;

pub mod assertions;
pub mod banned;
pub mod dead;
pub mod edges;
pub mod markers;
pub mod named_tests;
pub mod shape;
pub mod source;

use source::Source;

/// One violation.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Finding {
    /// Relative to the workspace.
    pub path: String,
    /// From one.
    pub line: usize,
    /// What is wrong and why that matters.
    pub message: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.path, self.line, self.message)
    }
}

/// Runs every rule over the workspace at `root`.
///
/// # Errors
/// When cargo cannot describe the workspace or a file cannot be read.
pub fn check(root: &Path) -> anyhow::Result<Vec<Finding>> {
    let metadata = MetadataCommand::new()
        .manifest_path(root.join("Cargo.toml"))
        .no_deps()
        .other_options(["--offline".to_owned()])
        .exec()
        .context("cargo metadata")?;
    let sources = source::load(root)?;
    let packages = edges::packages(&metadata, root);

    let mut findings = edges::check(&packages);
    findings.extend(named_tests::check(&sources));
    for source in &sources {
        findings.extend(shape::length(source));
        findings.extend(shape::name(&source.path));
        findings.extend(markers::check(source));
        findings.extend(banned::check(source));
    }
    for package in &packages {
        let manifest = sources.iter().find(|s| s.path == package.manifest);
        findings.extend(manifest.and_then(shape::lints));
        let own: Vec<&Source> = package.rust_files(&sources).collect();
        findings.extend(dead::check(&package.roots, &own));
        findings.extend(assertions::check(&own));
    }
    findings.sort();
    Ok(findings)
}
