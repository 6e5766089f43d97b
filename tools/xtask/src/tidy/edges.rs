//! The only legal edges between crates, and what each package consists of.

use std::path::Path;

use cargo_metadata::{DependencyKind, Metadata};

use super::Finding;
use super::source::Source;

/// A crate and the crates it is built on. What those are built on may be
/// named too: it is part of their interface.
const EDGES: &[(&str, &[&str])] = &[
    ("forebay-wire", &[]),
    ("forebay-turn", &["forebay-wire"]),
    ("forebay-media", &["forebay-wire"]),
    (
        "forebay-engine",
        &["forebay-turn", "forebay-media", "forebay-wire"],
    ),
    ("forebay-sys", &[]),
    ("forebay-ipc", &[]),
    (
        "forebay-runtime",
        &["forebay-engine", "forebay-sys", "forebay-ipc"],
    ),
    ("forebay-dataplane", &["forebay-runtime", "forebay-ipc"]),
    ("forebay-turnd", &["forebay-runtime"]),
    ("forebay-controlplane", &["forebay-ipc"]),
    ("forebay-cli", &["forebay-ipc"]),
];

/// Crates that measure, test and maintain: they may name every library, and
/// nothing but their like may name them.
const TOOLS: &[&str] = &["forebay-sim", "forebay-fuzz", "forebay-benches", "xtask"];

/// What a sans-IO crate may not be built on, however conveniently.
const NOT_SANS_IO: &[&str] = &[
    "getrandom",
    "io-uring",
    "libc",
    "log",
    "nix",
    "rand",
    "socket2",
    "tokio",
    "tracing",
];
const SANS_IO: &[&str] = &[
    "forebay-wire",
    "forebay-turn",
    "forebay-media",
    "forebay-engine",
];

/// A package of the workspace.
#[derive(Debug, Clone)]
pub struct Package {
    /// As in its manifest.
    pub name: String,
    /// The manifest's path, relative to the workspace.
    pub manifest: String,
    /// Names of what is shipped with it: normal and build dependencies.
    pub dependencies: Vec<String>,
    /// The root files of its targets, relative to the workspace.
    pub roots: Vec<String>,
}

impl Package {
    /// The Rust files in its folder, those of packages within it left out.
    pub fn rust_files<'a>(&'a self, sources: &'a [Source]) -> impl Iterator<Item = &'a Source> {
        let folder = self.manifest.trim_end_matches("Cargo.toml");
        let nested = move |path: &str| {
            sources.iter().any(|other| {
                other.path != self.manifest
                    && other.path.strip_suffix("Cargo.toml").is_some_and(|inner| {
                        inner.len() > folder.len()
                            && inner.starts_with(folder)
                            && path.starts_with(inner)
                    })
            })
        };
        sources.iter().filter(move |s| {
            s.path.ends_with(".rs") && s.path.starts_with(folder) && !nested(&s.path)
        })
    }
}

/// The workspace's packages.
pub fn packages(metadata: &Metadata, root: &Path) -> Vec<Package> {
    let relative = |path: &Path| {
        let path = path.strip_prefix(root).unwrap_or(path);
        path.to_string_lossy().replace('\\', "/")
    };
    let of = |package: &cargo_metadata::Package| Package {
        name: package.name.to_string(),
        manifest: relative(package.manifest_path.as_std_path()),
        dependencies: package
            .dependencies
            .iter()
            .filter(|dependency| dependency.kind != DependencyKind::Development)
            .map(|dependency| dependency.name.clone())
            .collect(),
        roots: package
            .targets
            .iter()
            .map(|t| relative(t.src_path.as_std_path()))
            .collect(),
    };
    metadata.workspace_packages().into_iter().map(of).collect()
}

/// Edges that the design does not draw, and crates it does not know.
pub fn check(packages: &[Package]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for package in packages {
        let finding = |message: String| Finding {
            path: package.manifest.clone(),
            line: 1,
            message,
        };
        let tool = TOOLS.contains(&package.name.as_str());
        let allowed = reachable(&package.name);
        if !tool && !EDGES.iter().any(|(name, _)| *name == package.name) {
            findings.push(finding(format!(
                "`{}` is not in the design: a crate exists only where the compiler must enforce a boundary",
                package.name
            )));
            continue;
        }
        for dependency in &package.dependencies {
            let name = dependency.as_str();
            let own = packages.iter().any(|p| p.name == name);
            let forbidden_tool = TOOLS.contains(&name) && !tool;
            if own && (forbidden_tool || !tool && !allowed.contains(&name)) {
                findings.push(finding(format!(
                    "`{}` may not depend on `{name}`: the design draws no such edge",
                    package.name
                )));
            }
            if SANS_IO.contains(&package.name.as_str()) && NOT_SANS_IO.contains(&name) {
                findings.push(finding(format!(
                    "`{}` may not depend on `{name}`: it is sans-IO, time and randomness are arguments",
                    package.name
                )));
            }
        }
    }
    findings
}

fn reachable(name: &str) -> Vec<&'static str> {
    let below = |name: &str| {
        EDGES
            .iter()
            .find(|(n, _)| *n == name)
            .map_or(&[][..], |(_, to)| *to)
    };
    let mut found: Vec<&'static str> = below(name).to_vec();
    let mut next = 0;
    while let Some(name) = found.get(next).copied() {
        found.extend(
            below(name)
                .iter()
                .filter(|n| !found.contains(n))
                .copied()
                .collect::<Vec<_>>(),
        );
        next += 1;
    }
    found
}
