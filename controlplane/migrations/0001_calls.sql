-- Calls and who took part. Never addresses, candidates or descriptions.
-- Times are seconds since the Unix epoch.
CREATE TABLE calls (
    id TEXT PRIMARY KEY NOT NULL,
    room TEXT NOT NULL,
    started_at INTEGER NOT NULL,
    ended_at INTEGER,
    peak INTEGER NOT NULL DEFAULT 0,
    mos REAL
) STRICT;

CREATE INDEX calls_by_start ON calls (started_at DESC, id DESC);

CREATE TABLE participants (
    id TEXT PRIMARY KEY NOT NULL,
    call TEXT NOT NULL REFERENCES calls (id) ON DELETE CASCADE,
    identity TEXT NOT NULL,
    name TEXT NOT NULL,
    way TEXT NOT NULL,
    joined_at INTEGER NOT NULL,
    left_at INTEGER,
    reason TEXT,
    mos REAL,
    freezes INTEGER NOT NULL DEFAULT 0,
    freeze_ms INTEGER NOT NULL DEFAULT 0
) STRICT;

CREATE INDEX participants_by_call ON participants (call, joined_at);
