//! The files of the workspace, with Rust split into code and comments.

use std::fs;
use std::path::Path;

use anyhow::Context;

/// A text file. `code` and `comments` have the length and the lines of `text`;
/// what does not belong is blank. Files other than Rust are all comment.
#[derive(Debug, Clone)]
pub struct Source {
    /// Relative to the workspace, with forward slashes.
    pub path: String,
    /// As it is.
    pub text: String,
    /// Without comments and without the inside of literals.
    pub code: String,
    /// Comments alone.
    pub comments: String,
}

/// The endings of files that rules look at.
const ENDINGS: [&str; 12] = [
    "rs", "toml", "md", "sh", "py", "js", "ts", "css", "html", "yml", "yaml", "service",
];

impl Source {
    /// From a path relative to the workspace and a file's text.
    pub fn new(path: impl Into<String>, text: impl Into<String>) -> Self {
        let (path, text) = (path.into(), text.into());
        let (code, comments) = if path.ends_with(".rs") {
            split(&text)
        } else {
            (String::new(), text.clone())
        };
        Self {
            path,
            text,
            code,
            comments,
        }
    }

    /// The line of a byte offset, from one.
    pub fn line(&self, offset: usize) -> usize {
        let before = self.text.as_bytes().get(..offset).unwrap_or_default();
        1 + before.iter().filter(|byte| **byte == b'\n').count()
    }

    /// Whether the whole file is test code.
    pub fn is_test(&self) -> bool {
        let folders = ["/tests/", "/benches/", "/examples/"];
        folders.iter().any(|folder| self.path.contains(folder)) || self.path.ends_with("/tests.rs")
    }

    /// Offsets in `code` where `pattern` stands, not as part of a longer word.
    pub fn words<'a>(&'a self, pattern: &'a str) -> impl Iterator<Item = usize> + 'a {
        let word = |c: Option<&u8>| c.is_some_and(|c| c.is_ascii_alphanumeric() || *c == b'_');
        let code = self.code.as_bytes();
        self.code
            .match_indices(pattern)
            .map(|(at, _)| at)
            .filter(move |&at| {
                let (first, last) = (pattern.as_bytes().first(), pattern.as_bytes().last());
                let before = at.checked_sub(1).and_then(|i| code.get(i));
                let after = code.get(at + pattern.len());
                !(word(first) && word(before) || word(last) && word(after))
            })
    }

    /// The range from `from` to the brace that closes the first one opened
    /// there; ends early at a semicolon in front of any brace.
    pub fn item(&self, from: usize) -> std::ops::Range<usize> {
        let (mut braces, mut brackets) = (0_usize, 0_usize);
        for (i, byte) in self.code.bytes().enumerate().skip(from) {
            match byte {
                b'(' | b'[' => brackets += 1,
                b')' | b']' => brackets = brackets.saturating_sub(1),
                b'{' => braces += 1,
                b'}' if braces <= 1 => return from..i + 1,
                b'}' => braces -= 1,
                b';' if braces + brackets == 0 => return from..i + 1,
                _ => {}
            }
        }
        from..self.code.len()
    }
}

/// Reads every file with one of the known endings, hidden folders and build
/// output left out.
///
/// # Errors
/// When a folder or file cannot be read.
pub fn load(root: &Path) -> anyhow::Result<Vec<Source>> {
    let mut sources = Vec::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        let entries = fs::read_dir(&folder).with_context(|| folder.display().to_string())?;
        for entry in entries {
            let entry = entry?;
            let (path, name) = (entry.path(), entry.file_name());
            let name = name.to_string_lossy();
            if entry.file_type()?.is_dir() {
                let skip = [
                    "target",
                    "node_modules",
                    "corpus",
                    "artifacts",
                    "third-party",
                ];
                if !name.starts_with('.') && !skip.contains(&&*name) {
                    folders.push(path);
                }
            } else if path
                .extension()
                .is_some_and(|e| ENDINGS.iter().any(|ending| e == *ending))
            {
                let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
                let relative = path.strip_prefix(root).unwrap_or(&path);
                sources.push(Source::new(
                    relative.to_string_lossy().replace('\\', "/"),
                    text,
                ));
            }
        }
    }
    Ok(sources)
}

