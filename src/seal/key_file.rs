//! The key file of the embedded store, which is created once and readable by its owner alone.

use std::{
    fs,
    io::Write,
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::Path,
};

use super::{KeyRing, SealError};

/// Why the key file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KeyFileError {
    /// The file or its directory can be neither read nor created.
    #[error("the key file cannot be read or created")]
    Io(#[from] std::io::Error),
    /// The file holds no valid key.
    #[error("the key file holds no key")]
    Malformed(#[from] SealError),
}

impl KeyRing {
    /// Reads the keys in `path`, one per line, the encrypting key first. If there is no file, creates one with a new key.
    ///
    /// # Errors
    /// [`KeyFileError`]. An existing file is never replaced: what is encrypted under its keys would be lost.
    pub fn from_file(path: &Path) -> Result<Self, KeyFileError> {
        if let Some(folder) = path.parent() {
            fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        }
        if !path.exists() {
            // Written to a temporary file and then linked, which fails if another process was faster: whoever finds the file
            // finds it complete.
            let temporary = path.with_extension(format!("{}.new", std::process::id()));
            let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temporary)?;
            writeln!(file, "{}", Self::generate())?;
            file.sync_all()?;
            let linked = fs::hard_link(&temporary, path);
            fs::remove_file(&temporary)?;
            linked.or_else(|error| if error.kind() == std::io::ErrorKind::AlreadyExists { Ok(()) } else { Err(error) })?;
        }
        let text = fs::read_to_string(path)?;
        Ok(Self::from_base64(text.lines().map(str::trim).filter(|line| !line.is_empty()))?)
    }
}
