//! Documents that say which test shows something, as `path/file.rs::name`:
//! the test is there.

use super::Finding;
use super::source::Source;

/// Tests that documents name and no file has.
pub fn check(sources: &[Source]) -> Vec<Finding> {
    let documents = sources.iter().filter(|source| source.path.ends_with(".md"));
    let mut findings = Vec::new();
    for document in documents {
        for (index, line) in document.text.lines().enumerate() {
            // Every other piece stands between backticks.
            for quoted in line.split('`').skip(1).step_by(2) {
                let Some((file, name)) = quoted.split_once(".rs::") else {
                    continue;
                };
                let path = format!("{file}.rs");
                let found = sources.iter().find(|source| source.path == path);
                if !found.is_some_and(|source| has_test(source, name)) {
                    findings.push(Finding {
                        path: document.path.clone(),
                        line: index + 1,
                        message: format!(
                            "{path} has no test {name}: name the one that shows this now"
                        ),
                    });
                }
            }
        }
    }
    findings
}

fn has_test(source: &Source, name: &str) -> bool {
    source.words(&format!("fn {name}")).any(|at| {
        // Between the attribute and the function no other item ends.
        let before = source.code.get(..at).unwrap_or_default();
        let own = before.rsplit('}').next().unwrap_or_default();
        own.contains("#[test]") || own.contains("::test]")
    })
}