/// What the bytes at hand belong to.
#[derive(Clone, Copy, PartialEq)]
enum State {
    Code,
    Line,
    /// Nesting depth.
    Block(usize),
    Text,
    /// Number of hashes.
    Raw(usize),
}

fn split(text: &str) -> (String, String) {
    let bytes = text.as_bytes();
    let mut code = vec![b' '; bytes.len()];
    let mut comments = code.clone();
    let mut state = State::Code;
    let mut i = 0;
    while i < bytes.len() {
        let rest = &bytes[i..];
        // How many bytes this step covers, and where they go.
        let mut step = 1;
        let (mut to_code, mut to_comments) = (false, false);
        match state {
            State::Code => {
                to_code = true;
                if rest.starts_with(b"//") {
                    (state, to_code, to_comments) = (State::Line, false, true);
                } else if rest.starts_with(b"/*") {
                    (state, to_code, to_comments, step) = (State::Block(1), false, true, 2);
                } else if let Some((hashes, len)) = raw_start(bytes, i) {
                    (state, step) = (State::Raw(hashes), len);
                } else if rest[0] == b'"' {
                    state = State::Text;
                } else if let Some(len) = char_literal(rest) {
                    (to_code, step) = (false, len);
                }
            }
            State::Line => {
                to_comments = true;
                if rest[0] == b'\n' {
                    state = State::Code;
                }
            }
            State::Block(depth) => {
                to_comments = true;
                if rest.starts_with(b"/*") {
                    (state, step) = (State::Block(depth + 1), 2);
                } else if rest.starts_with(b"*/") {
                    step = 2;
                    state = if depth == 1 {
                        State::Code
                    } else {
                        State::Block(depth - 1)
                    };
                }
            }
            State::Text => match rest[0] {
                b'\\' => step = 2,
                b'"' => (state, to_code) = (State::Code, true),
                _ => {}
            },
            State::Raw(hashes) => {
                let closing = rest.len() > hashes
                    && rest[0] == b'"'
                    && rest[1..=hashes].iter().all(|b| *b == b'#');
                if closing {
                    (state, to_code, step) = (State::Code, true, hashes + 1);
                }
            }
        }
        let end = (i + step).min(bytes.len());
        for j in i..end {
            let newline = bytes[j] == b'\n';
            if to_code || newline {
                code[j] = bytes[j];
            }
            if to_comments || newline {
                comments[j] = bytes[j];
            }
        }
        i = end;
    }
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    (text(code), text(comments))
}

/// A raw string's number of hashes and the length of its opening.
fn raw_start(bytes: &[u8], i: usize) -> Option<(usize, usize)> {
    let after_word = i > 0 && {
        let before = bytes[i - 1];
        let prefix = matches!(before, b'b' | b'c')
            && !(i > 1 && (bytes[i - 2].is_ascii_alphanumeric() || bytes[i - 2] == b'_'));
        (before.is_ascii_alphanumeric() || before == b'_') && !prefix
    };
    if bytes[i] != b'r' || after_word {
        return None;
    }
    let hashes = bytes[i + 1..].iter().take_while(|b| **b == b'#').count();
    (bytes.get(i + 1 + hashes) == Some(&b'"')).then_some((hashes, hashes + 2))
}

/// The length of a character literal at the front, which a lifetime is not.
fn char_literal(rest: &[u8]) -> Option<usize> {
    if rest[0] != b'\'' {
        return None;
    }
    if rest.get(1) == Some(&b'\\') {
        let close = rest.iter().skip(3).position(|b| *b == b'\'')?;
        return Some(close + 4);
    }
    // One character of one to four bytes.
    let close = rest.iter().take(6).skip(2).position(|b| *b == b'\'')? + 2;
    let inner = core::str::from_utf8(&rest[1..close]).ok()?;
    (inner.chars().count() == 1).then_some(close + 1)
}
