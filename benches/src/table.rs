//! Tables for a terminal and as Markdown.

use std::fmt::Write as _;

/// One table: its head and its lines.
pub struct Table {
    /// Its head.
    pub head: Vec<String>,
    /// Its lines.
    pub lines: Vec<Vec<String>>,
}

impl Table {
    /// No lines yet.
    #[must_use]
    pub fn new(head: &[&str]) -> Self {
        Self {
            head: head.iter().map(ToString::to_string).collect(),
            lines: Vec::new(),
        }
    }

    /// As aligned text.
    #[must_use]
    pub fn plain(&self) -> String {
        let mut widths: Vec<usize> = self.head.iter().map(|cell| cell.chars().count()).collect();
        for line in &self.lines {
            for (width, cell) in widths.iter_mut().zip(line) {
                *width = (*width).max(cell.chars().count());
            }
        }
        let mut text = String::new();
        for line in std::iter::once(&self.head).chain(&self.lines) {
            for (cell, width) in line.iter().zip(&widths) {
                let _ = write!(text, "{cell:<width$}  ");
            }
            text.truncate(text.trim_end().len());
            text.push('\n');
        }
        text
    }

    /// As Markdown.
    #[must_use]
    pub fn markdown(&self) -> String {
        let rule = vec!["---".to_owned(); self.head.len()];
        let lines = [&self.head, &rule].into_iter().chain(&self.lines);
        lines
            .map(|line| format!("| {} |\n", line.join(" | ")))
            .collect()
    }
}
