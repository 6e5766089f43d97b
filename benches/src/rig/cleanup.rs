//! What must be gone when the process ends, however it ends.
//!
//! The release profile aborts on a panic, so destructors alone do not do:
//! a panic hook and a signal thread take down the same things.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;

use anyhow::{Context as _, Result};
use nix::sys::signal::{SigSet, Signal, kill};
use nix::unistd::Pid;

use super::command::run;
use super::priority;

static HELD: Mutex<Held> = Mutex::new(Held {
    processes: Vec::new(),
    namespaces: Vec::new(),
    session: None,
});

struct Held {
    processes: Vec<i32>,
    namespaces: Vec<String>,
    session: Option<i32>,
}

fn held() -> MutexGuard<'static, Held> {
    HELD.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Installs the panic hook and the signal thread. Call once, before any other
/// thread exists: the signals are blocked here and inherited as blocked.
///
/// # Errors
/// When the signal mask cannot be set.
pub fn install() -> Result<()> {
    let previous = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        previous(info);
        release();
    }));
    let signals = SigSet::from_iter([Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP]);
    signals.thread_block().context("cannot block signals")?;
    thread::Builder::new()
        .name("signals".into())
        .spawn(move || {
            if let Ok(signal) = signals.wait() {
                release();
                std::process::exit(128 + signal as i32);
            }
        })?;
    Ok(())
}

/// Remembers a process of ours.
pub(crate) fn hold_process(pid: u32) {
    held().processes.push(pid.cast_signed());
}

/// Forgets a process that has been waited for, so that its number, which the
/// kernel may give to a stranger, is never signalled.
pub(crate) fn forget_process(pid: u32) {
    held().processes.retain(|held| *held != pid.cast_signed());
}

/// Remembers a network namespace of ours.
pub(crate) fn hold_namespace(name: &str) {
    held().namespaces.push(name.to_owned());
}

/// Raises our precedence until [`release`].
pub(super) fn take_precedence() {
    held().session = priority::raise();
}

/// Kills the remembered processes, deletes the remembered namespaces and gives
/// up the precedence.
pub fn release() {
    let mut held = held();
    for pid in held.processes.drain(..) {
        // Already gone is as good as killed.
        let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
    }
    if let Some(session) = held.session.take() {
        priority::restore(session);
    }
    for name in held.namespaces.drain(..) {
        let _ = run(&format!("ip netns del {name}"));
    }
}

/// Removes what an earlier run, killed without a chance to clean up, left
/// behind in the namespace `name`.
pub(crate) fn remove_stale(name: &str) {
    if let Ok(pids) = run(&format!("ip netns pids {name}")) {
        for pid in pids.split_whitespace().filter_map(|pid| pid.parse().ok()) {
            let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
        }
        let _ = run(&format!("ip netns del {name}"));
    }
}
