//! A server under test: started pinned inside the server namespace, its CPU
//! time and memory read from `/proc`.

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::{SERVER_CORE, SERVER_NAMESPACE, cleanup, priority};

/// Queues are empty when the CPU time stands still this long.
const STILL: Duration = Duration::from_millis(30);
/// What timers alone may use meanwhile.
const STILL_NS: u64 = 2_000_000;
const SETTLING_ROUNDS: usize = 150;

/// A running server process, killed when dropped.
#[derive(Debug)]
pub struct ServerProcess {
    child: Child,
}

impl ServerProcess {
    /// Starts `program` with `arguments` on the server's core in the server's
    /// namespace; its standard error goes to the file `log`.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start(program: &str, arguments: &[String], log: &Path) -> Result<Self> {
        let core = SERVER_CORE.to_string();
        let child = Command::new("ip")
            .args([
                "netns",
                "exec",
                SERVER_NAMESPACE,
                "setsid",
                "taskset",
                "-c",
                &core,
                program,
            ])
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(File::create(log)?)
            .spawn()
            .with_context(|| format!("cannot start {program}"))?;
        cleanup::hold_process(child.id());
        priority::prefer_session_of(child.id());
        Ok(Self { child })
    }

    /// Waits for the first line on standard output.
    ///
    /// # Errors
    /// When the process ends without one.
    pub fn wait_line(&mut self) -> Result<String> {
        let stdout = self
            .child
            .stdout
            .take()
            .context("standard output is taken already")?;
        let mut line = String::new();
        BufReader::new(stdout).read_line(&mut line)?;
        if line.is_empty() {
            bail!("the server ended before it was ready");
        }
        Ok(line)
    }

    /// Reads and forgets what the process writes, so that a full pipe never
    /// stops it.
    pub fn discard_output(&mut self) {
        if let Some(mut stdout) = self.child.stdout.take() {
            std::thread::spawn(move || std::io::copy(&mut stdout, &mut std::io::sink()));
        }
    }

    /// Process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Whether it still runs.
    pub fn is_alive(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// CPU time of all threads, nanoseconds. The kernel adds the running
    /// thread's time at ticks and switches, so read it when the server idles.
    ///
    /// # Errors
    /// When the process is gone.
    pub fn cpu_ns(&self) -> Result<u64> {
        let mut total = 0;
        let tasks = format!("/proc/{}/task", self.id());
        for task in fs::read_dir(&tasks).with_context(|| format!("the server is gone: {tasks}"))? {
            let path = task?.path().join("schedstat");
            // A helper thread may end between the listing and the read.
            let Ok(text) = fs::read_to_string(path) else {
                continue;
            };
            let spent = text.split_whitespace().next().unwrap_or_default();
            total += spent
                .parse::<u64>()
                .context("schedstat of this kernel is not understood")?;
        }
        Ok(total)
    }

    /// Waits until the server has worked off its queues; returns its CPU time.
    ///
    /// # Errors
    /// As [`ServerProcess::cpu_ns`].
    pub fn settled_cpu_ns(&self) -> Result<u64> {
        let mut last = self.cpu_ns()?;
        for _ in 0..SETTLING_ROUNDS {
            std::thread::sleep(STILL);
            let now = self.cpu_ns()?;
            if now - last < STILL_NS {
                return Ok(now);
            }
            last = now;
        }
        Ok(last)
    }

    /// Resident user memory, bytes.
    ///
    /// # Errors
    /// When the process is gone.
    pub fn resident_bytes(&self) -> Result<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib = line.and_then(|line| line.split_whitespace().next());
        Ok(kib.context("no VmRSS")?.parse::<u64>()? * 1024)
    }
}

impl Drop for ServerProcess {
    fn drop(&mut self) {
        let pid = Pid::from_raw(self.child.id().cast_signed());
        let _ = kill(pid, Signal::SIGKILL);
        let _ = self.child.wait();
        cleanup::forget_process(self.child.id());
    }
}
