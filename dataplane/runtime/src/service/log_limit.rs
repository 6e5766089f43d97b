//! Lines of one cause, no more than so many: whoever finds a way to make the
//! server complain must not fill its disk.

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tracing::callsite::Identifier;
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber, warn};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;

/// Lines of one cause at once: as many as a start with every core and address
/// tells.
const BURST: f64 = 100.0;

/// How often a cause says what was suppressed.
const TELL: Duration = Duration::from_secs(10);

/// Of the lines that say so, which are not limited themselves.
const SUPPRESSED: &str = "forebay::suppressed";

/// The longest part of a suppressed line that is quoted.
const QUOTED: usize = 200;

/// A cause is a place in the program that speaks: there are as many as were
/// compiled in.
#[derive(Debug, Default)]
pub(super) struct Limiter {
    per_minute: AtomicU32,
    causes: Mutex<HashMap<Identifier, Cause>>,
}

#[derive(Debug)]
struct Cause {
    tokens: f64,
    at: Instant,
    suppressed: u64,
    /// One of the lines.
    like: String,
    told: Instant,
}

impl Limiter {
    /// 0 switches the limit off.
    pub(super) fn set(&self, per_minute: u32) {
        self.per_minute.store(per_minute, Ordering::Relaxed);
    }

    /// Whether the line may be written.
    fn admit(&self, event: &Event<'_>) -> bool {
        let metadata = event.metadata();
        let per_minute = self.per_minute.load(Ordering::Relaxed);
        if per_minute == 0 || *metadata.level() > Level::INFO || metadata.target() == SUPPRESSED {
            return true;
        }
        let now = Instant::now();
        let mut causes = self.lock();
        let cause = causes.entry(metadata.callsite()).or_insert_with(|| Cause {
            tokens: BURST,
            at: now,
            suppressed: 0,
            like: String::new(),
            told: now,
        });
        let refill = now.duration_since(cause.at).as_secs_f64() * f64::from(per_minute) / 60.0;
        cause.tokens = (cause.tokens + refill).min(BURST);
        cause.at = now;
        if cause.tokens >= 1.0 {
            cause.tokens -= 1.0;
            return true;
        }
        cause.suppressed += 1;
        if cause.suppressed == 1 {
            event.record(&mut Message(&mut cause.like));
        }
        false
    }

    /// Says what was suppressed since it was last said.
    pub(super) fn tell(&self) {
        self.tell_what_is_older_than(TELL);
    }

    /// Says it all, at the end.
    pub(super) fn tell_all(&self) {
        self.tell_what_is_older_than(Duration::ZERO);
    }

    fn tell_what_is_older_than(&self, age: Duration) {
        let now = Instant::now();
        let mut told = Vec::new();
        for cause in self.lock().values_mut() {
            if cause.suppressed > 0 && now.duration_since(cause.told) >= age {
                cause.told = now;
                told.push((
                    std::mem::take(&mut cause.suppressed),
                    std::mem::take(&mut cause.like),
                ));
            }
        }
        for (suppressed, like) in told {
            warn!(
                target: SUPPRESSED,
                suppressed, "suppressed {suppressed} more lines like: {like}"
            );
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Identifier, Cause>> {
        self.causes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Copies the text of a line.
struct Message<'a>(&'a mut String);

impl Visit for Message<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() == "message" {
            self.0.clear();
            self.0.extend(format!("{value:?}").chars().take(QUOTED));
        }
    }
}

/// The limiter among the layers of a subscriber.
#[derive(Debug)]
pub(super) struct Limit(pub(super) Arc<Limiter>);

impl<S: Subscriber> Layer<S> for Limit {
    fn event_enabled(&self, event: &Event<'_>, _: Context<'_, S>) -> bool {
        self.0.admit(event)
    }
}
