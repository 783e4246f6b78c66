//! Reads files of e-mail addresses again when they change.

use std::{sync::Arc, time::Duration};

use crate::{policy::EmailFile, secret::sha256, visitor::Visitors};

/// A file, and what is known of its content.
struct Watched {
    file: EmailFile,
    /// The digest of the content that is in force, once it was read again.
    current: Option<[u8; 32]>,
    /// The digest of another content that was seen once: whoever writes it may not be done.
    seen: Option<[u8; 32]>,
    is_readable: bool,
}

/// Reads the files, for as long as it runs. A content counts that is the same at two readings; a file that cannot be read changes
/// nothing. What users have open whom the policy admits no more is cut.
pub(super) async fn run(files: Vec<EmailFile>, visitors: Arc<Visitors>, interval: Duration) {
    let mut all: Vec<_> = files.into_iter().map(|file| Watched { file, current: None, seen: None, is_readable: true }).collect();
    while !all.is_empty() {
        tokio::time::sleep(interval).await;
        let mut has_changed = false;
        for watched in &mut all {
            has_changed |= watched.read().await;
        }
        if has_changed {
            visitors.check_everything();
        }
    }
}

impl Watched {
    /// Reads the file, and returns whether other addresses are allowed now.
    async fn read(&mut self) -> bool {
        let path = self.file.path().to_owned();
        let read = tokio::task::spawn_blocking(move || std::fs::read_to_string(path)).await;
        let shown = self.file.path().display();
        let text = match read {
            Ok(Ok(text)) => text,
            Ok(Err(error)) => {
                if std::mem::take(&mut self.is_readable) {
                    tracing::error!(file = %shown, %error, "a file of e-mail addresses cannot be read; the addresses stay as they were");
                }
                return false;
            }
            // The runtime is shutting down.
            Err(_) => return false,
        };
        self.is_readable = true;
        let digest = Some(sha256(text.as_bytes()));
        if digest == self.current || self.seen != digest {
            self.seen = digest;
            return false;
        }
        self.current = digest;
        let has_changed = self.file.replace(&text);
        if has_changed {
            tracing::info!(file = %shown, addresses = self.file.count(), "e-mail addresses were read again");
        }
        has_changed
    }
}
