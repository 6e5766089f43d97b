//! Precedence over whatever else the machine does meanwhile.
//!
//! The scheduler shares a core between sessions first (autogroup) and between
//! processes of a session then, so both have their niceness lowered. The
//! session belongs to the caller's terminal: it gets its old value back.

use std::fs;
use std::thread;
use std::time::Duration;

use super::command::run;

/// The niceness of everything that is measured.
pub(super) const FIRST: i32 = -20;
/// Looks for the new session, one a millisecond.
const APPEARANCES: u32 = 500;
const SESSION: &str = "/proc/self/autogroup";

/// Prefers this process, what it starts, and its session. Returns the
/// session's niceness until now; nothing on kernels without such groups.
pub(super) fn raise() -> Option<i32> {
    // Only steadies the figures, so a refusal is no failure.
    let _ = run(&format!("renice -n {FIRST} -p {}", std::process::id()));
    let group = fs::read_to_string(SESSION).ok()?;
    let before: i32 = group.split_whitespace().last()?.parse().ok()?;
    fs::write(SESSION, FIRST.to_string()).ok()?;
    // What a killed run left behind is nobody's wish.
    Some(if before == FIRST { 0 } else { before })
}

/// Gives a process that is about to have a session of its own the same
/// precedence. With its own session, its weight on its core is not shared with
/// what we do on ours.
pub(super) fn prefer_session_of(pid: u32) {
    let file = format!("/proc/{pid}/autogroup");
    let Ok(ours) = fs::read_to_string(SESSION) else {
        return;
    };
    for _ in 0..APPEARANCES {
        if fs::read_to_string(&file).is_ok_and(|group| group != ours) {
            // Only steadies the figures, so a refusal is no failure.
            let _ = fs::write(&file, FIRST.to_string());
            return;
        }
        thread::sleep(Duration::from_millis(1));
    }
}

/// Gives the session its niceness back.
pub(super) fn restore(session: i32) {
    let _ = fs::write(SESSION, session.to_string());
}
