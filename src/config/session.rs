//! Settings of `session`: how long sessions live.

use super::{
    bearer::{DEFAULT_TOKEN_LIFETIME, MAX_TOKEN_LIFETIME},
    reader::Reader,
    setting::{Section, Setting, ValueType, setting},
};
use crate::{personal_tokens, session};

/// The settings under their heading.
pub(super) const SECTION: Section = Section {
    title: "Sessions",
    settings: &[
        &SESSION_DURATION,
        &SESSION_MAX_DURATION,
        &DISABLE_SESSION_EXPIRY_REFRESH,
        &SESSION_CACHE_ENTRIES,
        &STORE_OUTAGE_GRACE,
        &DEFAULT_TOKEN_LIFETIME,
        &MAX_TOKEN_LIFETIME,
    ],
};

const SESSION_DURATION: Setting = setting(
    "session_duration",
    ValueType::Duration,
    "24h",
    "The idle timeout of a session: a session ends when it was not used for this long.",
);
const SESSION_MAX_DURATION: Setting = setting(
    "session_max_duration",
    ValueType::Duration,
    "30d",
    "The absolute timeout of a session: a session ends this long after login, even if it is used. A shorter time holds for the sessions that there are.",
);
const DISABLE_SESSION_EXPIRY_REFRESH: Setting = setting(
    "disable_session_expiry_refresh",
    ValueType::Bool,
    "false",
    "Whether use does not extend a session (no sliding expiration), so that it ends `session_duration` after login.",
);
const SESSION_CACHE_ENTRIES: Setting = setting(
    "session_cache_entries",
    ValueType::Number,
    "100000",
    "How many sessions, and how many grants, one replica keeps in memory (the session cache), a few kilobytes for each pair. A request of another session reads the store first. `evergate_session_cache_loads_total` counts those reads.",
);

const STORE_OUTAGE_GRACE: Setting = setting(
    "store_outage_grace",
    ValueType::Duration,
    "1m",
    "The grace period of an outage of the store: how long a replica serves the sessions that it has in memory while Postgres cannot be asked, with an identity that is marked stale; then 503. Who was ended is taken as known for as long, and for 5 s at least, before bearer tokens of the provider get 503. A session that is ended on another replica during a partition lives at most this long here. `0` answers 503 at once. An outage logs nobody out.",
);

/// The most that the cache may be told to keep.
const MAX_CACHE_ENTRIES: u32 = 100_000_000;

/// The settings of the sessions' cache.
pub(super) fn cache(reader: &mut Reader<'_>) -> Option<session::cache::Settings> {
    let entries = reader.number_up_to(MAX_CACHE_ENTRIES, &SESSION_CACHE_ENTRIES);
    let outage_grace = reader.duration(&STORE_OUTAGE_GRACE);
    let entries = usize::try_from(entries?).unwrap_or(usize::MAX);
    Some(session::cache::Settings { entries, outage_grace: outage_grace? })
}

/// The sessions' settings.
pub(super) fn read(reader: &mut Reader<'_>, tokens: Option<&personal_tokens::Settings>) -> Option<session::Settings> {
    let idle = reader.positive(&SESSION_DURATION);
    let absolute = reader.positive(&SESSION_MAX_DURATION);
    let disabled = reader.boolean(&DISABLE_SESSION_EXPIRY_REFRESH);
    let (idle, absolute) = (idle?, absolute?);
    if idle > absolute && reader.is_chosen(&SESSION_DURATION) {
        reader.warn(&SESSION_DURATION, format!("is longer than {}, after which sessions end", SESSION_MAX_DURATION.env()));
    }
    Some(session::Settings { idle, absolute, sliding: !disabled?, longest_token: tokens?.longest })
}
