//! An operator who never rests: certificates, reloads, and every verb of
//! `forebay`.

use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use serde::Serialize;

use super::authority::Authority;
use super::churn::add;
use super::server::Server;

/// Between two deeds.
const PAUSE: Duration = Duration::from_millis(700);
/// The user whose allocations are ended.
pub(super) const VICTIM: &str = "victim";

/// What the operator did.
#[derive(Debug, Default)]
pub(super) struct Counts {
    reloads: AtomicU64,
    certificates: AtomicU64,
    verbs: AtomicU64,
    kills: AtomicU64,
}

/// The same, as it is told.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Operated {
    /// Configurations changed and read again, by signal and by command.
    pub reloads: u64,
    /// Certificates exchanged.
    pub certificates: u64,
    /// `status` and `sessions`.
    pub verbs: u64,
    /// Times allocations were ended.
    pub kills: u64,
}

impl Counts {
    pub(super) fn read(&self) -> Operated {
        let of = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Operated {
            reloads: of(&self.reloads),
            certificates: of(&self.certificates),
            verbs: of(&self.verbs),
            kills: of(&self.kills),
        }
    }
}

/// One deed after another, until then.
pub(super) fn run(
    server: &Server,
    authority: &Authority,
    until: Instant,
    counts: &Counts,
) -> Result<()> {
    for turn in 0_u64.. {
        if Instant::now() >= until {
            break;
        }
        match turn % 6 {
            0 => {
                answers(server, &["status", "--json"])?;
                add(&counts.verbs);
            }
            1 => {
                server.renew(authority)?;
                add(&counts.certificates);
            }
            2 => {
                answers(server, &["sessions", "--json"])?;
                add(&counts.verbs);
            }
            3 => {
                server.configure(turn % 12 == 3)?;
                server.hang_up()?;
                add(&counts.reloads);
            }
            4 => {
                // Between two of them there may be none to end.
                if server
                    .operate(&["sessions", "kill", "--user", VICTIM])?
                    .status
                    .success()
                {
                    add(&counts.kills);
                }
            }
            _ => {
                server.configure(turn % 12 == 5)?;
                answers(server, &["reload"])?;
                add(&counts.reloads);
            }
        }
        thread::sleep(PAUSE);
    }
    Ok(())
}

fn answers(server: &Server, arguments: &[&str]) -> Result<()> {
    let output = server.operate(arguments)?;
    if !output.status.success() {
        bail!(
            "forebay {}: {}",
            arguments.join(" "),
            String::from_utf8_lossy(&output.stderr)
        );
    }
    Ok(())
}
