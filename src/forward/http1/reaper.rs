//! Looks at the idle connections of a pool from time to time, for as long as the pool exists.

use std::{sync::Arc, time::Duration};

use tokio::time::{Instant, MissedTickBehavior, interval};

/// How often idle connections are looked at. None is used beyond its limit, however long ago that was.
const REAP_INTERVAL: Duration = Duration::from_secs(1);

/// Has `reap` close what has been idle for too long in `pool`, by a task that ends after the pool.
pub fn spawn_reaper<P: Send + Sync + 'static>(pool: &Arc<P>, reap: fn(&P)) {
    let pool = Arc::downgrade(pool);
    tokio::spawn(async move {
        let mut ticks = interval(REAP_INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let Some(pool) = pool.upgrade() else { return };
            reap(&pool);
        }
    });
}

/// By which it is measured how long a connection is idle.
#[expect(clippy::disallowed_methods, reason = "how long a connection stays idle has nothing to do with tokens' times")]
pub fn now() -> Instant {
    Instant::now()
}
