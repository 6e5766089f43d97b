//! Tests that cannot fail: they run code and look at nothing.

use std::collections::HashSet;

use super::Finding;
use super::source::Source;

/// What makes a test able to fail. A call of a function of the same package
/// that has one of these counts as well.
const EVIDENCE: [&str; 6] = [
    "assert",
    "?",
    ".unwrap",
    ".expect",
    "panic!",
    "should_panic",
];

struct Function<'a> {
    name: &'a str,
    body: &'a str,
    asserts: bool,
}

/// Tests without evidence in the files of one package.
pub fn check(files: &[&Source]) -> Vec<Finding> {
    let mut functions: Vec<Function<'_>> = files.iter().flat_map(|file| functions(file)).collect();
    let mut asserting: HashSet<String> = HashSet::new();
    // As long as a round finds another: chains of helpers are short.
    loop {
        let before = asserting.len();
        for function in functions.iter_mut().filter(|f| !f.asserts) {
            function.asserts = calls(function.body).any(|name| asserting.contains(name));
        }
        asserting.extend(
            functions
                .iter()
                .filter(|f| f.asserts)
                .map(|f| f.name.to_owned()),
        );
        if asserting.len() == before {
            break;
        }
    }
    let mut findings = Vec::new();
    for file in files {
        for at in tests(file) {
            let item = file.item(at);
            let text = &file.code[item];
            if evidence(text) || calls(text).any(|name| asserting.contains(name)) {
                continue;
            }
            findings.push(Finding {
                path: file.path.clone(),
                line: file.line(at),
                message: "a test without an assertion: it can only fail by accident; say what has to hold".to_owned(),
            });
        }
    }
    findings
}

fn evidence(code: &str) -> bool {
    EVIDENCE.iter().any(|sign| code.contains(sign))
}

/// Offsets of test attributes.
fn tests(file: &Source) -> impl Iterator<Item = usize> {
    let marks = ["#[test]", "#[tokio::test"];
    marks
        .into_iter()
        .flat_map(|mark| file.code.match_indices(mark).map(|(at, _)| at))
}

fn functions(file: &Source) -> Vec<Function<'_>> {
    file.words("fn")
        .map(|at| {
            let body = &file.code[file.item(at)];
            let name = body[2..].trim_start();
            let end = name
                .find(|c: char| !c.is_alphanumeric() && c != '_')
                .unwrap_or(name.len());
            Function {
                name: &name[..end],
                body,
                asserts: evidence(body),
            }
        })
        .filter(|function| !function.name.is_empty())
        .collect()
}

/// Names in front of an opening parenthesis or a macro's bang.
fn calls(code: &str) -> impl Iterator<Item = &str> {
    code.match_indices(['(', '!']).map(|(at, _)| {
        let before = &code[..at];
        let start = before
            .rfind(|c: char| !c.is_alphanumeric() && c != '_')
            .map_or(0, |i| i + 1);
        &before[start..]
    })
}
