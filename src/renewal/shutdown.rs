//! The end of this process: no token refresh begins any more, and those under way are saved.

use std::{sync::atomic::Ordering, time::Duration};

use super::{Renewer, recovery};

impl Renewer {
    /// Starts no more token refreshes, and waits until those under way are saved, because there is no other copy of a rotated
    /// token. Returns `false` if one did not finish within the longest time that it can take.
    pub async fn finish(&self) -> bool {
        for engine in &*self.engines {
            engine.draining.store(true, Ordering::Release);
        }
        self.tasks.close();
        tokio::time::timeout(self.longest_finish(), self.tasks.wait()).await.is_ok()
    }

    /// The longest time that a token refresh takes, until its outcome is saved.
    pub fn longest_finish(&self) -> Duration {
        let longest = self.engines.iter().map(|engine| engine.provider.token_timeout()).max().unwrap_or_default();
        longest + recovery::SAVING
    }
}
