//! The import while it is going on: lines, what is known of each, and the
//! configuration so far.

use std::net::IpAddr;
use std::str::FromStr;

use super::Surroundings;
use super::draft::Draft;
use super::keys::{self, Key, Rule};
use super::lines::Line;
use super::report::{Entry, Outcome, Refusal, Report};

/// A line, by its index.
pub(super) type At = usize;

/// What is known of a line so far. A refusal beats a key, a key beats a reason
/// why nothing is needed.
#[derive(Default)]
struct Verdict {
    keys: Vec<&'static str>,
    notes: Vec<String>,
    refusal: Option<Refusal>,
    unneeded: bool,
}

/// Everything at hand.
pub(super) struct Work<'a> {
    lines: Vec<Line>,
    verdicts: Vec<Verdict>,
    pub(super) draft: Draft,
    pub(super) around: &'a Surroundings,
    refused: Vec<Refusal>,
    notes: Vec<String>,
}

impl<'a> Work<'a> {
    /// Judges what can be judged line by line.
    pub(super) fn new(lines: Vec<Line>, around: &'a Surroundings) -> Self {
        let verdicts = lines.iter().map(|_| Verdict::default()).collect();
        let mut work = Self {
            lines,
            verdicts,
            draft: Draft::default(),
            around,
            refused: Vec::new(),
            notes: Vec::new(),
        };
        for at in 0..work.lines.len() {
            work.judge(at);
        }
        work
    }

    fn judge(&mut self, at: At) {
        let line = &self.lines[at];
        let Some(Key { name, rule }) = keys::find(&line.key) else {
            let fix = match keys::nearest(&line.key) {
                Some(known) => format!("did you mean {known}? Otherwise remove the line."),
                None => "remove the line.".to_owned(),
            };
            return self.refuse(at, "coturn has no such key and ignores the line.", &fix);
        };
        if ["${", "$(", "{{", "<%"]
            .iter()
            .any(|mark| line.value.contains(mark))
        {
            return self.refuse(
                at,
                "The value is a placeholder that a template or a shell would have filled in.",
                "import the file it was filled into, or write the value.",
            );
        }
        if line.value.contains('\u{fffd}') || line.value.chars().any(char::is_control) {
            return self.refuse(
                at,
                "The value holds bytes that are not UTF-8 text.",
                "write the value as UTF-8.",
            );
        }
        if line.value.ends_with(';') && !keys::is_secret(name) {
            return self.refuse(
                at,
                "coturn takes the semicolon as part of the value.",
                "remove the semicolon.",
            );
        }
        match *rule {
            Rule::Read => {}
            Rule::Unneeded(why) => self.unneeded(at, why),
            Rule::Refused(why, fix) => self.refuse(at, why, fix),
            Rule::RefusedOn(why, fix) => match line.switch() {
                Some(true) => self.refuse(at, why, fix),
                Some(false) => self.unneeded(at, "Switched off."),
                None => self.not_a_switch(at),
            },
        }
    }

    /// The lines of a repeatable key that are not refused already.
    pub(super) fn all(&self, key: &str) -> Vec<At> {
        (0..self.lines.len())
            .filter(|&at| self.lines[at].key == key && self.verdicts[at].refusal.is_none())
            .collect()
    }

    /// The line that counts: the last one, to coturn as well.
    pub(super) fn last(&mut self, key: &str) -> Option<At> {
        let mut all = self.all(key);
        let last = all.pop()?;
        for at in all {
            let number = self.lines[last].number;
            self.unneeded(at, &format!("Line {number} says it again and counts."));
        }
        Some(last)
    }

    /// A switch that is given and sound: its line and state.
    pub(super) fn switch(&mut self, key: &str) -> Option<(At, bool)> {
        let at = self.last(key)?;
        match self.lines[at].switch() {
            Some(state) => Some((at, state)),
            None => {
                self.not_a_switch(at);
                None
            }
        }
    }

    /// The line of a switch that is on; when off, nothing is needed for it.
    pub(super) fn on(&mut self, key: &str) -> Option<At> {
        match self.switch(key)? {
            (at, true) => Some(at),
            (at, false) => {
                self.unneeded(at, "Switched off.");
                None
            }
        }
    }

    /// A number or address that is given and sound.
    pub(super) fn parsed<T: FromStr>(&mut self, key: &str, what: &str) -> Option<(At, T)> {
        let at = self.last(key)?;
        self.parse_at(at, what).map(|value| (at, value))
    }

    /// The value of this line; refused when it is not `what`.
    pub(super) fn parse_at<T: FromStr>(&mut self, at: At, what: &str) -> Option<T> {
        let parsed = self.lines[at].word().and_then(|word| word.parse().ok());
        if parsed.is_none() {
            self.refuse(
                at,
                &format!("The value is not {what}."),
                &format!("write {what}."),
            );
        }
        parsed
    }

