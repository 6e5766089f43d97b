//! Each rule on small made-up inputs: what it finds, and what it leaves alone.

use xtask::tidy::edges::Package;
use xtask::tidy::source::Source;
use xtask::tidy::{assertions, banned, dead, edges, markers, named_tests, shape};

fn lines(
    path: &str,
    text: &str,
    rule: impl Fn(&Source) -> Vec<xtask::tidy::Finding>,
) -> Vec<usize> {
    rule(&Source::new(path, text))
        .iter()
        .map(|finding| finding.line)
        .collect()
}

fn package(name: &str, dependencies: &[&str]) -> Package {
    Package {
        name: name.to_owned(),
        manifest: format!("{name}/Cargo.toml"),
        dependencies: dependencies.iter().map(ToString::to_string).collect(),
        roots: Vec::new(),
    }
}

fn edge_messages(packages: &[Package]) -> Vec<String> {
    edges::check(packages)
        .into_iter()
        .map(|finding| finding.message)
        .collect()
}

#[test]
fn comments_and_literals_are_no_code() {
    let text = "a /* b /* c */ d */ \"e // \\\" f\" 'g' '\\'' r#\"h\" i\"# b\"j\" &'k l // m\nn";
    let source = Source::new("x.rs", text);
    let code: String = source.code.split_whitespace().collect();
    assert_eq!(code, "a\"\"r#\"\"#b\"\"&'kln");
    let comments: String = source.comments.split_whitespace().collect();
    assert_eq!(comments, "/*b/*c*/d*///m");
    assert_eq!(source.code.len(), text.len());
    assert_eq!(source.line(text.len()), 2);
}

#[test]
fn edges_below_are_legal_and_no_others() {
    let legal = [
        package("forebay-wire", &["crc32fast"]),
        package("forebay-turn", &["forebay-wire", "hmac"]),
        package(
            "forebay-runtime",
            &["forebay-engine", "forebay-wire", "tokio"],
        ),
        package("forebay-sim", &["forebay-engine", "rand"]),
    ];
    assert_eq!(edge_messages(&legal), [""; 0]);
    let cases: [(&str, &str); 6] = [
        ("forebay-wire", "forebay-turn"),
        ("forebay-turn", "forebay-ipc"),
        ("forebay-turnd", "forebay-controlplane"),
        ("forebay-controlplane", "forebay-runtime"),
        ("forebay-engine", "forebay-sim"),
        ("forebay-engine", "tokio"),
    ];
    for (from, to) in cases {
        let packages = [package(from, &[to]), package(to, &[])];
        let messages = edge_messages(&packages);
        assert!(
            messages.iter().any(|m| m.contains(from) && m.contains(to)),
            "{from} {to}"
        );
    }
    assert!(edge_messages(&[package("forebay-extra", &[])])[0].contains("not in the design"));
}

#[test]
fn banned_calls_are_found_outside_tests() {
    let text = "fn f() {\n x.unwrap();\n}\n#[cfg(test)]\nmod tests {\n fn g() { x.unwrap(); }\n}\nfn h() { panic!(); }\n";
    assert_eq!(
        lines("dataplane/turn/src/a.rs", text, banned::check),
        [2, 8]
    );
    assert_eq!(
        lines("dataplane/turn/tests/a.rs", text, banned::check),
        [0; 0]
    );
    assert_eq!(lines("tools/cli/src/a.rs", text, banned::check), [0; 0]);
}

#[test]
fn clocks_are_banned_where_time_is_an_argument() {
    let text = "fn f() { let now = std::time::Instant::now(); }";
    assert!(!lines("dataplane/engine/src/a.rs", text, banned::check).is_empty());
    assert_eq!(
        lines("dataplane/runtime/src/a.rs", text, banned::check),
        [0; 0]
    );
    // The protocol crates' own type of this name is fine.
    let own = "use forebay_wire::clock::Instant;";
    assert_eq!(
        lines("dataplane/engine/src/a.rs", own, banned::check),
        [0; 0]
    );
}

#[test]
fn unsafe_is_for_sys_alone_tests_included() {
    let text = "// unsafe in a comment\nlet a = \"unsafe\";\nunsafe { f() }\n";
    assert_eq!(
        lines("dataplane/engine/tests/a.rs", text, banned::check),
        [3]
    );
    assert_eq!(lines("dataplane/sys/src/a.rs", text, banned::check), [0; 0]);
}

#[test]
fn long_files_are_found() {
    let at_limit = Source::new("a.rs", "\n".repeat(600));
    let above = Source::new("a.rs", "\n".repeat(601));
    assert_eq!(shape::length(&at_limit), None);
    assert_eq!(shape::length(&above).map(|finding| finding.line), Some(601));
}

