//! Instruction counts: the benchmark runs itself under valgrind, which counts
//! only inside the measured function.

use std::env;
use std::io::{Error, Result};
use std::process::Command;

/// Every instruction of every round counts alike, so a few are enough.
const ROUNDS: u32 = 10;

/// Instructions per operation of a case.
pub(crate) fn instructions(case: &str) -> Result<f64> {
    let output = Command::new("valgrind")
        .args([
            "--tool=callgrind",
            "--toggle-collect=*measured_round*",
            "--callgrind-out-file=/dev/null",
        ])
        .arg(env::current_exe()?)
        .args(["--counted", case, &ROUNDS.to_string()])
        .output()
        .map_err(|error| {
            Error::other(format!(
                "cannot run valgrind ({error}); install the package valgrind"
            ))
        })?;
    if !output.status.success() {
        return Err(Error::other(
            String::from_utf8_lossy(&output.stderr).into_owned(),
        ));
    }
    let operations = String::from_utf8_lossy(&output.stdout)
        .trim()
        .parse::<f64>()
        .map_err(Error::other)?;
    let log = String::from_utf8_lossy(&output.stderr);
    let collected = log
        .lines()
        .find_map(|line| line.split_once("Collected :"))
        .and_then(|(_, count)| count.trim().parse::<f64>().ok())
        .ok_or_else(|| Error::other("valgrind printed no count"))?;
    Ok(collected / operations)
}
