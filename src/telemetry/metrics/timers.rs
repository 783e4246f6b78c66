//! What is timed, from its beginning to its end.

use std::time::{Duration, Instant};

use prometheus_client::metrics::{counter::Counter, histogram::Histogram};

const SECONDS: [f64; 12] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 30.0];

/// A histogram of times in seconds.
pub(super) fn seconds() -> Histogram {
    Histogram::new(SECONDS)
}

/// A call to the store that is being timed.
#[derive(Debug)]
pub struct StoreTimer {
    pub(super) seconds: Histogram,
    pub(super) failures: Counter,
    pub(super) started: Instant,
}

impl StoreTimer {
    /// Counts the call.
    pub fn finish(self, succeeded: bool) {
        self.seconds.observe(self.started.elapsed().as_secs_f64());
        if !succeeded {
            self.failures.inc();
        }
    }
}

/// A call to the provider that is being timed.
#[derive(Debug)]
pub struct ProviderTimer {
    pub(super) seconds: Histogram,
    pub(super) started: Instant,
}

impl ProviderTimer {
    /// Counts the call and says how long it took.
    pub fn finish(self) -> Duration {
        let took = self.started.elapsed();
        self.seconds.observe(took.as_secs_f64());
        took
    }
}

/// The figures of one route, and of all.
#[derive(Debug)]
pub struct RouteMetrics {
    pub(super) requests: [Counter; 5],
    pub(super) request_seconds: Histogram,
    pub(super) seconds: [Histogram; 5],
}

impl RouteMetrics {
    /// Counts a request whose response's head is ready, or whose client has left.
    pub fn request(&self, status: u16, took: Duration) {
        let (class, seconds) = (usize::from(status / 100).saturating_sub(1), took.as_secs_f64());
        if let (Some(counter), Some(histogram)) = (self.requests.get(class), self.seconds.get(class)) {
            counter.inc();
            histogram.observe(seconds);
        }
        self.request_seconds.observe(seconds);
    }
}
