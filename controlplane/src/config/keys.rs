//! One table per section names every key, its documentation and its default,
//! so that parsing, `--print-default` and the search for a misspelt key cannot
//! drift apart.

use std::fmt::Write as _;

use toml::{Table, Value};

/// How a key appears in the printed default.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shown {
    /// In force as printed.
    Default,
    /// Unset; printed as a comment with this example.
    Example,
}

/// One key.
#[derive(Debug, Clone, Copy)]
pub struct Key {
    /// Its name within the section.
    pub name: &'static str,
    /// Its documentation, line by line.
    pub documentation: &'static [&'static str],
    /// Whether `text` is the default.
    pub shown: Shown,
    /// A value in TOML.
    pub text: &'static str,
    /// The keys of the tables in it, when it holds such.
    pub inner: &'static [&'static str],
}

/// One section.
#[derive(Debug, Clone, Copy)]
pub struct Section {
    /// Its name in the file.
    pub name: &'static str,
    /// Its documentation, line by line.
    pub documentation: &'static [&'static str],
    /// Its keys, in printing order.
    pub keys: &'static [Key],
}

/// Declares a section: a struct with the documented fields, its defaults and
/// its [`Section`].
macro_rules! section {
    ($(#[doc = $about:literal])+ $section:ident $name:literal {
        $($(#[doc = $doc:literal])+ $(#[serde($($serde:tt)+)])? $key:ident: $type:ty = $default:expr,
            $shown:ident $text:literal $([$($inner:literal),+])?;)+
    }) => {
        $(#[doc = $about])+
        #[derive(Debug, Clone, PartialEq, serde::Deserialize)]
        #[serde(default, deny_unknown_fields)]
        pub struct $section {
            $($(#[doc = $doc])+ $(#[serde($($serde)+)])? pub $key: $type,)+
        }

        impl Default for $section {
            fn default() -> Self {
                Self { $($key: $default,)+ }
            }
        }

        impl $section {
            /// What the file may say.
            pub const SECTION: $crate::config::keys::Section = $crate::config::keys::Section {
                name: $name,
                documentation: &[$($about),+],
                keys: &[$($crate::config::keys::Key {
                    name: stringify!($key),
                    documentation: &[$($doc),+],
                    shown: $crate::config::keys::Shown::$shown,
                    text: $text,
                    inner: &[$($($inner),+)?],
                }),+],
            };
        }
    };
}
pub(crate) use section;

/// The default configuration as a commented file.
pub fn print(sections: &[Section]) -> String {
    let mut out = String::new();
    for (index, section) in sections.iter().enumerate() {
        if index > 0 {
            out.push('\n');
        }
        comment(&mut out, section.documentation);
        let _ = writeln!(out, "[{}]", section.name);
        for key in section.keys {
            comment(&mut out, key.documentation);
            let mark = if key.shown == Shown::Example { "#" } else { "" };
            let _ = writeln!(out, "{mark}{} = {}", key.name, key.text);
        }
    }
    out
}

fn comment(out: &mut String, lines: &[&str]) {
    for line in lines {
        let _ = writeln!(out, "#{}", line.trim_end());
    }
}

/// A sentence for every key of the file that no section knows.
pub fn unknown(sections: &[Section], file: &Table) -> Vec<String> {
    let mut complaints = Vec::new();
    let names = || sections.iter().map(|s| s.name);
    for (name, value) in file {
        let Some(section) = sections.iter().find(|s| s.name == name) else {
            let kind = if value.is_table() { "section" } else { "key" };
            complaints.push(sentence(kind, name, "", names(), sections));
            continue;
        };
        let Value::Table(table) = value else { continue };
        for (name, value) in table {
            let Some(key) = section.keys.iter().find(|k| k.name == name) else {
                complaints.push(sentence(
                    "key",
                    &format!("{}.{name}", section.name),
                    &format!("{}.", section.name),
                    section.keys.iter().map(|k| k.name),
                    sections,
                ));
                continue;
            };
            if key.inner.is_empty() {
                continue;
            }
            for table in tables(value) {
                for name in table
                    .keys()
                    .filter(|name| !key.inner.contains(&name.as_str()))
                {
                    let outer = format!("{}.{}.", section.name, key.name);
                    complaints.push(sentence(
                        "key",
                        &format!("{outer}{name}"),
                        &outer,
                        key.inner.iter().copied(),
                        sections,
                    ));
                }
            }
        }
    }
    complaints
}

fn tables(value: &Value) -> Vec<&Table> {
    match value {
        Value::Table(table) => vec![table],
        Value::Array(values) => values.iter().filter_map(Value::as_table).collect(),
        _ => Vec::new(),
    }
}

fn sentence(
    kind: &str,
    unknown: &str,
    prefix: &str,
    known: impl Iterator<Item = &'static str>,
    sections: &[Section],
) -> String {
    let last = unknown.rsplit('.').next().unwrap_or(unknown);
    // The same name in another section is the likelier slip.
    let elsewhere = sections
        .iter()
        .flat_map(|s| s.keys.iter().map(move |k| (s.name, k.name)))
        .find(|(_, key)| *key == last)
        .map(|(section, key)| format!("{section}.{key}"));
    let nearest = elsewhere.or_else(|| {
        known
            .map(|name| (strsim::jaro_winkler(last, name), name))
            .max_by(|a, b| a.0.total_cmp(&b.0))
            .map(|(_, name)| format!("{prefix}{name}"))
    });
    match nearest {
        Some(nearest) => format!("unknown {kind} `{unknown}`; did you mean `{nearest}`?"),
        None => format!("unknown {kind} `{unknown}`"),
    }
}
