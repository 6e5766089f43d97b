//! Usage records: what every allocation moved, to a file and a webhook.
//!
//! # What is promised
//! Every allocation gets one record of kind `end`, with a UUID of its own, and
//! the records are written by a thread of their own: no packet waits for them.
//! - To the file: each line once. It is on disk (fsync) within a second of the
//!   allocation's end.
//! - To the webhook: at least once, in requests whose bytes and
//!   `Idempotency-Key` never change between attempts, also over a restart.
//!   A receiver that takes a key once, or a `uuid` with its `kind` and
//!   `number`, has every record exactly once.
//! - When the process ends orderly, every live allocation is ended in a record
//!   too, and nothing waits outside of the disk.
//! - When it crashes, the next start writes a record for each allocation that
//!   was alive, marked `crashed`. One that ended in the second before the crash
//!   may so have two, with the same UUID.
//! - What has to be dropped (a full queue, a full disk, a full spool) is
//!   counted in `forebay_usage_records_total{result="lost"}`.

mod file;
mod journal;
mod record;
mod spool;
mod webhook;
mod writer;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, TrySendError, bounded};
use tracing::error;
use zeroize::Zeroizing;

use crate::config::{self, CredentialsError};
use crate::node::{Change, Node, unix_seconds};
use file::UsageFile;
use journal::Journal;
use spool::{Spool, make_private};
use webhook::{FAREWELL, Orders, Token, Webhook};
use writer::{Note, State, Writer};

/// Notes that may wait for the writer: every allocation of a large server
/// ending at once.
const NOTES: usize = 1 << 17;

/// What became of the records.
#[derive(Debug, Default)]
pub struct Tally {
    /// Written to the file.
    pub written: AtomicU64,
    /// Taken by the webhook.
    pub delivered: AtomicU64,
    /// Refused by the webhook for good.
    pub refused: AtomicU64,
    /// Dropped for want of room.
    pub lost: AtomicU64,
    /// Requests to the webhook that have to be repeated.
    pub webhook_errors: AtomicU64,
    /// Bytes that wait for the webhook.
    pub spool_bytes: AtomicU64,
}

/// Why no records can be written.
#[derive(Debug, thiserror::Error)]
pub enum UsageError {
    /// The file cannot be written.
    #[error("`usage.file`: {0}: {1}")]
    File(PathBuf, std::io::Error),
    /// The directory cannot be used.
    #[error(
        "`usage.directory`: {0}: {1}; name a directory this process may write to, or set StateDirectory= in the unit"
    )]
    Directory(PathBuf, std::io::Error),
    /// The token cannot be read.
    #[error("`usage.webhook_token_file`: {0}")]
    Token(#[from] CredentialsError),
    /// The token is not text.
    #[error("`usage.webhook_token_file`: the token must be printable ASCII")]
    NoToken,
    /// No thread can be started.
    #[error("usage records: no thread: {0}")]
    Thread(std::io::Error),
}

/// The control thread's end.
#[derive(Debug)]
pub struct Recorder {
    notes: Sender<Box<Note>>,
    writer: JoinHandle<()>,
    webhook: Option<(Arc<Orders>, Receiver<()>)>,
    tally: Arc<Tally>,
    interim: Option<Duration>,
    next_interim: Instant,
    /// What is measured now becomes interim records.
    measuring: bool,
}

impl Recorder {
    /// Starts the threads; `None` when no records are wanted.
    ///
    /// # Errors
    /// What keeps records from being written.
    pub fn start(
        usage: &config::Usage,
        config_file: &Path,
        software: &'static str,
    ) -> Result<Option<Self>, UsageError> {
        if usage.file.is_none() && usage.webhook.is_none() {
            return Ok(None);
        }
        let token = read_token(usage, config_file)?;
        let directory = directory(usage);
        let fail = |error| UsageError::Directory(directory.clone(), error);
        make_private(&directory).map_err(fail)?;
        let (journal, left) = Journal::open(&directory).map_err(fail)?;
        let tally = Arc::new(Tally::default());
        let file = match &usage.file {
            Some(path) => {
                Some(UsageFile::open(path).map_err(|error| UsageError::File(path.clone(), error))?)
            }
            None => None,
        };
        let mut spool = None;
        let mut webhook = None;
        if let Some(url) = &usage.webhook {
            let opened = Spool::open(&directory.join("spool"), usage.spool << 20, &tally);
            let opened = opened.map_err(fail)?;
            let (bell, rings) = bounded(1);
            let (alive, ended) = bounded::<()>(0);
            let orders = Arc::new(Orders {
                token: Mutex::new(token),
                ending: AtomicBool::new(false),
                bell,
            });
            let thread = Webhook {
                url: url.clone(),
                shelf: opened.shelf(),
                orders: Arc::clone(&orders),
                bell: rings,
                tally: Arc::clone(&tally),
                software,
            };
            thread::Builder::new()
                .name("forebay-webhook".to_owned())
                .spawn(move || {
                    thread.run();
                    // Its end is what the recorder waits for.
                    drop(alive);
                })
                .map_err(UsageError::Thread)?;
            spool = Some((opened, Arc::clone(&orders)));
            webhook = Some((orders, ended));
        }
        let (notes, receiver) = bounded(NOTES);
        let writer = Writer {
            notes: receiver,
            host: host(),
            file,
            spool,
            journal,
            tally: Arc::clone(&tally),
            state: State::default(),
        };
        let writer = thread::Builder::new()
            .name("forebay-usage".to_owned())
            .spawn(move || writer.run(left))
            .map_err(UsageError::Thread)?;
        Ok(Some(Self {
            notes,
            writer,
            webhook,
            tally,
            interim: usage.interim,
            next_interim: Instant::now() + usage.interim.unwrap_or_default(),
            measuring: false,
        }))
    }

