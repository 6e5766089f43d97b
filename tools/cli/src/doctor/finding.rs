//! What a check found.

use std::fmt::Write;

use serde_json::{Value, json};

/// How bad it is. The order is that of the exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Level {
    /// As it should be.
    Ok,
    /// Works, but not as well as it could, or could not be looked at.
    Warning,
    /// Does not work, or will not.
    Failed,
}

impl Level {
    const fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warning => "warning",
            Self::Failed => "failed",
        }
    }

    /// The terminal's green, yellow, red.
    const fn colour(self) -> &'static str {
        match self {
            Self::Ok => "\u{1b}[32m",
            Self::Warning => "\u{1b}[33m",
            Self::Failed => "\u{1b}[31m",
        }
    }
}

/// One thing that was looked at.
#[derive(Debug, Clone)]
pub(super) struct Finding {
    pub(super) level: Level,
    /// What was seen, and what of it.
    pub(super) seen: String,
    /// The command that fixes it, or what to do.
    pub(super) fix: Option<String>,
}

impl Finding {
    pub(super) fn ok(seen: impl Into<String>) -> Self {
        Self {
            level: Level::Ok,
            seen: seen.into(),
            fix: None,
        }
    }

    pub(super) fn warning(seen: impl Into<String>, fix: impl Into<String>) -> Self {
        Self {
            level: Level::Warning,
            seen: seen.into(),
            fix: Some(fix.into()),
        }
    }

    pub(super) fn failed(seen: impl Into<String>, fix: impl Into<String>) -> Self {
        Self {
            level: Level::Failed,
            seen: seen.into(),
            fix: Some(fix.into()),
        }
    }
}

/// Everything found, by the check that found it.
pub(super) struct Findings(pub(super) Vec<(&'static str, Finding)>);

impl Findings {
    /// The worst of all.
    pub(super) fn level(&self) -> Level {
        let levels = self.0.iter().map(|(_, finding)| finding.level);
        levels.max().unwrap_or(Level::Ok)
    }

    fn count(&self, level: Level) -> usize {
        self.0
            .iter()
            .filter(|(_, finding)| finding.level == level)
            .count()
    }

    pub(super) fn to_json(&self, about: &Value) -> Value {
        let findings: Vec<Value> = self
            .0
            .iter()
            .map(|(check, finding)| {
                json!({
                    "check": check,
                    "level": finding.level.word(),
                    "seen": finding.seen,
                    "fix": finding.fix,
                })
            })
            .collect();
        json!({
            "about": about,
            "level": self.level().word(),
            "findings": findings,
        })
    }

    /// For people; `width` columns of a terminal.
    pub(super) fn to_text(&self, coloured: bool, width: usize) -> String {
        let mut text = String::new();
        for (check, finding) in &self.0 {
            let word = format!("{:<7}", finding.level.word());
            let word = if coloured {
                format!("{}{word}\u{1b}[0m", finding.level.colour())
            } else {
                word
            };
            let start = format!("{word}  {check:<12} ");
            wrapped(&mut text, &start, &finding.seen, width);
            for line in finding.fix.iter().flat_map(|fix| fix.lines()) {
                // Never broken: it is to be copied.
                let _ = writeln!(text, "{INDENT}> {line}");
            }
        }
        let _ = writeln!(
            text,
            "\n{} ok, {} warnings, {} failed",
            self.count(Level::Ok),
            self.count(Level::Warning),
            self.count(Level::Failed)
        );
        text
    }
}

/// As wide as level and name of the check.
const INDENT: &str = "                      ";

fn wrapped(text: &mut String, start: &str, words: &str, width: usize) {
    let room = width.saturating_sub(INDENT.len()).max(30);
    text.push_str(start);
    let mut used = 0;
    for word in words.split(' ') {
        let length = word.chars().count();
        if used > 0 && used + 1 + length > room {
            text.push('\n');
            text.push_str(INDENT);
            used = 0;
        } else if used > 0 {
            text.push(' ');
            used += 1;
        }
        text.push_str(word);
        used += length;
    }
    text.push('\n');
}
