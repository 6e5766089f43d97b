//! How often a server takes memory from the C library, counted by probes the
//! kernel puts on its functions. Each hit costs a microsecond, so this has
//! rounds of its own.

use std::fs;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result};
use tempfile::NamedTempFile;

use super::command::run;

const GROUP: &str = "fbbench";
const FUNCTIONS: [&str; 5] = [
    "malloc",
    "calloc",
    "realloc",
    "posix_memalign",
    "aligned_alloc",
];

/// The probes, removed when dropped.
pub struct Probes(());

/// Under way.
pub struct Counting {
    perf: Child,
    output: NamedTempFile,
}

impl Probes {
    /// Puts probes into the C library of the process `pid`.
    ///
    /// # Errors
    /// When perf is missing, or the kernel has no such probes.
    pub fn install(pid: u32) -> Result<Self> {
        let maps = fs::read_to_string(format!("/proc/{pid}/maps"))?;
        let library = maps
            .lines()
            .filter_map(|line| line.split_whitespace().nth(5))
            .find(|path| path.contains("/libc.so"))
            .context("the server has no C library")?;
        // What a killed run left behind.
        remove();
        let probes = Self(());
        for function in FUNCTIONS {
            run(&format!(
                "perf probe -q -x {library} --add {GROUP}:{function}={function}"
            ))?;
        }
        Ok(probes)
    }

    /// Counts what the process `pid` takes within `time` from now on.
    ///
    /// # Errors
    /// When perf cannot be started.
    pub fn count(&self, pid: u32, time: Duration) -> Result<Counting> {
        let output = NamedTempFile::new()?;
        let events = FUNCTIONS.map(|function| format!("{GROUP}:{function}"));
        let perf = Command::new("perf")
            .args(["stat", "-x", ",", "-e", &events.join(",")])
            .args(["-p", &pid.to_string(), "-o"])
            .arg(output.path())
            .args(["--", "sleep", &time.as_secs_f64().to_string()])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        Ok(Counting { perf, output })
    }
}

impl Drop for Probes {
    fn drop(&mut self) {
        remove();
    }
}

fn remove() {
    // Fails when there are none.
    let _ = run(&format!("perf probe -q --del {GROUP}:*"));
}

impl Counting {
    /// Waits for the end; how often the process took memory.
    ///
    /// # Errors
    /// When perf did not count.
    pub fn finish(mut self) -> Result<u64> {
        self.perf.wait()?;
        let text = fs::read_to_string(self.output.path())?;
        let counts: Vec<u64> = text
            .lines()
            .filter(|line| line.contains(GROUP))
            .filter_map(|line| line.split(',').next()?.parse().ok())
            .collect();
        anyhow::ensure!(
            counts.len() == FUNCTIONS.len(),
            "perf counted nothing:\n{text}"
        );
        Ok(counts.iter().sum())
    }
}
