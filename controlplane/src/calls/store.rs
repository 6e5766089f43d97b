//! The database of calls.

use std::path::Path;
use std::time::Duration;

use serde::Serialize;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions};
use sqlx::{FromRow, migrate::Migrator};

use super::CallEvent;
use crate::rooms::note::Way;

static MIGRATIONS: Migrator = sqlx::migrate!("./migrations");

/// How long a statement waits for another's lock.
const BUSY: Duration = Duration::from_secs(5);
/// Calls on one page at most.
pub const PAGE_MAX: u32 = 200;

/// Why the database cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// It refused.
    #[error("calls.database: {0}")]
    Database(#[from] sqlx::Error),
    /// Its tables cannot be brought up to date.
    #[error("calls.database: {0}")]
    Migration(#[from] sqlx::migrate::MigrateError),
}

/// A call.
#[derive(Debug, Clone, PartialEq, Serialize, FromRow)]
pub struct CallRecord {
    /// Its id.
    pub id: String,
    /// Where.
    pub room: String,
    /// Seconds since the Unix epoch.
    pub started_at: i64,
    /// Seconds since the Unix epoch; none while it goes on.
    pub ended_at: Option<i64>,
    /// The most participants at a time.
    pub peak: i64,
    /// Mean opinion score.
    pub mos: Option<f64>,
}

/// Somebody's part in a call.
#[derive(Debug, Clone, PartialEq, Serialize, FromRow)]
pub struct ParticipantRecord {
    /// Its id.
    pub id: String,
    /// The call.
    pub call: String,
    /// Who.
    pub identity: String,
    /// For people.
    pub name: String,
    /// `web`, `whip` or `whep`.
    pub way: String,
    /// Seconds since the Unix epoch.
    pub joined_at: i64,
    /// Seconds since the Unix epoch; none while it is there.
    pub left_at: Option<i64>,
    /// Why it went.
    pub reason: Option<String>,
    /// Mean opinion score.
    pub mos: Option<f64>,
    /// Times its pictures stood still.
    pub freezes: i64,
    /// For how long, milliseconds.
    pub freeze_ms: i64,
}

/// Which calls.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Page {
    /// Of this room alone.
    pub room: Option<String>,
    /// Behind this one: its start and id.
    pub after: Option<(i64, String)>,
    /// At most so many, and never more than [`PAGE_MAX`].
    pub limit: u32,
}

/// The database.
#[derive(Debug, Clone)]
pub struct Store(SqlitePool);

impl Store {
    /// Opens it, or makes it.
    pub async fn open(path: &Path) -> Result<Self, StoreError> {
        let options = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(true)
            .foreign_keys(true)
            .journal_mode(SqliteJournalMode::Wal)
            .busy_timeout(BUSY);
        let pool = SqlitePoolOptions::new()
            .max_connections(3)
            .acquire_timeout(BUSY)
            .connect_with(options)
            .await?;
        MIGRATIONS.run(&pool).await?;
        Ok(Self(pool))
    }

    /// Writes records, all or none.
    pub async fn write(&self, events: &[CallEvent]) -> Result<(), StoreError> {
        let mut transaction = self.0.begin().await?;
        for event in events {
            let query = match event {
                CallEvent::Started { call, room, at } => sqlx::query(
                    "INSERT INTO calls (id, room, started_at) VALUES (?, ?, ?) ON CONFLICT DO NOTHING",
                )
                .bind(call.to_string())
                .bind(room.as_str().to_owned())
                .bind(whole(*at)),
                CallEvent::Joined {
                    call,
                    participant,
                    identity,
                    name,
                    way,
                    at,
                } => sqlx::query(
                    "INSERT INTO participants (id, call, identity, name, way, joined_at) \
                     SELECT ?, id, ?, ?, ?, ? FROM calls WHERE id = ? ON CONFLICT DO NOTHING",
                )
                .bind(participant.to_string())
                .bind(identity.as_str().to_owned())
                .bind(name.clone())
                .bind(match way {
                    Way::Web => "web",
                    Way::Whip => "whip",
                    Way::Whep => "whep",
                })
                .bind(whole(*at))
                .bind(call.to_string()),
                CallEvent::Left {
                    call: _,
                    participant,
                    at,
                    reason,
                    mos,
                    freezes,
                    freeze_ms,
                } => sqlx::query(
                    "UPDATE participants SET left_at = ?, reason = ?, mos = ?, freezes = ?, freeze_ms = ? WHERE id = ?",
                )
                .bind(whole(*at))
                .bind(reason.name())
                .bind(*mos)
                .bind(whole(*freezes))
                .bind(whole(*freeze_ms))
                .bind(participant.to_string()),
                CallEvent::Ended {
                    call,
                    at,
                    peak,
                    mos,
                } => sqlx::query("UPDATE calls SET ended_at = ?, peak = ?, mos = ? WHERE id = ?")
                    .bind(whole(*at))
                    .bind(whole(*peak as u64))
                    .bind(*mos)
                    .bind(call.to_string()),
            };
            query.execute(&mut *transaction).await?;
        }
        transaction.commit().await?;
        Ok(())
    }

    /// Removes calls that ended before, and those nobody ended that began
    /// before.
    pub async fn forget_before(&self, at: u64) -> Result<(), StoreError> {
        sqlx::query("DELETE FROM calls WHERE coalesce(ended_at, started_at) < ?")
            .bind(whole(at))
            .execute(&self.0)
            .await?;
        Ok(())
    }

    /// Calls, the latest first.
    pub async fn calls(&self, page: &Page) -> Result<Vec<CallRecord>, StoreError> {
        let (at, id) = page.after.clone().unwrap_or((i64::MAX, String::new()));
        let calls = sqlx::query_as(
            "SELECT id, room, started_at, ended_at, peak, mos FROM calls \
             WHERE (started_at < ?1 OR started_at = ?1 AND id < ?2) AND (?3 IS NULL OR room = ?3) \
             ORDER BY started_at DESC, id DESC LIMIT ?4",
        )
        .bind(at)
        .bind(id)
        .bind(page.room.clone())
        .bind(page.limit.clamp(1, PAGE_MAX))
        .fetch_all(&self.0)
        .await?;
        Ok(calls)
    }

    /// Who took part in a call.
    pub async fn participants(&self, call: &str) -> Result<Vec<ParticipantRecord>, StoreError> {
        let participants = sqlx::query_as(
            "SELECT id, call, identity, name, way, joined_at, left_at, reason, mos, freezes, freeze_ms \
             FROM participants WHERE call = ? ORDER BY joined_at, id LIMIT 10000",
        )
        .bind(call.to_owned())
        .fetch_all(&self.0)
        .await?;
        Ok(participants)
    }
}

/// SQLite's integers are signed.
fn whole(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
