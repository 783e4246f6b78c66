//! The database: whether it can keep grants, whether replicas hear of each other through it, and what it may forget.

use std::{path::Path, time::Duration};

use super::Finding;
use crate::{
    clock::Clock,
    config::{Checked, EncryptionKeys},
    seal::KeyRing,
    store::{DatabaseFacts, Hearing, Settings, Store},
    telemetry::{logs::causes, metrics::Metrics},
};

const CHECK: &str = "database";
const DOCUMENT: &str = "docs/postgres.md";
/// How long notifications may take to be proved.
const HEARING_DEADLINE: Duration = Duration::from_secs(5);
/// The difference of clocks that is worth a look. Leases are judged by the database's clock alone.
const APART: Duration = Duration::from_secs(10);

/// Connects to Postgres and reads what it says of itself; looks where SQLite's file is or will be.
pub(super) async fn check(checked: &Checked, clock: &Clock) -> Vec<Finding> {
    let keys = match (&checked.store, &checked.keys) {
        (Settings::Sqlite(path), _) => return vec![sqlite(path)],
        (Settings::Postgres(_), EncryptionKeys::Given(keys)) => keys.clone(),
        (Settings::Postgres(_), EncryptionKeys::File(_) | EncryptionKeys::GivenBeside(..)) => return Vec::new(),
    };
    let store = match Store::open(&checked.store, keys.clone(), Metrics::default()) {
        Ok(store) => store,
        Err(error) => return vec![Finding::error(CHECK, causes(&error)).see(DOCUMENT)],
    };
    match store.examine().await {
        Ok(Some(facts)) => {
            let mut findings = facts_of(&facts, clock);
            if facts.pending_migrations == 0 && facts.tables_without_rights.is_empty() {
                findings.push(announcements(&store).await);
                findings.push(encryption_keys(&store, &keys).await);
            }
            findings
        }
        Ok(None) => Vec::new(),
        Err(error) => vec![
            Finding::error(CHECK, causes(&error))
                .advise("correct CODER_PG_CONNECTION_URL, or look for a firewall between here and Postgres")
                .see(DOCUMENT),
        ],
    }
}

/// One replica alone can use the file, which is made at the first start.
fn sqlite(path: &Path) -> Finding {
    let shown = path.display();
    let directory = path.parent().unwrap_or(Path::new("."));
    // An existing file is opened for writing, and nothing is written.
    let opened = if path.exists() { std::fs::OpenOptions::new().append(true).open(path).map(drop) } else { writable(directory) };
    match opened {
        Ok(()) => Finding::info(CHECK, format!("SQLite in {shown}, which one replica alone can use")).see(DOCUMENT),
        Err(error) => Finding::error(CHECK, format!("SQLite in {shown} cannot be written: {error}"))
            .advise("give Evergate's user the right to write in CODER_DATA_DIR")
            .see(DOCUMENT),
    }
}

/// Whether this process may write to a directory, or to the first above it that exists.
fn writable(directory: &Path) -> std::io::Result<()> {
    let existing = directory.ancestors().find(|directory| directory.exists() || directory.as_os_str().is_empty());
    let existing = existing.filter(|directory| !directory.as_os_str().is_empty()).unwrap_or(Path::new("."));
    Ok(rustix::fs::access(existing, rustix::fs::Access::WRITE_OK)?)
}

