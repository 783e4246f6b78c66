//! Settings of `store`: where grants, sessions and their history are kept, and what encrypts their tokens.

use std::{path::PathBuf, time::Duration};

use super::{
    reader::Reader,
    setting::{Section, Setting, ValueType, setting},
    values,
};
use crate::{
    seal::KeyRing,
    store::{self, PostgresUrl},
};

/// The settings under their heading.
pub(super) const SECTION: Section = Section {
    title: "Storage",
    settings: &[
        &PG_CONNECTION_URL,
        &PG_LISTEN_URL,
        &PG_PASSWORD_FILE,
        &PG_CONN_MAX_OPEN,
        &PG_CONN_MAX_IDLE,
        &DATA_DIR,
        &EXTERNAL_TOKEN_ENCRYPTION_KEYS,
        &EVENT_RETENTION,
    ],
};

const PG_CONNECTION_URL: Setting = setting(
    "pg_connection_url",
    ValueType::Secret,
    "",
    "The connection URL of the Postgres database that stores grants and sessions and that all replicas share. Not set: SQLite in `data_dir`.",
);
const PG_LISTEN_URL: Setting = setting(
    "pg_listen_url",
    ValueType::Secret,
    "",
    "Where notifications (LISTEN) reach Evergate if `pg_connection_url` leads to a pooler: the URL of the database itself. Not set: the same URL. Where no notification arrives, Evergate polls for changes.",
);
const PG_PASSWORD_FILE: Setting = setting(
    "pg_password_file",
    ValueType::Text,
    "",
    "A file with the password for Postgres, instead of one in the URLs. Evergate reads it whenever it opens a connection, so that a vault may rotate it.",
);
const PG_CONN_MAX_OPEN: Setting =
    setting("pg_conn_max_open", ValueType::Number, "10", "The maximum size of the Postgres connection pool of one replica.");
const PG_CONN_MAX_IDLE: Setting = setting(
    "pg_conn_max_idle",
    ValueType::Text,
    "auto",
    "How many connections of the pool stay open while they are idle. `auto` keeps those that were used within ten minutes; `0` closes each after its use, which makes every call slower.",
);
const DATA_DIR: Setting =
    setting("data_dir", ValueType::Text, "evergate-data", "The directory of the SQLite file and its key file, without Postgres.");
const EXTERNAL_TOKEN_ENCRYPTION_KEYS: Setting = setting(
    "external_token_encryption_keys",
    ValueType::Secrets,
    "",
    "Keys that encrypt (seal) tokens at rest with AES-256-GCM: base64 of 32 bytes each, separated by commas. The first encrypts, all decrypt, so that keys can be rotated. `evergate keys generate` makes one. Required with Postgres; with SQLite Evergate makes the key file `token.key` in `data_dir` if it is not set, and opens with its keys, too, what it has encrypted with them before.",
);
const EVENT_RETENTION: Setting = setting(
    "event_retention",
    ValueType::Duration,
    "30d",
    "How long Evergate keeps the history (audit log): each login, renewal, logout and revocation, with its reason. `evergate sessions why` reads it.",
);

/// The names of the files in `data_dir`.
const SQLITE_FILE: &str = "evergate.sqlite";
const KEY_FILE: &str = "token.key";

/// Where the keys that encrypt tokens at rest come from.
#[derive(Clone, Debug)]
pub enum EncryptionKeys {
    /// The settings.
    Given(KeyRing),
    /// The settings, beside the keys of a file that Evergate made before: what is encrypted under them can be read.
    GivenBeside(KeyRing, PathBuf),
    /// A file beside the SQLite file, made at the first start.
    File(PathBuf),
}

/// The store's settings and its encryption keys.
pub(super) fn read(reader: &mut Reader<'_>) -> (Option<store::Settings>, Option<EncryptionKeys>) {
    let max_open = reader.number(&PG_CONN_MAX_OPEN);
    let max_idle = reader.parsed(&PG_CONN_MAX_IDLE, max_idle);
    let url = reader.parsed(&PG_CONNECTION_URL, PostgresUrl::parse);
    let directory = reader.owned(&DATA_DIR).map(PathBuf::from);
    let keys = encryption_keys(reader, directory.as_ref());
    let listen_url = reader.parsed(&PG_LISTEN_URL, PostgresUrl::parse);
    let password_file = reader.owned(&PG_PASSWORD_FILE).map(PathBuf::from);
    if url.is_some() && directory.as_ref().is_some_and(|directory| directory.join(SQLITE_FILE).exists()) {
        let message = "leads to a database of its own: sessions, grants, personal access tokens and SCIM lockouts of evergate.sqlite, \
                       which lies in CODER_DATA_DIR, are not in it";
        reader.warn(&PG_CONNECTION_URL, message);
    }
    let store = match (reader.text(&PG_CONNECTION_URL), url, max_open.zip(max_idle)) {
        (Some(_), Some(url), Some((max_open, max_idle))) => {
            Some(store::Settings::Postgres(store::PostgresSettings { url, listen_url, password_file, max_open, max_idle }))
        }
        (None, _, _) => {
            // Each replica would have a file of its own, and nobody would know of it.
            for setting in [&PG_LISTEN_URL, &PG_PASSWORD_FILE] {
                if reader.is_given(setting) && !reader.is_given(&PG_CONNECTION_URL) {
                    reader.problem(setting, "needs CODER_PG_CONNECTION_URL, without which Evergate keeps everything in a file");
                }
            }
            directory.map(|directory| store::Settings::Sqlite(directory.join(SQLITE_FILE)))
        }
        (Some(_), _, _) => None,
    };
    (store, keys)
}

/// As Coder has it; `Some(None)` for no limit.
fn max_idle(text: &str) -> Result<Option<u32>, String> {
    match text {
        "auto" => Ok(None),
        number => number.parse().map(Some).map_err(|_| "must be auto or a whole number".to_owned()),
    }
}

/// How long events are kept.
pub(super) fn event_retention(reader: &mut Reader<'_>) -> Option<Duration> {
    reader.positive(&EVENT_RETENTION)
}

fn encryption_keys(reader: &mut Reader<'_>, directory: Option<&PathBuf>) -> Option<EncryptionKeys> {
    if let Some(keys) = reader.text(&EXTERNAL_TOKEN_ENCRYPTION_KEYS).map(values::list) {
        return match KeyRing::from_base64(keys.iter().map(String::as_str)) {
            Ok(ring) if reader.is_given(&PG_CONNECTION_URL) => Some(EncryptionKeys::Given(ring)),
            Ok(ring) => directory.map(|directory| EncryptionKeys::GivenBeside(ring, directory.join(KEY_FILE))),
            Err(error) => {
                reader.problem(&EXTERNAL_TOKEN_ENCRYPTION_KEYS, format!("{error}; make one with: evergate keys generate"));
                None
            }
        };
    }
    if reader.is_given(&EXTERNAL_TOKEN_ENCRYPTION_KEYS) {
        return None;
    }
    if reader.is_given(&PG_CONNECTION_URL) {
        let message =
            "is required with Postgres, where tokens are sealed for all replicas; make a key with: evergate keys generate";
        reader.problem(&EXTERNAL_TOKEN_ENCRYPTION_KEYS, message);
        return None;
    }
    directory.map(|directory| EncryptionKeys::File(directory.join(KEY_FILE)))
}
