//! Reads files of e-mail addresses again when they change.

use std::{sync::Arc, time::Duration};

use super::watched_file::WatchedFile;
use crate::{policy::EmailFile, visitor::Visitors};

/// Reads the files, for as long as it runs. What users have open whom the policy admits no more is cut.
pub(super) async fn run(files: Vec<EmailFile>, visitors: Arc<Visitors>, interval: Duration) {
    let mut all: Vec<_> = files.into_iter().map(|file| (WatchedFile::new(file.path().to_owned()), file)).collect();
    while !all.is_empty() {
        tokio::time::sleep(interval).await;
        let mut has_changed = false;
        for (watched, file) in &mut all {
            if let Some(text) = watched.read_change().await
                && file.replace(&text)
            {
                has_changed = true;
                tracing::info!(file = %file.path().display(), addresses = file.count(), "e-mail addresses were read again");
            }
        }
        if has_changed {
            visitors.check_everything();
        }
    }
}
