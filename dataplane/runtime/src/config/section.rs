//! A section of the configuration is a struct whose doc comments are also the
//! text an operator reads: one macro makes both from one place.

/// A key as an operator meets it.
#[derive(Debug, Clone, Copy)]
pub struct Key {
    /// Its name within the section.
    pub name: &'static str,
    /// Its documentation, line by line.
    pub docs: &'static [&'static str],
    /// A value to show where the default is to leave the key out.
    pub example: Option<&'static str>,
    /// The keys of the table, or of each table of the array, behind it.
    pub table: Option<&'static [Self]>,
}

/// A table of the configuration file.
pub trait Section {
    /// Its keys, in the order they are printed.
    const KEYS: &'static [Key];
}

macro_rules! section {
    (@option) => { None };
    (@option $value:expr) => { Some($value) };
    (
        $(#[doc = $about:literal])*
        pub struct $name:ident {
            $(
                $(#[doc = $doc:literal])*
                $(#[serde($($serde:tt)*)])?
                $field:ident: $type:ty = $default:expr
                $(, example $example:literal)?
                $(, table $table:ty)?;
            )*
        }
    ) => {
        $(#[doc = $about])*
        #[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
        #[serde(deny_unknown_fields, default)]
        pub struct $name {
            $( $(#[doc = $doc])* $(#[serde($($serde)*)])? pub $field: $type, )*
        }

        impl Default for $name {
            fn default() -> Self {
                Self { $( $field: $default, )* }
            }
        }

        impl $crate::config::section::Section for $name {
            const KEYS: &'static [$crate::config::section::Key] = &[
                $( $crate::config::section::Key {
                    name: stringify!($field),
                    docs: &[$($doc),*],
                    example: section!(@option $($example)?),
                    table: section!(@option $(<$table as $crate::config::section::Section>::KEYS)?),
                }, )*
            ];
        }
    };
}

pub(crate) use section;
