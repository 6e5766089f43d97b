//! The default configuration as text, made from the doc comments.

use std::fmt::Write;

use super::Role;
use super::section::{Key, Section};
use super::settings::Settings;

/// Keys that only a server without a control plane has.
const STANDALONE: &[(&str, &str)] = &[("auth", "secrets"), ("auth", "users_file")];

/// Sections that only a data plane has.
const CONTROLLED: &[&str] = &["media"];

/// The configuration that is in force when nothing is said, every key
/// documented. Keys whose default is to be left out stand behind `#`.
pub fn default_text(role: Role) -> String {
    let defaults = toml::Table::try_from(Settings::default()).unwrap_or_default();
    let mut text = String::new();
    for key in Settings::KEYS.iter().filter(|key| key.table.is_none()) {
        write_key(&mut text, key, &defaults);
    }
    for section in Settings::KEYS {
        let Some(keys) = section.table else { continue };
        if role == Role::Standalone && CONTROLLED.contains(&section.name) {
            continue;
        }
        text.push('\n');
        write_docs(&mut text, section.docs);
        let _ = writeln!(text, "[{}]", section.name);
        let empty = toml::Table::new();
        let values = defaults
            .get(section.name)
            .and_then(toml::Value::as_table)
            .unwrap_or(&empty);
        for key in keys {
            if role == Role::Controlled && STANDALONE.contains(&(section.name, key.name)) {
                continue;
            }
            write_key(&mut text, key, values);
        }
    }
    text
}

fn write_key(text: &mut String, key: &Key, values: &toml::Table) {
    write_docs(text, key.docs);
    // Writing to a String cannot fail.
    let _ = match (values.get(key.name), key.example) {
        (Some(toml::Value::Array(array)), _) if array.is_empty() => match key.table {
            Some(keys) => writeln!(text, "{} = [] # {}", key.name, entry(keys)),
            None => writeln!(text, "{} = []", key.name),
        },
        (Some(value), _) => writeln!(text, "{} = {value}", key.name),
        (None, Some(example)) => writeln!(text, "#{} = {example}", key.name),
        (None, None) => writeln!(text, "#{} =", key.name),
    };
}

/// An array's entry, from the examples of its keys.
fn entry(keys: &[Key]) -> String {
    let fields: Vec<String> = keys
        .iter()
        .filter_map(|key| {
            key.example
                .map(|example| format!("{} = {example}", key.name))
        })
        .collect();
    format!("[{{ {} }}]", fields.join(", "))
}

fn write_docs(text: &mut String, docs: &[&str]) {
    for line in docs {
        let _ = writeln!(text, "#{line}");
    }
}
