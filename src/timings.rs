//! Timings of background work and of waits, in real time. They are a parameter like the [`Clock`](crate::clock::Clock), so
//! that tests need not wait as long as users do.

use std::time::Duration;

/// How often background work runs, and how long something is waited for. None of these is a user's setting.
#[derive(Clone, Copy, Debug)]
pub struct Timings {
    /// Interval of housekeeping: reads the store's figures and sweeps expired rows.
    pub housekeeping_interval: Duration,
    /// Interval at which last-seen times are written to the store.
    pub last_seen_interval: Duration,
    /// Interval at which grants are looked for whose refresh token is near its idle expiry.
    pub idle_refresh_interval: Duration,
    /// Interval at which due token revocations are looked for, in addition to each end of a session.
    pub revocation_interval: Duration,
    /// Pause after a poll for security events that brought none. Where a transmitter does not wait for events, one waits so long at most.
    pub event_poll_interval: Duration,
    /// Longest time that a transmitter may wait for an event before it answers a poll.
    pub event_poll_wait: Duration,
    /// Interval at which files of allowed e-mail addresses are read; a change counts at the second reading.
    pub email_files_interval: Duration,
    /// Longest time that a request waits for a token refresh.
    pub blocking_refresh_wait: Duration,
    /// Longest time that a login that returns waits for a store that is away.
    pub login_store_wait: Duration,
    /// How far apart tabs of one browser come back from the provider at most for one of them to go on with the login of another, whose
    /// user nobody has asked: in a longer time a person can log in as somebody else.
    pub tabs_apart: Duration,
    /// A connection to an app (HTTP/1.1) has been idle for so long before it bears another request: what the app sends meanwhile is
    /// no response to that.
    pub upstream_min_idle: Duration,
    /// How long a gateway that stops reports itself unready before it accepts no more connections, so that load balancers
    /// notice in time.
    pub unready_before_stop: Duration,
}

impl Default for Timings {
    fn default() -> Self {
        Self {
            housekeeping_interval: Duration::from_secs(15),
            last_seen_interval: Duration::from_secs(5),
            idle_refresh_interval: Duration::from_secs(10),
            revocation_interval: Duration::from_secs(5),
            event_poll_interval: Duration::from_millis(500),
            event_poll_wait: Duration::from_secs(60),
            email_files_interval: Duration::from_secs(2),
            blocking_refresh_wait: Duration::from_secs(8),
            login_store_wait: Duration::from_secs(5),
            tabs_apart: Duration::from_secs(2),
            upstream_min_idle: Duration::from_millis(1),
            unready_before_stop: Duration::from_millis(500),
        }
    }
}
