//! Every bound of the protocol. The largest message of each kind fits
//! [`MESSAGE`]; a test adds them up.

/// Bytes of one message.
pub const MESSAGE: usize = 65_536;
/// Bytes of a username, longer than RFC 8489 §14.3 allows on the wire (508).
pub const USERNAME: usize = 512;
/// Bytes of a REALM (RFC 8489 §14.9).
pub const REALM: usize = 763;
/// Bytes of a name we give: software versions, ids of secrets.
pub const NAME: usize = 64;
/// Bytes of a sentence for people.
pub const SENTENCE: usize = 512;
/// Bytes of a TURN REST secret.
pub const SECRET_KEY: usize = 256;
/// Bytes of a static user's name, and of its password.
pub const STATIC_USER: usize = 128;
/// TURN REST secrets in force at once.
pub const SECRETS: usize = 16;
/// Static users.
pub const USERS: usize = 128;
/// Prefixes in one list of the peer policy.
pub const PREFIXES: usize = 1_024;
/// Listening addresses.
pub const LISTENERS: usize = 64;
/// Relay addresses.
pub const RELAYS: usize = 64;
/// Workers on one page.
pub const WORKERS: usize = 256;
/// Allocations on one page, created or deleted.
pub const ALLOCATIONS: usize = 96;
/// Values in a worker's page of statistics.
pub const STATS: usize = 256;
/// Bytes of a control plane's note on a session or a track.
pub const NOTE: usize = 8_192;
/// Bytes of an ICE password, or of a link's key and salt.
pub const MEDIA_SECRET: usize = 256;
/// Bytes of an ICE username fragment (RFC 8839 §5.4).
pub const UFRAG: usize = 256;
/// Media addresses of one worker.
pub const MEDIA_ADDRESSES: usize = 16;
/// Bytes of a mid or rid.
pub const MID: usize = 16;
/// Payload types of one track.
pub const CODECS: usize = 16;
/// Encodings of one track.
pub const ENCODINGS: usize = 4;
/// Media events on one page.
pub const MEDIA_EVENTS: usize = 256;
/// Workers with media addresses on one page.
pub const MEDIA_WORKERS: usize = 128;
/// Subscriptions on one page of a snapshot.
pub const SUBSCRIPTIONS: usize = 128;
/// Sessions on one page.
pub const SESSIONS: usize = 80;
/// Keys a reload tells of.
pub const CHANGES: usize = 96;
/// Bytes of a configuration value that is told; what is longer is cut.
pub const VALUE: usize = 256;
/// Bytes of a report for people on what is wrong with a configuration.
pub const REPORT: usize = 4_096;
