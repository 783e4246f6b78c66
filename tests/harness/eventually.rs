//! Waiting for an outcome, with a generous deadline.

use std::{ops::AsyncFnMut, time::Duration};

const DEADLINE: Duration = Duration::from_secs(60);

/// Waits until `holds` does.
pub async fn eventually(what: &str, holds: impl AsyncFnMut() -> bool) {
    eventually_within(DEADLINE, what, holds).await;
}

/// The same, where what is waited for takes long by itself.
pub async fn eventually_within(deadline: Duration, what: &str, holds: impl AsyncFnMut() -> bool) {
    looking_each(Duration::from_millis(15), deadline, what, holds).await;
}

/// The same, where each look costs something, as that of a process does.
pub async fn looking_each(pause: Duration, deadline: Duration, what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let wait = async {
        while !holds().await {
            tokio::time::sleep(pause).await;
        }
    };
    assert!(tokio::time::timeout(deadline, wait).await.is_ok(), "it never came about: {what}");
}
