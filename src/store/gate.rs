//! The gate that every call passes, a circuit breaker that the heartbeat opens and closes. While the database is known to be
//! unavailable, or to take no writes, calls fail immediately and nothing is sent, so that the load on a failing database does not
//! grow with the requests.
//!
//! Calls are refused after a heartbeat that failed, and after a server said of itself that it takes no writes. A call that fails
//! otherwise makes the next heartbeat come immediately.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::{
    sync::{Notify, watch},
    time::Instant,
};

use super::{
    condition::Condition,
    error::{Fault, StoreError},
    origin::Origin,
};
use crate::{
    lock::{Mutex, MutexGuard},
    telemetry::{logs::causes, metrics::Metrics},
};

/// How often it is said that calls time out.
const TOLD_AGAIN: Duration = Duration::from_secs(60);

/// What an operation does, which decides whether it may be sent and whether it may be repeated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Access {
    /// The operation reads.
    Read,
    /// The operation writes and is idempotent: it may be repeated though it was perhaps carried out.
    Repeatable,
    /// The operation writes, and must not be carried out twice.
    Once,
}

impl Access {
    /// Whether a call that failed so may be repeated on another connection.
    pub(super) fn may_repeat(self, fault: Fault) -> bool {
        match fault {
            Fault::Conflict | Fault::ReadOnly | Fault::Terminated => true,
            Fault::Broken => self != Self::Once,
            Fault::Refused | Fault::Statement | Fault::Full | Fault::Unreached => false,
        }
    }
}

/// The gate of one store.
#[derive(Debug)]
pub(super) struct Gate {
    state: watch::Sender<State>,
    metrics: Metrics,
    /// Whether a heartbeat runs, without which nothing would lift a refusal.
    is_attended: AtomicBool,
    suspicion: Notify,
    late: Mutex<Late>,
}

/// Calls that timed out although the database takes heartbeats.
#[derive(Debug, Default)]
struct Late {
    /// Since the last heartbeat.
    calls: u32,
    told_at: Option<Instant>,
}

#[derive(Clone, Debug)]
struct State {
    condition: Condition,
    cause: Arc<str>,
    since: Instant,
}

impl Gate {
    /// A gate that is open until something is known of the database. `metrics` is told of each change.
    #[expect(clippy::disallowed_methods, reason = "how long the store has answered has nothing to do with tokens' times")]
    pub(super) fn new(metrics: Metrics) -> Self {
        metrics.store_writable(true);
        let state = State { condition: Condition::Writable, cause: Arc::from(""), since: Instant::now() };
        let (is_attended, suspicion, late) = (AtomicBool::new(false), Notify::new(), Mutex::default());
        Self { state: watch::Sender::new(state), metrics, is_attended, suspicion, late }
    }

    /// Lets a call pass, or refuses it.
    ///
    /// # Errors
    /// [`StoreError::KnownUnavailable`]: the call would fail.
    pub(super) fn enter(&self, access: Access) -> Result<(), StoreError> {
        let state = self.state.borrow();
        match state.condition {
            Condition::Writable => Ok(()),
            Condition::ReadOnly if access == Access::Read => Ok(()),
            condition @ (Condition::ReadOnly | Condition::Unavailable) => {
                Err(StoreError::KnownUnavailable { condition, cause: Arc::clone(&state.cause) })
            }
        }
    }

    /// Learns from a call that failed and is not repeated.
    pub(super) fn called(&self, error: &StoreError) {
        if let StoreError::TimedOut(_) = error {
            self.late().calls += 1;
        }
        match error.fault() {
            // The call was repeated on other connections, and each server said the same.
            Fault::ReadOnly if self.is_attended.load(Ordering::Acquire) => self.restrict(Condition::ReadOnly, error),
            Fault::ReadOnly | Fault::Full | Fault::Unreached | Fault::Terminated | Fault::Broken => self.suspicion.notify_one(),
            Fault::Refused | Fault::Statement | Fault::Conflict => {}
        }
    }

    /// Says that a heartbeat runs from now on.
    pub(super) fn attend(&self) {
        self.is_attended.store(true, Ordering::Release);
    }

    /// Learns from a heartbeat that succeeded, or that found the database in this condition.
    pub(super) fn beat(&self, result: &Result<(), (Condition, StoreError)>) {
        match result {
            Ok(()) => {
                self.allow();
                self.tell_of_late_calls();
            }
            Err((condition, error)) => {
                self.late().calls = 0;
                self.restrict(*condition, error);
            }
        }
    }

    /// Says that calls time out, once in a while.
    #[expect(clippy::disallowed_methods, reason = "how long the store takes has nothing to do with tokens' times")]
    fn tell_of_late_calls(&self) {
        let mut late = self.late();
        let calls = std::mem::take(&mut late.calls);
        if calls > 0 && late.told_at.is_none_or(|at| at.elapsed() > TOLD_AGAIN) {
            late.told_at = Some(Instant::now());
            tracing::warn!(
                calls,
                "calls of the store time out although the database takes heartbeats: something may hold a lock on a table, or the \
                 database is overloaded"
            );
        }
    }

