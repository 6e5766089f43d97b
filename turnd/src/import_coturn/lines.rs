//! turnserver.conf as coturn reads it: a key, then blanks or `=`, then the
//! rest of the line.

use zeroize::Zeroizing;

/// A line that says something.
pub(super) struct Line {
    /// From one.
    pub(super) number: usize,
    /// The key, as written.
    pub(super) key: String,
    /// What follows it, without the quotes around it; empty when nothing does.
    /// May be a secret.
    pub(super) value: Zeroizing<String>,
}

impl Line {
    /// The value up to the first blank; `None` when more follows that is no
    /// comment. coturn itself has no comments behind values, but reads numbers
    /// and switches as if it had.
    pub(super) fn word(&self) -> Option<&str> {
        let value = self.value.trim();
        match value.split_once([' ', '\t']) {
            None => Some(value),
            Some((word, rest)) => rest.trim_start().starts_with('#').then_some(word),
        }
    }

    /// A switch, as coturn reads one. `None` when it is neither on nor off.
    pub(super) fn switch(&self) -> Option<bool> {
        let word = self.word()?;
        match word.as_bytes() {
            [] | [b'1'..=b'9' | b'y' | b'Y' | b't' | b'T', ..] => Some(true),
            [b'0' | b'n' | b'N' | b'f' | b'F', ..] => Some(false),
            _ if word.starts_with('#') || word.eq_ignore_ascii_case("on") => Some(true),
            _ if word.eq_ignore_ascii_case("off") => Some(false),
            _ => None,
        }
    }
}

/// Every line but the empty ones and comments.
pub(super) fn parse(text: &str) -> Vec<Line> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    text.split('\n')
        .enumerate()
        .filter_map(|(index, line)| {
            let line = line.trim();
            (!line.is_empty() && !line.starts_with('#')).then(|| parse_line(index + 1, line))
        })
        .collect()
}

fn parse_line(number: usize, line: &str) -> Line {
    let separators = [' ', '\t', '='];
    let (key, rest) = match line.find(separators) {
        Some(at) => line.split_at(at),
        None => (line, ""),
    };
    let rest = rest.trim_start_matches(separators);
    let value = match rest.strip_prefix('"') {
        Some(quoted) => quoted.strip_suffix('"').unwrap_or(quoted),
        None => rest,
    };
    Line {
        number,
        key: key.to_owned(),
        value: Zeroizing::new(value.to_owned()),
    }
}
