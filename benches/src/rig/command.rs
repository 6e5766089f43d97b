//! Running the host's network tools.

use std::io::Write as _;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail};

/// Runs `line` (split at spaces) and returns its standard output.
///
/// # Errors
/// When the tool is missing or fails; its standard error is in the message.
pub fn run(line: &str) -> Result<String> {
    feed(line, "")
}

/// Runs `line` (split at spaces) with `input` on its standard input.
///
/// # Errors
/// As [`run`].
pub fn feed(line: &str, input: &str) -> Result<String> {
    let mut words = line.split_whitespace();
    let program = words.next().context("an empty command")?;
    let mut child = Command::new(program)
        .args(words)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| {
            format!("cannot start `{program}`: install iproute2, ethtool and nftables")
        })?;
    if let Some(mut stdin) = child.stdin.take() {
        stdin.write_all(input.as_bytes())?;
    }
    let output = child.wait_with_output()?;
    if !output.status.success() {
        bail!(
            "`{line}`: {}",
            String::from_utf8_lossy(&output.stderr).trim()
        );
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