    fn late(&self) -> MutexGuard<'_, Late> {
        self.late.lock()
    }

    #[expect(clippy::disallowed_methods, reason = "how long the store has answered has nothing to do with tokens' times")]
    fn allow(&self) {
        self.state.send_if_modified(|state| {
            if state.condition == Condition::Writable {
                return false;
            }
            tracing::info!(outage.seconds = state.since.elapsed().as_secs_f64(), "the store takes writes again");
            *state = State { condition: Condition::Writable, cause: Arc::from(""), since: Instant::now() };
            self.metrics.store_writable(true);
            true
        });
    }

    #[expect(clippy::disallowed_methods, reason = "how long the store has answered has nothing to do with tokens' times")]
    fn restrict(&self, condition: Condition, error: &StoreError) {
        self.state.send_if_modified(|state| {
            if state.condition == condition {
                return false;
            }
            let cause = causes(error);
            let since = if state.condition == Condition::Writable { Instant::now() } else { state.since };
            tracing::error!(cause, "the store {condition}: what needs it fails at once until it is back");
            *state = State { condition, cause: Arc::from(cause), since };
            self.metrics.store_writable(false);
            true
        });
    }

    /// The condition of the database, as far as is known.
    pub(super) fn condition(&self) -> Condition {
        self.state.borrow().condition
    }

    /// Whether a server has everything that was committed. Which one is behind a pooler, the heartbeat finds out, within about a second.
    pub(super) fn has_everything(&self, origin: Origin) -> bool {
        match origin {
            Origin::Primary => true,
            Origin::Pooler => self.condition() == Condition::Writable,
            Origin::Standby => false,
        }
    }

    /// Whether the database has taken writes for this long.
    pub(super) fn is_steady(&self, long: Duration) -> bool {
        let state = self.state.borrow();
        state.condition == Condition::Writable && state.since.elapsed() >= long
    }

    /// Waits until the database takes writes, as far as is known.
    pub(super) async fn until_writable(&self) {
        let mut state = self.state.subscribe();
        // The sender lives as long as this.
        let _open = state.wait_for(|state| state.condition == Condition::Writable).await;
    }

    /// Waits until a call fails in a way that may be the database's fault.
    pub(super) async fn suspected(&self) {
        self.suspicion.notified().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_only() -> StoreError {
        StoreError::KnownUnavailable { condition: Condition::ReadOnly, cause: Arc::from("x") }
    }

    fn broken() -> StoreError {
        sqlx::Error::Io(std::io::ErrorKind::BrokenPipe.into()).into()
    }

    #[test]
    fn one_failed_call_closes_nothing_and_a_failed_heartbeat_does() {
        let gate = Gate::new(Metrics::default());
        gate.attend();
        gate.called(&broken());
        assert!(gate.enter(Access::Once).is_ok());
        gate.beat(&Err((Condition::Unavailable, broken())));
        assert_eq!(gate.condition(), Condition::Unavailable);
        for access in [Access::Read, Access::Repeatable, Access::Once] {
            assert!(gate.enter(access).unwrap_err().nothing_was_written());
        }
        gate.beat(&Ok(()));
        assert!(gate.enter(Access::Once).is_ok());
    }

    #[test]
    fn a_store_that_takes_no_writes_is_read() {
        let gate = Gate::new(Metrics::default());
        gate.restrict(Condition::ReadOnly, &read_only());
        assert!(gate.enter(Access::Read).is_ok());
        assert!(gate.enter(Access::Repeatable).is_err() && gate.enter(Access::Once).is_err());
    }

    #[test]
    fn behind_a_pooler_the_heartbeat_says_whether_what_is_read_is_everything() {
        let gate = Gate::new(Metrics::default());
        let all = [Origin::Primary, Origin::Pooler, Origin::Standby];
        assert_eq!(all.map(|origin| gate.has_everything(origin)), [true, true, false]);
        gate.restrict(Condition::ReadOnly, &read_only());
        assert_eq!(all.map(|origin| gate.has_everything(origin)), [true, false, false]);
    }

    #[test]
    fn what_was_perhaps_carried_out_is_repeated_only_where_that_does_no_harm() {
        assert!(Access::Read.may_repeat(Fault::Broken) && Access::Repeatable.may_repeat(Fault::Broken));
        assert!(!Access::Once.may_repeat(Fault::Broken) && Access::Once.may_repeat(Fault::ReadOnly));
        assert!(Access::Once.may_repeat(Fault::Terminated) && !Access::Once.may_repeat(Fault::Broken));
        assert!(!Access::Read.may_repeat(Fault::Statement) && !Access::Read.may_repeat(Fault::Unreached));
    }
}
