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

/// What comes of `outcome`, with the same deadline.
pub async fn in_time<T>(what: &str, outcome: impl Future<Output = T>) -> T {
    tokio::time::timeout(DEADLINE, outcome).await.unwrap_or_else(|_| panic!("it never came about: {what}"))
}

/// Waits until all has happened that happens by itself. A test, its gateways, apps and provider share one thread: between any two of
/// these pauses each of them does what it can, so that their number counts, and not how fast the machine is.
pub async fn settled() {
    for _ in 0..20 {
        tokio::time::sleep(Duration::from_millis(15)).await;
    }
}

/// Waits until there was progress, and is none any more, because all that is on its way has nowhere to go.
pub async fn stands_still(progress: impl Fn() -> usize) {
    let standing = async {
        loop {
            let before = progress();
            settled().await;
            if before > 0 && progress() == before {
                return;
            }
        }
    };
    in_time("it stands still", standing).await;
}
