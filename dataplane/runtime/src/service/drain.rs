//! Waiting for the old allocations to finish.

use std::time::{Duration, Instant};

use tracing::{info, warn};

use super::{seconds, systemd::Notifier};
use crate::node::Node;

/// Workers publish what they hold in housekeeping: before this has passed,
/// "none left" may be old news.
const SETTLE: Duration = Duration::from_millis(300);

/// How often the log says how many remain.
const TELL: Duration = Duration::from_secs(10);

/// A drain as the process sees it; the deadline is the node's.
#[derive(Debug, Default)]
pub(super) struct Drain {
    begun: Option<Instant>,
    told: Option<Instant>,
}

impl Drain {
    /// Whether a drain is under way and has come to its end.
    pub(super) fn is_over(&mut self, node: &mut Node, systemd: &mut Notifier) -> bool {
        let Some(left) = node.drain_time_left() else {
            return false;
        };
        node.repeat_drain();
        let now = Instant::now();
        let begun = *self.begun.get_or_insert(now);
        let remaining = node.live();
        if remaining <= node.drain_at_most() && now.duration_since(begun) >= SETTLE {
            if remaining == 0 {
                info!("drained");
            } else {
                info!("drained but for {remaining} allocations, which are cut off");
            }
            return true;
        }
        if left.is_zero() {
            warn!("the deadline has come, {remaining} allocations are cut off");
            return true;
        }
        if self
            .told
            .is_none_or(|told| now.duration_since(told) >= TELL)
        {
            self.told = Some(now);
            info!(
                "draining: {remaining} allocations remain, {} left",
                seconds(left)
            );
        }
        systemd.draining(remaining, left);
        false
    }
}