    /// What became of the records.
    pub fn tally(&self) -> &Arc<Tally> {
        &self.tally
    }

    /// Records what changed.
    pub fn see(&mut self, change: &Change) {
        let note = match change {
            Change::Created(session) => Note::Begun(session.clone()),
            Change::Ended(ended) => Note::Ended(ended.clone()),
            Change::Measured(session) if self.measuring => {
                Note::Measured(session.clone(), unix_seconds())
            }
            Change::Measured(_) | Change::Media(_) => return,
        };
        self.tell(note);
    }

    /// Has the workers asked when interim records are due.
    pub fn turn(&mut self, node: &mut Node) {
        let under_way = node.survey().is_under_way();
        self.measuring &= under_way;
        let Some(interim) = self.interim else {
            return;
        };
        let now = Instant::now();
        if now >= self.next_interim && !under_way {
            self.next_interim = now + interim;
            self.measuring = true;
            node.begin_survey();
        }
    }

    /// Takes over what may change while the process runs, and opens the file
    /// again.
    pub fn reload(&mut self, interim: Option<Duration>, token: Token) {
        self.interim = interim;
        if let Some((orders, _)) = &self.webhook {
            *orders.token.lock().unwrap_or_else(PoisonError::into_inner) = token;
        }
        self.tell(Note::Reopen);
    }

    /// Waits until everything is on disk, and a few seconds for the webhook to
    /// take it; the rest is delivered after the next start.
    pub fn finish(self) {
        drop(self.notes);
        if self.writer.join().is_err() {
            error!("usage records: the writing thread panicked");
        }
        if let Some((orders, ended)) = self.webhook {
            orders.ending.store(true, Ordering::Release);
            orders.ring();
            // Disconnected: it has ended.
            let _ = ended.recv_timeout(FAREWELL + Duration::from_secs(1));
        }
    }

    fn tell(&self, note: Note) {
        if let Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) =
            self.notes.try_send(Box::new(note))
        {
            self.tally.lost.fetch_add(1, Ordering::Relaxed);
            error!("usage records: one lost, the disk is too slow");
        }
    }
}

/// The webhook's token, where one is configured.
///
/// # Errors
/// Why it cannot be used.
pub(crate) fn read_token(usage: &config::Usage, config_file: &Path) -> Result<Token, UsageError> {
    let Some(name) = &usage.webhook_token_file else {
        return Ok(None);
    };
    let bytes = config::read_secret(name, config_file)?;
    match std::str::from_utf8(&bytes) {
        Ok(text) if text.bytes().all(|byte| byte.is_ascii_graphic()) => {
            Ok(Some(Zeroizing::new(text.to_owned())))
        }
        _ => Err(UsageError::NoToken),
    }
}

/// Where records wait.
fn directory(usage: &config::Usage) -> PathBuf {
    if let Some(directory) = &usage.directory {
        return directory.clone();
    }
    // systemd lists several directories separated by colons.
    let state = std::env::var("STATE_DIRECTORY").ok();
    let first = state.as_deref().and_then(|list| list.split(':').next());
    match first.filter(|first| !first.is_empty()) {
        Some(directory) => PathBuf::from(directory),
        None => PathBuf::from("/var/lib/forebay-turnd"),
    }
}

fn host() -> String {
    nix::unistd::gethostname()
        .ok()
        .and_then(|name| name.into_string().ok())
        .unwrap_or_default()
}
