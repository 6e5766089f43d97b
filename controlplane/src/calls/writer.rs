//! Writes records in batches, one transaction each.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep};

use super::{CallEvent, Store};
use crate::rooms::metrics::RoomMetrics;
use crate::settings::{Settings, unix_now};

/// Records written in one transaction.
const BATCH: usize = 256;
/// Pause after the database failed.
const PAUSE: Duration = Duration::from_secs(2);
/// How often old calls are removed.
const TIDY: Duration = Duration::from_secs(3_600);

/// Writes for as long as records may come. `store` gets the database once it
/// is open.
pub async fn run(
    path: PathBuf,
    mut waiting: mpsc::Receiver<CallEvent>,
    store: watch::Sender<Option<Store>>,
    settings: watch::Receiver<Arc<Settings>>,
    metrics: Arc<RoomMetrics>,
) {
    let mut last_problem = String::new();
    let mut tidied: Option<Instant> = None;
    let mut batch = Vec::with_capacity(BATCH);
    let open = loop {
        match Store::open(&path).await {
            Ok(open) => break open,
            Err(error) => {
                complain(&mut last_problem, &error.to_string());
                // The queue drops and counts what does not fit meanwhile.
                sleep(PAUSE).await;
            }
        }
    };
    store.send_replace(Some(open.clone()));
    tracing::info!(database = %path.display(), "calls are recorded");
    while waiting.recv_many(&mut batch, BATCH).await > 0 {
        match open.write(&batch).await {
            Ok(()) => last_problem.clear(),
            Err(error) => {
                metrics.calls_failed.inc_by(batch.len() as u64);
                complain(&mut last_problem, &error.to_string());
                sleep(PAUSE).await;
            }
        }
        batch.clear();
        if tidied.is_none_or(|at| at.elapsed() > TIDY) {
            tidied = Some(Instant::now());
            let keep = settings.borrow().config.calls.keep.as_secs();
            if let Err(error) = open.forget_before(unix_now().saturating_sub(keep)).await {
                complain(&mut last_problem, &error.to_string());
            }
        }
    }
}

/// Once per cause.
fn complain(last: &mut String, problem: &str) {
    if last != problem {
        tracing::error!(problem, "call records");
        problem.clone_into(last);
    }
}