fn facts_of(facts: &DatabaseFacts, clock: &Clock) -> Vec<Finding> {
    let pooled = if facts.is_pooled { ", through a pooler in transaction mode" } else { "" };
    let mut findings = vec![if facts.is_writable {
        Finding::ok(CHECK, format!("Postgres {}{pooled}", facts.version))
    } else {
        Finding::error(CHECK, format!("Postgres {} takes no writes: nobody can log in", facts.version))
            .advise("have CODER_PG_CONNECTION_URL lead to the primary, or set several hosts and target_session_attrs=read-write")
            .see(DOCUMENT)
    }];
    if let Some(encoding) = &facts.unfit_encoding {
        let seen = format!("the database's encoding is {encoding}, which lacks letters of users' names and groups");
        findings.push(Finding::error("encoding", seen).advise("move it to a database of encoding UTF8").see(DOCUMENT));
    }
    findings.extend(migrations(facts));
    if !facts.tables_without_rights.is_empty() {
        let seen = format!("this role may not read and write the rows of {}", facts.tables_without_rights.join(", "));
        findings
            .push(Finding::error("rights", seen).advise("grant SELECT, INSERT, UPDATE and DELETE on all tables").see(DOCUMENT));
    }
    let now = clock.now();
    let apart = facts.now.since(now).max(now.since(facts.now));
    if apart > APART {
        let seen = format!("the database's clock and this machine's are {} s apart", apart.as_secs());
        findings.push(Finding::warning("database's clock", seen).advise("synchronize the clocks (NTP)").see(DOCUMENT));
    }
    findings.extend(facts.may_lose.map(|sentence| Finding::warning("durability", sentence).see("docs/store-outages.md")));
    findings
}

fn migrations(facts: &DatabaseFacts) -> Option<Finding> {
    const CHECK: &str = "migrations";
    if !facts.leftover_tables.is_empty() {
        let tables = facts.leftover_tables.join(", ");
        let seen = format!("a backup was restored over a newer schema, whose tables ({tables}) no migration can make any more");
        return Some(Finding::error(CHECK, seen).advise("restore it again, into an empty schema").see("docs/operations.md"));
    }
    let seen = format!("{} migrations have not been applied", facts.pending_migrations);
    match (facts.pending_migrations, facts.may_create) {
        (0, _) => Some(Finding::ok(CHECK, "the schema is up to date")),
        (_, true) => Some(Finding::info(CHECK, format!("{seen}; the next start applies them")).see(DOCUMENT)),
        (_, false) => Some(
            Finding::error(CHECK, format!("{seen}, and this role may not"))
                .advise("run evergate migrate as the schema's owner")
                .see(DOCUMENT),
        ),
    }
}

/// Waits until a notification to oneself has come back, or polling has taken its place.
async fn announcements(store: &Store) -> Finding {
    const CHECK: &str = "announcements";
    let listening = store.run_listener(|_| {});
    let heard = async {
        loop {
            tokio::time::sleep(Duration::from_millis(50)).await;
            if store.hearing() != Hearing::Nothing {
                break store.hearing();
            }
        }
    };
    let heard = tokio::select! {
        () = listening => Hearing::Nothing,
        heard = tokio::time::timeout(HEARING_DEADLINE, heard) => heard.unwrap_or(Hearing::Nothing),
    };
    match heard {
        Hearing::Notifications => Finding::ok(CHECK, "notifications arrive: replicas hear of each other at once"),
        Hearing::Polling => {
            Finding::info(CHECK, "no notification arrives; replicas poll for changes, and hear of them within a second")
                .advise("set CODER_PG_LISTEN_URL to the database itself if the other URL leads to a pooler")
                .see(DOCUMENT)
        }
        Hearing::Nothing => Finding::warning(CHECK, "changes are not heard of; each session is looked up every half second")
            .advise("set CODER_PG_LISTEN_URL to the database itself if the other URL leads to a pooler")
            .see(DOCUMENT),
    }
}

async fn encryption_keys(store: &Store, keys: &KeyRing) -> Finding {
    const CHECK: &str = "encryption keys";
    const DOCUMENT: &str = "docs/keys-and-restores.md";
    if let Err(error) = store.check_for_missing_keys().await {
        return Finding::warning(CHECK, format!("the stored tokens cannot be read: {}", causes(&error))).see(DOCUMENT);
    }
    let missing = store.missing_keys();
    if missing.is_empty() {
        return Finding::ok(CHECK, format!("{} keys, which decrypt the stored tokens that were looked at", keys.ids().count()));
    }
    let named: Vec<_> = missing.iter().map(|usage| format!("{} ({} grants)", usage.key, usage.grants)).collect();
    Finding::error(CHECK, format!("stored tokens are sealed with keys that are not given: {}", named.join(", ")))
        .advise("add the old key behind the first in CODER_EXTERNAL_TOKEN_ENCRYPTION_KEYS")
        .see(DOCUMENT)
}
