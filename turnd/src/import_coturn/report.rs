//! What became of every line.

use std::fmt::Write;

use serde::Serialize;

/// What became of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It is in the new configuration.
    Mapped,
    /// Nothing has to be said for it to be so, or it means nothing here.
    NotNeeded,
    /// It cannot be taken over; nothing is written until it is changed.
    Refused,
}

/// A line of turnserver.conf.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Entry {
    /// From one.
    pub line: usize,
    /// The line, what is secret in it left out.
    pub text: String,
    /// What became of it.
    pub outcome: Outcome,
    /// The keys it is mapped to, dotted.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub keys: Vec<&'static str>,
    /// What there is to know: how it was read, why it is not needed, why it is
    /// refused.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
    /// What to do about a refusal.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fix: Option<String>,
}

/// A refusal of the file as a whole.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Refusal {
    /// What is wrong.
    pub why: String,
    /// What to do.
    pub fix: String,
}

/// What became of the file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Every line that says something, in order.
    pub lines: Vec<Entry>,
    /// What is wrong with the file as a whole.
    pub refused: Vec<Refusal>,
    /// What will differ although no line says so.
    pub notes: Vec<String>,
}

impl Report {
    /// Whether anything is refused.
    pub fn is_refused(&self) -> bool {
        !self.refused.is_empty() || self.count(Outcome::Refused) > 0
    }

    fn count(&self, outcome: Outcome) -> usize {
        self.lines
            .iter()
            .filter(|entry| entry.outcome == outcome)
            .count()
    }

    /// For people: a paragraph per line.
    pub fn to_text(&self) -> String {
        let widest = self.lines.iter().map(|entry| entry.text.chars().count());
        let width = widest.max().unwrap_or(0).min(40);
        let mut text = String::new();
        for entry in &self.lines {
            let what = match entry.outcome {
                Outcome::Mapped => format!("mapped to {}", entry.keys.join(", ")),
                Outcome::NotNeeded => "not needed".to_owned(),
                Outcome::Refused => "REFUSED".to_owned(),
            };
            // Writing to a String cannot fail.
            let _ = writeln!(text, "{:>4}  {:<width$}  {what}", entry.line, entry.text);
            for note in &entry.notes {
                paragraph(&mut text, note);
            }
            if let Some(fix) = &entry.fix {
                paragraph(&mut text, &format!("Fix: {fix}"));
            }
        }
        for refusal in &self.refused {
            text.push_str("\n      REFUSED, the whole file\n");
            paragraph(&mut text, &refusal.why);
            paragraph(&mut text, &format!("Fix: {}", refusal.fix));
        }
        if !self.notes.is_empty() {
            text.push_str("\nWhat differs although no line says so:\n");
            for note in &self.notes {
                wrap(&mut text, "  - ", "    ", note);
            }
        }
        let _ = writeln!(
            text,
            "\n{} mapped, {} not needed, {} refused",
            self.count(Outcome::Mapped),
            self.count(Outcome::NotNeeded),
            self.count(Outcome::Refused) + self.refused.len()
        );
        text
    }
}

fn paragraph(text: &mut String, words: &str) {
    wrap(text, "          ", "          ", words);
}

/// Fills lines of up to 88 columns.
fn wrap(text: &mut String, first: &str, others: &str, words: &str) {
    let mut line = String::from(first);
    let mut is_empty = true;
    for word in words.split(' ') {
        if !is_empty && line.chars().count() + 1 + word.chars().count() > 88 {
            text.push_str(&line);
            text.push('\n');
            line = String::from(others);
            is_empty = true;
        }
        if !is_empty {
            line.push(' ');
        }
        line.push_str(word);
        is_empty = false;
    }
    text.push_str(&line);
    text.push('\n');
}
