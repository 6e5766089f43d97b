//! From text to [`Settings`].

use std::collections::HashMap;
use std::ops::Range;
use std::path::Path;

use toml::de::{DeTable, DeValue};

use super::Role;
use super::error::{ConfigError, Problem, place};
use super::section::{Key, Section};
use super::settings::Settings;
use super::validate;

impl Settings {
    /// Reads and validates a file.
    pub fn load(file: &Path, role: Role) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(file)
            .map_err(|error| ConfigError::whole_file(file, format!("cannot be read: {error}")))?;
        Self::parse(&text, file, role)
    }

    /// Parses and validates; `file` is only for messages.
    pub fn parse(text: &str, file: &Path, role: Role) -> Result<Self, ConfigError> {
        let fail = |mut problems: Vec<Problem>| {
            problems.sort_by_key(|problem| problem.place.unwrap_or((usize::MAX, 0)));
            ConfigError {
                file: file.to_owned(),
                problems,
            }
        };
        let of_toml = |error: &toml::de::Error| Problem {
            place: error.span().map(|span| place(text, span.start)),
            message: error.message().trim_end().to_owned(),
        };

        let table = DeTable::parse(text).map_err(|error| fail(vec![of_toml(&error)]))?;
        let mut walk = Walk {
            text,
            spans: HashMap::new(),
            unknown: Vec::new(),
        };
        walk.table(table.get_ref(), Self::KEYS, "");
        if !walk.unknown.is_empty() {
            return Err(fail(walk.unknown));
        }
        let settings: Self = toml::from_str(text).map_err(|error| fail(vec![of_toml(&error)]))?;

        let problems: Vec<Problem> = validate::problems(&settings, role)
            .into_iter()
            .map(|(key, message)| Problem {
                place: walk.spans.get(key).map(|span| place(text, span.start)),
                message: format!("`{key}`: {message}"),
            })
            .collect();
        if problems.is_empty() {
            Ok(settings)
        } else {
            Err(fail(problems))
        }
    }

    /// The keys in which `other` differs.
    pub fn differences(&self, other: &Self) -> Vec<Difference> {
        let table = |settings: &Self| toml::Table::try_from(settings).unwrap_or_default();
        let (ours, theirs) = (table(self), table(other));
        let mut found = Vec::new();
        let mut compare = |key: String, a: Option<&toml::Value>, b: Option<&toml::Value>| {
            if a != b {
                let [from, to] = [a, b].map(|value| told(&key, value));
                found.push(Difference { key, from, to });
            }
        };
        for section in Self::KEYS {
            let (a, b) = (ours.get(section.name), theirs.get(section.name));
            match section.table {
                None => compare(section.name.to_owned(), a, b),
                Some(keys) => {
                    for key in keys {
                        let of = |value: Option<&toml::Value>| value?.get(key.name).cloned();
                        let (a, b) = (of(a), of(b));
                        compare(join(section.name, key.name), a.as_ref(), b.as_ref());
                    }
                }
            }
        }
        found
    }
}

/// A key in which two settings differ.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// Its dotted name.
    pub key: String,
    /// The one value, as TOML; `None` where it is left out.
    pub from: Option<String>,
    /// The other value.
    pub to: Option<String>,
}

/// Values that may carry a password or a token.
const HIDDEN: &[&str] = &["usage.webhook"];

fn told(key: &str, value: Option<&toml::Value>) -> Option<String> {
    let value = value?;
    if HIDDEN.contains(&key) {
        return Some("(hidden)".to_owned());
    }
    Some(value.to_string())
}

/// Finds every unknown key at once (serde stops at the first) and remembers
/// where the known ones stand.
struct Walk<'a> {
    text: &'a str,
    spans: HashMap<String, Range<usize>>,
    unknown: Vec<Problem>,
}

impl Walk<'_> {
    fn table(&mut self, table: &DeTable<'_>, keys: &'static [Key], prefix: &str) {
        for (name, value) in table {
            let dotted = join(prefix, name.get_ref());
            let Some(key) = keys.iter().find(|key| key.name == name.get_ref().as_ref()) else {
                self.unknown.push(Problem {
                    place: Some(place(self.text, name.span().start)),
                    message: format!(
                        "unknown key `{dotted}`{}",
                        suggestion(name.get_ref(), prefix, keys)
                    ),
                });
                continue;
            };
            if let Some(nested) = key.table {
                match value.get_ref() {
                    DeValue::Table(table) => self.table(table, nested, &dotted),
                    DeValue::Array(array) => {
                        for entry in array {
                            if let DeValue::Table(table) = entry.get_ref() {
                                self.table(table, nested, &dotted);
                            }
                        }
                    }
                    _ => {}
                }
            }
            self.spans.insert(dotted, name.span());
        }
    }
}

fn join(prefix: &str, name: &str) -> String {
    if prefix.is_empty() {
        name.to_owned()
    } else {
        format!("{prefix}.{name}")
    }
}

/// The nearest known name: among the section's own first, then anywhere, for
/// a key that was put into the wrong section.
fn suggestion(name: &str, prefix: &str, keys: &'static [Key]) -> String {
    let nearest = keys
        .iter()
        .map(|key| (strsim::damerau_levenshtein(name, key.name), key.name))
        .min_by_key(|&(distance, _)| distance)
        .filter(|&(distance, known)| distance <= 1 + known.len() / 3);
    if let Some((_, known)) = nearest {
        return format!("; did you mean `{}`?", join(prefix, known));
    }
    for section in Settings::KEYS {
        if section
            .table
            .is_some_and(|keys| keys.iter().any(|key| key.name == name))
        {
            return format!("; it belongs in the section [{}]", section.name);
        }
    }
    let known: Vec<&str> = keys.iter().map(|key| key.name).collect();
    format!("; known here: {}", known.join(", "))
}
