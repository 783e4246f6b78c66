//! The tokens of this user on this machine: a file that they alone can read.

use std::{
    collections::BTreeMap,
    fs,
    io::{ErrorKind, Write},
    path::PathBuf,
};

use anyhow::Context;
use serde::{Deserialize, Serialize};

use crate::{
    clock::{Clock, Timestamp},
    secret::Secret,
};

/// A token as it is kept.
pub(super) struct KeptToken {
    pub(super) token: Secret,
    /// When it ends.
    pub(super) expires_at: Timestamp,
}

impl KeptToken {
    pub(super) fn has_expired(&self) -> bool {
        Clock::System.now() >= self.expires_at
    }
}

/// The same in the file.
#[derive(Serialize, Deserialize)]
struct Line {
    token: String,
    /// In seconds since 1970.
    expires_at: i64,
}

/// The file.
pub(super) struct KeptTokens(PathBuf);

impl KeptTokens {
    /// The file in the user's configuration directory (XDG Base Directory Specification).
    ///
    /// # Errors
    /// The user has none.
    pub(super) fn open() -> anyhow::Result<Self> {
        let configuration = variable("XDG_CONFIG_HOME").map(PathBuf::from);
        let configuration = configuration.or_else(|| Some(PathBuf::from(variable("HOME")?).join(".config")));
        let directory = configuration.context("neither XDG_CONFIG_HOME nor HOME says where tokens are kept")?.join("evergate");
        Ok(Self(directory.join("tokens.json")))
    }

    /// The token for an app.
    ///
    /// # Errors
    /// The file cannot be read.
    pub(super) fn find(&self, app: &str) -> anyhow::Result<Option<KeptToken>> {
        Ok(self.read()?.remove(app).map(|Line { token, expires_at }| KeptToken {
            token: Secret::new(token),
            expires_at: Timestamp(expires_at.saturating_mul(1000)),
        }))
    }

    /// Keeps the token for an app, in place of an older one.
    ///
    /// # Errors
    /// The file cannot be read, or not be written.
    pub(super) fn keep(&self, app: &str, kept: &KeptToken) -> anyhow::Result<()> {
        let mut all = self.read()?;
        let line = Line { token: kept.token.expose().to_owned(), expires_at: kept.expires_at.seconds() };
        all.insert(app.to_owned(), line);
        self.write(&all).with_context(|| format!("the token cannot be kept in {}", self.0.display()))
    }

    fn read(&self) -> anyhow::Result<BTreeMap<String, Line>> {
        match fs::read(&self.0) {
            Ok(text) => serde_json::from_slice(&text).with_context(|| format!("{} is not a file of tokens", self.0.display())),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(BTreeMap::new()),
            Err(error) => Err(error).with_context(|| format!("{} cannot be read", self.0.display())),
        }
    }

    /// Writes another file in its place, so that none is left half-written.
    fn write(&self, all: &BTreeMap<String, Line>) -> anyhow::Result<()> {
        let directory = self.0.parent().context("it has no directory")?;
        fs::create_dir_all(directory)?;
        let new = directory.join(format!(".tokens.{}", std::process::id()));
        let mut options = fs::OpenOptions::new();
        options.write(true).create(true).truncate(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let mut file = options.open(&new)?;
        file.write_all(&serde_json::to_vec_pretty(all)?)?;
        file.sync_all()?;
        Ok(fs::rename(&new, &self.0)?)
    }
}

/// The name of this machine, by which its user recognises a token.
pub(super) fn machine_name() -> String {
    let name = fs::read_to_string("/etc/hostname").ok().or_else(|| variable("HOSTNAME")).or_else(|| variable("COMPUTERNAME"));
    let name: String = name.unwrap_or_default().trim().chars().filter(|character| !character.is_control()).take(50).collect();
    if name.is_empty() { "terminal".to_owned() } else { format!("terminal on {name}") }
}

#[expect(clippy::disallowed_methods, reason = "these commands are a user's, and have no settings of a gateway")]
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}