    /// An address, in brackets or not.
    pub(super) fn address_at(&mut self, at: At) -> Option<IpAddr> {
        let parsed = self.lines[at].word().and_then(address);
        if parsed.is_none() {
            self.refuse(
                at,
                "The value is not an IP address.",
                "write the address, not a name.",
            );
        }
        parsed
    }

    /// The value as written. May be a secret.
    pub(super) fn value(&self, at: At) -> &str {
        &self.lines[at].value
    }

    pub(super) fn number(&self, at: At) -> usize {
        self.lines[at].number
    }

    /// Writes a key and says so at the lines it comes from. Refused when this
    /// release has no such key.
    pub(super) fn set(&mut self, from: &[At], key: &'static str, value: impl Into<toml::Value>) {
        if !Draft::knows(key) {
            for &at in from {
                self.refuse(
                    at,
                    &format!("Not yet mapped: this release has no key {key}."),
                    "remove the line, or take a newer release.",
                );
            }
            return;
        }
        let numbers = from.iter().map(|&at| self.lines[at].number).collect();
        self.draft.set(key, value.into(), numbers);
        for &at in from {
            let keys = &mut self.verdicts[at].keys;
            if !keys.contains(&key) {
                keys.push(key);
            }
        }
    }

    /// Nothing has to be said for this line.
    pub(super) fn unneeded(&mut self, at: At, why: &str) {
        self.verdicts[at].unneeded = true;
        self.note(at, why);
    }

    pub(super) fn refuse(&mut self, at: At, why: &str, fix: &str) {
        self.verdicts[at].refusal.get_or_insert_with(|| Refusal {
            why: why.to_owned(),
            fix: fix.to_owned(),
        });
    }

    /// Something to know about a line.
    pub(super) fn note(&mut self, at: At, note: &str) {
        let notes = &mut self.verdicts[at].notes;
        if !notes.iter().any(|known| known == note) {
            notes.push(note.to_owned());
        }
    }

    /// Refuses the file as a whole.
    pub(super) fn refuse_file(&mut self, why: &str, fix: &str) {
        self.refused.push(Refusal {
            why: why.to_owned(),
            fix: fix.to_owned(),
        });
    }

    /// Something that will differ although no line says so.
    pub(super) fn differs(&mut self, note: impl Into<String>) {
        self.notes.push(note.into());
    }

    fn not_a_switch(&mut self, at: At) {
        self.refuse(
            at,
            "The value is neither on nor off; coturn would not start.",
            "write on or off, or the key alone for on.",
        );
    }

    /// The report of it all.
    pub(super) fn report(self) -> Report {
        let lines = self.lines.iter().zip(self.verdicts).map(|(line, verdict)| {
            let outcome = match verdict {
                Verdict {
                    refusal: Some(_), ..
                } => Outcome::Refused,
                Verdict { ref keys, .. } if !keys.is_empty() => Outcome::Mapped,
                Verdict { unneeded: true, .. } => Outcome::NotNeeded,
                // No module took the line: that must not look like consent.
                Verdict { .. } => Outcome::Refused,
            };
            let (mut notes, mut keys) = (verdict.notes, verdict.keys);
            let mut fix = None;
            if outcome == Outcome::Refused {
                let refusal = verdict.refusal.unwrap_or_else(|| Refusal {
                    why: "Without the line it depends on, it means nothing.".to_owned(),
                    fix: "remove the line, or repair the others.".to_owned(),
                });
                notes = vec![refusal.why];
                fix = Some(refusal.fix);
                keys.clear();
            }
            Entry {
                line: line.number,
                text: shown(line),
                outcome,
                keys,
                notes,
                fix,
            }
        });
        Report {
            lines: lines.collect(),
            refused: self.refused,
            notes: self.notes,
        }
    }
}

/// A line as it may be shown. What follows an unknown key may be a secret
/// under a misspelt name.
fn shown(line: &Line) -> String {
    let is_known = keys::find(&line.key).is_some();
    let of_a_name = |c: &char| c.is_ascii_alphanumeric() || "-_.".contains(*c);
    let key: String = line.key.chars().take_while(of_a_name).take(40).collect();
    if !is_known && key.len() < line.key.len() {
        return format!("{key}…");
    }
    if line.value.is_empty() {
        return key;
    }
    if !is_known || keys::is_secret(&line.key) {
        return format!("{key}=…");
    }
    let value: String = line.value.chars().take(120).collect();
    format!("{key}={}", value.escape_debug())
}

/// An address, in brackets or not.
pub(super) fn address(word: &str) -> Option<IpAddr> {
    word.trim_start_matches('[')
        .trim_end_matches(']')
        .parse()
        .ok()
}
