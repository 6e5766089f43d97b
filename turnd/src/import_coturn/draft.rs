//! The configuration being written. It asks the table of settings before it
//! takes a key, so it never holds one that the file cannot have.

use std::collections::BTreeMap;
use std::fmt::Write;

use forebay_runtime::config::{Section, Settings};

/// Values by dotted key, with the lines they come from.
#[derive(Default)]
pub(super) struct Draft {
    values: BTreeMap<&'static str, (toml::Value, Vec<usize>)>,
}

impl Draft {
    /// Whether the configuration file has this key.
    pub(super) fn knows(key: &str) -> bool {
        let (section, name) = key.split_once('.').unwrap_or(("", key));
        let keys = if section.is_empty() {
            Some(Settings::KEYS)
        } else {
            Settings::KEYS
                .iter()
                .find(|candidate| candidate.name == section)
                .and_then(|found| found.table)
        };
        keys.is_some_and(|keys| keys.iter().any(|candidate| candidate.name == name))
    }

    /// Sets a key that the file has; the caller asked [`Draft::knows`].
    pub(super) fn set(&mut self, key: &'static str, value: toml::Value, lines: Vec<usize>) {
        self.values.insert(key, (value, lines));
    }

    /// The file's text: sections in the order of `--print-default`, above each
    /// key the lines of turnserver.conf it comes from.
    pub(super) fn render(&self, origin: &str) -> String {
        let mut text = format!(
            "# Made by `forebay-turnd import-coturn` from {origin}.\n\
             # Every other key has its default; `forebay-turnd --print-default` explains them all.\n"
        );
        for key in Settings::KEYS.iter().filter(|key| key.table.is_none()) {
            self.write(&mut text, key.name, key.name);
        }
        for section in Settings::KEYS {
            let keys = section.table.unwrap_or_default();
            let dotted = |name: &str| format!("{}.{name}", section.name);
            if !keys
                .iter()
                .any(|key| self.values.contains_key(dotted(key.name).as_str()))
            {
                continue;
            }
            // Writing to a String cannot fail.
            let _ = write!(text, "\n[{}]\n", section.name);
            for key in keys {
                self.write(&mut text, &dotted(key.name), key.name);
            }
        }
        text
    }

    fn write(&self, text: &mut String, dotted: &str, name: &str) {
        let Some((value, lines)) = self.values.get(dotted) else {
            return;
        };
        let numbers: Vec<String> = lines.iter().map(usize::to_string).collect();
        let _ = match numbers.as_slice() {
            [] => Ok(()),
            [one] => writeln!(text, "# line {one}"),
            several => writeln!(text, "# lines {}", several.join(", ")),
        };
        let _ = writeln!(text, "{name} = {value}");
    }
}