#[test]
fn names_have_to_say_something() {
    assert!(shape::name("dataplane/wire/src/utils.rs").is_some());
    assert!(shape::name("controlplane/src/util/mod.rs").is_some());
    assert_eq!(shape::name("dataplane/wire/src/stun/mod.rs"), None);
}

#[test]
fn manifests_take_the_lints() {
    let with = Source::new("a/Cargo.toml", "[package]\n\n[lints]\nworkspace = true\n");
    let without = Source::new(
        "a/Cargo.toml",
        "[package]\n[dependencies]\nworkspace = true\n",
    );
    let empty = Source::new(
        "a/Cargo.toml",
        "[lints]\n[dependencies.a]\nworkspace = true\n",
    );
    assert_eq!(shape::lints(&with), None);
    assert!(shape::lints(&without).is_some());
    assert!(shape::lints(&empty).is_some());
}

#[test]
fn markers_are_found_in_comments() {
    let marker = ["TO", "DO"].concat();
    let text = format!("// fine\n// {marker}: later\nlet a = \"{marker}\";\nlet {marker}_B = 1;\n");
    assert_eq!(lines("a.rs", &text, markers::check), [2]);
    assert_eq!(
        lines("a.py", &format!("x = 1  # {marker}"), markers::check),
        [1]
    );
}

#[test]
fn files_that_no_module_reaches_are_dead() {
    let files = [
        Source::new(
            "c/src/lib.rs",
            "mod a;\nmod inline { mod deep; }\n#[path = \"odd/place.rs\"]\nmod renamed;\n// mod gone;",
        ),
        Source::new("c/src/a.rs", "pub(crate) mod b;"),
        Source::new("c/src/a/b/mod.rs", "mod sibling;"),
        Source::new("c/src/a/b/sibling.rs", ""),
        Source::new("c/src/inline/deep.rs", ""),
        Source::new("c/src/odd/place.rs", ""),
        Source::new("c/src/gone.rs", ""),
        Source::new("c/tests/t.rs", "mod support;"),
        Source::new("c/tests/support/mod.rs", ""),
        Source::new("c/tests/support/lost.rs", ""),
    ];
    let roots = ["c/src/lib.rs".to_owned(), "c/tests/t.rs".to_owned()];
    let found = dead::check(&roots, &files.iter().collect::<Vec<_>>());
    let paths: Vec<_> = found.iter().map(|finding| finding.path.as_str()).collect();
    assert_eq!(paths, ["c/src/gone.rs", "c/tests/support/lost.rs"]);
}

#[test]
fn files_of_nested_packages_are_theirs() {
    let files = [
        Source::new("c/Cargo.toml", ""),
        Source::new("c/src/lib.rs", ""),
        Source::new("c/fuzz/Cargo.toml", ""),
        Source::new("c/fuzz/main.rs", ""),
    ];
    let own: Vec<_> = package("c", &[])
        .rust_files(&files)
        .map(|file| file.path.clone())
        .collect();
    assert_eq!(own, ["c/src/lib.rs"]);
}

#[test]
fn tests_have_to_be_able_to_fail() {
    let text = "
#[test]
fn silent() { run(); }
#[test]
fn asserts() { assert_eq!(run(), 1); }
#[test]
fn by_helper(a: [u8; 4]) { check(1); }
#[test]
fn by_result() -> R { run()?; Ok(()) }
#[test]
fn by_comment() { run(); /* assert! */ }
fn check(a: [u8; 4]) { compare(a); }
fn compare(a: [u8; 4]) { assert!(a[0] > 0); }
fn run() -> u8 { 1 }
";
    let source = Source::new("c/tests/t.rs", text);
    let found: Vec<_> = assertions::check(&[&source])
        .iter()
        .map(|finding| finding.line)
        .collect();
    assert_eq!(found, [2, 10]);
}

#[test]
fn tests_that_documents_name_exist() {
    let code = "#[test]\nfn here() {}\nfn helper() {}\nproptest! {\n #[test]\n fn there(n: u8) {}\n}\n// fn gone()\n";
    let document = "| a | `x/tests/a.rs::here`, `x/tests/a.rs::there` |\n| b | `x/tests/a.rs::helper` |\n\
                    | c | `x/tests/a.rs::gone` |\n| d | `x/tests/b.rs::here` and `plain.rs` |\n";
    let sources = [
        Source::new("x/tests/a.rs", code),
        Source::new("docs/x.md", document),
    ];
    let lines: Vec<usize> = named_tests::check(&sources)
        .iter()
        .map(|finding| finding.line)
        .collect();
    assert_eq!(lines, [2, 3, 4]);
}
