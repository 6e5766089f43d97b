//! Words for the operator about credentials whose password was right and that
//! were refused all the same: a guess at passwords is counted, these are told.

use tracing::warn;

use crate::worker::WorkerReport;

pub(super) fn tell(report: &WorkerReport) {
    let WorkerReport::RefusedCredentials {
        expired,
        too_far_ahead,
    } = report
    else {
        return;
    };
    if let Some(refused) = expired {
        warn!(
            client = %refused.client,
            seconds = refused.seconds,
            requests = refused.requests,
            "credential of {} expired {} s ago ({} such requests): a new one is needed, or a clock is wrong",
            refused.client,
            refused.seconds,
            refused.requests
        );
    }
    if let Some(refused) = too_far_ahead {
        warn!(
            client = %refused.client,
            seconds = refused.seconds,
            requests = refused.requests,
            "credential of {} expires {} s ahead, more than two days ({} such requests): milliseconds instead of \
             seconds, or a clock is wrong",
            refused.client,
            refused.seconds,
            refused.requests
        );
    }
}
