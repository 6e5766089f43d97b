//! A limit Forebay sets itself, and whether a run kept it.

use std::fmt;

use serde::Serialize;

/// One limit.
#[derive(Clone, Debug, Serialize)]
pub struct Gate {
    /// What is limited.
    pub name: String,
    /// The limit, for people.
    pub limit: String,
    /// What was measured, for people.
    pub measured: String,
    /// Whether it was kept.
    pub reached: bool,
}

impl fmt::Display for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verdict = if self.reached { "reached" } else { "MISSED " };
        let Self {
            name,
            limit,
            measured,
            ..
        } = self;
        write!(f, "{verdict}  {name}: {measured}, {limit}")
    }
}
