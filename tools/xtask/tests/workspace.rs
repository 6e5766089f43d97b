//! The workspace itself obeys the rules.

#[test]
fn the_workspace_is_tidy() {
    let findings = xtask::tidy::check(&xtask::workspace_root()).expect("readable workspace");
    let list: Vec<String> = findings.iter().map(ToString::to_string).collect();
    assert!(findings.is_empty(), "\n{}", list.join("\n"));
}
