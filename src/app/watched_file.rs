//! A file that is read again when it changes.

use std::path::PathBuf;

use crate::secret::sha256;

/// A file of text. A content counts that is the same at two readings, because whoever writes it may not be done; a file that cannot
/// be read changes nothing.
#[derive(Debug)]
pub struct WatchedFile {
    path: PathBuf,
    /// The digest of the content that is in force, if it is known.
    current: Option<[u8; 32]>,
    /// The digest of the content at the last reading.
    seen: Option<[u8; 32]>,
    is_readable: bool,
}

impl WatchedFile {
    /// A file whose content is read for the first time.
    pub fn new(path: PathBuf) -> Self {
        Self { path, current: None, seen: None, is_readable: true }
    }

    /// A file whose content now is in force already.
    pub fn in_force(path: PathBuf) -> Self {
        let mut file = Self::new(path);
        file.is_in_force();
        file
    }

    /// Says that what the file holds now is in force: it was read, or is about to be, by somebody else.
    pub fn is_in_force(&mut self) {
        self.current = std::fs::read(&self.path).ok().map(|text| sha256(&text));
    }

    /// Reads the file. Returns its content if that is another one than what was in force, and has it in force.
    pub async fn read_change(&mut self) -> Option<String> {
        let path = self.path.clone();
        let text = match tokio::task::spawn_blocking(move || std::fs::read_to_string(path)).await {
            Ok(Ok(text)) => text,
            Ok(Err(error)) => {
                if std::mem::take(&mut self.is_readable) {
                    tracing::error!(file = %self.path.display(), %error, "a file cannot be read again; what it said before stays in force");
                }
                return None;
            }
            // The runtime is shutting down.
            Err(_) => return None,
        };
        self.is_readable = true;
        let digest = Some(sha256(text.as_bytes()));
        if digest == self.current || self.seen != digest {
            self.seen = digest;
            return None;
        }
        self.current = digest;
        Some(text)
    }
}
