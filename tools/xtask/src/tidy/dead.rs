//! Rust files that no `mod` reaches: they look alive and are never compiled.

use std::collections::{HashMap, HashSet};

use super::Finding;
use super::source::Source;

/// Files of one package that none of its target roots reaches.
pub fn check(roots: &[String], files: &[&Source]) -> Vec<Finding> {
    let by_path: HashMap<&str, &Source> = files.iter().map(|f| (f.path.as_str(), *f)).collect();
    let mut reached: HashSet<String> = HashSet::new();
    let mut open: Vec<(String, bool)> = roots.iter().map(|root| (root.clone(), true)).collect();
    while let Some((path, is_root)) = open.pop() {
        let Some(source) = by_path.get(path.as_str()) else {
            continue;
        };
        if !reached.insert(path) {
            continue;
        }
        for candidate in children(source, is_root) {
            let is_mod = candidate.ends_with("/mod.rs");
            open.push((candidate, is_mod));
        }
    }
    files
        .iter()
        .filter(|file| !reached.contains(&file.path))
        .map(|file| Finding {
            path: file.path.clone(),
            line: 1,
            message: "no `mod` reaches this file, so nobody compiles it: declare it or delete it"
                .to_owned(),
        })
        .collect()
}

/// Where the modules that a file declares may lie.
fn children(source: &Source, is_root: bool) -> Vec<String> {
    let (folder, file) = source.path.rsplit_once('/').unwrap_or(("", &source.path));
    let own = if is_root {
        folder.to_owned()
    } else {
        format!("{folder}/{}", file.trim_end_matches(".rs"))
    };
    let mut found = Vec::new();
    // Inline modules around the declaration, with the offset they end at.
    let mut inside: Vec<(String, usize)> = Vec::new();
    for at in source.words("mod") {
        let after = &source.code[at + 3..];
        let name: String = after
            .trim_start()
            .chars()
            .take_while(|c| c.is_alphanumeric() || *c == '_')
            .collect();
        inside.retain(|(_, end)| at < *end);
        let item = source.item(at);
        let Some(last) = source.code[item.clone()].chars().last() else {
            continue;
        };
        if last == '}' {
            inside.push((name, item.end));
            continue;
        }
        if let Some(path) = path_attribute(source, at) {
            found.push(format!("{folder}/{path}"));
            continue;
        }
        let names = inside.iter().map(|(name, _)| name.as_str());
        let place: Vec<&str> = std::iter::once(own.as_str())
            .chain(names)
            .chain([name.as_str()])
            .collect();
        let place = place.join("/");
        found.push(format!("{place}.rs"));
        found.push(format!("{place}/mod.rs"));
    }
    found
}

/// The value of `#[path = "…"]` directly in front of a declaration.
fn path_attribute(source: &Source, at: usize) -> Option<&str> {
    let start = source.code[..at].rfind("#[path")?;
    // Nothing but the attribute and a visibility may stand in between.
    let between = source.code[start..at].split_once(']')?.1;
    if between.contains([';', '{', '}']) {
        return None;
    }
    source.text[start..at].split('"').nth(1)
}
