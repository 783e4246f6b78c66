//! The key of the embedded store: a file that is made once, readable by its owner alone.

use std::{
    fs,
    io::Write,
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::Path,
};

use super::{KeyRing, SealError};

/// Why there is no key.
#[derive(Debug, thiserror::Error)]
pub enum KeyFileError {
    /// The file or its folder can be neither read nor made.
    #[error("the key file cannot be read or made")]
    Io(#[from] std::io::Error),
    /// It holds no key.
    #[error("the key file holds no key")]
    Malformed(#[from] SealError),
}

impl KeyRing {
    /// The keys in `path`, one a line, the sealing key first. At the first start a file with a new key is made.
    ///
    /// # Errors
    /// [`KeyFileError`]. A file that is there is never replaced: what it sealed would be lost.
    pub fn from_file(path: &Path) -> Result<Self, KeyFileError> {
        if let Some(folder) = path.parent() {
            fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        }
        if !path.exists() {
            // Written aside and then given its name, which fails if somebody else was faster: whoever finds the file
            // finds it whole.
            let aside = path.with_extension(format!("{}.new", std::process::id()));
            let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&aside)?;
            writeln!(file, "{}", Self::generate())?;
            file.sync_all()?;
            let named = fs::hard_link(&aside, path);
            fs::remove_file(&aside)?;
            named.or_else(|error| if error.kind() == std::io::ErrorKind::AlreadyExists { Ok(()) } else { Err(error) })?;
        }
        let text = fs::read_to_string(path)?;
        Ok(Self::from_base64(text.lines().map(str::trim).filter(|line| !line.is_empty()))?)
    }
}
