//! Users whom their provider has had ended: what this replica knows of them, for tokens that no session stands behind.
//!
//! A session ends with its row. A bearer token that the provider has signed has none, and would be good until it expires: so it is
//! compared with the time at which its user was ended, and with every stream that was opened with it.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicI64, Ordering},
    },
    time::Duration,
};

use tokio::sync::{Notify, watch};

use super::UserName;
use crate::{clock::Timestamp, lock::RwLock};

/// How far the provider's clock may be ahead: a token that was issued so shortly after its user was ended may be an older one.
const CLOCK_SKEW: Duration = Duration::from_secs(5);

/// For how long who was ended is known without the store at least: longer than it goes unconfirmed where all is well.
const MIN_GRACE: Duration = Duration::from_secs(5);

/// Whose a bearer token is.
#[derive(Clone, Debug)]
pub struct TokenOwner {
    /// By what the user may be ended; nothing for a token of nobody's who logs in at a provider.
    pub names: Arc<[UserName]>,
    /// When the token was issued. `None` if that is not known: it may be older than any end of its user.
    pub issued_at: Option<Timestamp>,
}

/// What is known of a token's user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OwnerStanding {
    /// They were not ended since it was issued.
    Good,
    /// They were.
    Ended,
    /// That is not known: this replica has not read who was ended, or could not for longer than the grace.
    Unknown,
}

/// Users that were ended, and when.
#[derive(Debug)]
pub struct EndedUsers {
    /// For how long it is known who was ended while the store cannot be asked.
    grace: Duration,
    /// When all was known last that had been recorded.
    known_at: AtomicI64,
    confirmed: Notify,
    /// Whether there are any, so that requests take no lock while there are none.
    has_any: AtomicBool,
    ends: RwLock<Ends>,
    changed: watch::Sender<()>,
}

#[derive(Debug, Default)]
struct Ends {
    /// As the store has them.
    recorded: HashMap<UserName, Timestamp>,
    /// Whether the store has been read, and not only a copy of it that may lag.
    is_read: bool,
    /// Those that the store could not take yet. They hold on this replica.
    unrecorded: HashMap<UserName, Timestamp>,
}

impl EndedUsers {
    /// Knows nothing yet, and what it will know for this long without the store.
    pub fn new(outage_grace: Duration) -> Self {
        Self {
            grace: outage_grace.max(MIN_GRACE),
            known_at: AtomicI64::new(i64::MIN),
            confirmed: Notify::new(),
            has_any: AtomicBool::new(false),
            ends: RwLock::default(),
            changed: watch::Sender::new(()),
        }
    }

    /// What is known of a token's user at `now`.
    pub fn standing(&self, owner: &TokenOwner, now: Timestamp) -> OwnerStanding {
        if self.include(owner) {
            return OwnerStanding::Ended;
        }
        // Nobody ends a token of nobody's.
        if owner.names.is_empty() || self.is_known(now) { OwnerStanding::Good } else { OwnerStanding::Unknown }
    }

    /// Whether it is known who was ended.
    pub fn is_known(&self, now: Timestamp) -> bool {
        now.is_within(self.grace, Timestamp(self.known_at.load(Ordering::Acquire)))
    }

    /// Waits until [`EndedUsers::is_known`] is true.
    pub async fn until_known(&self, now: impl Fn() -> Timestamp) {
        loop {
            let confirmed = self.confirmed.notified();
            if self.is_known(now()) {
                return;
            }
            confirmed.await;
        }
    }

    /// All is known that had been recorded at `at`.
    pub fn confirm(&self, at: Timestamp) {
        self.known_at.store(at.0, Ordering::Release);
        self.confirmed.notify_waiters();
    }

    /// Whether a token's user was ended after it was issued.
    pub fn include(&self, owner: &TokenOwner) -> bool {
        if !self.has_any.load(Ordering::Acquire) {
            return false;
        }
        let ends = self.ends.read();
        let ended_at = owner.names.iter().flat_map(|name| [ends.recorded.get(name), ends.unrecorded.get(name)]).flatten().max();
        ended_at.is_some_and(|at| owner.issued_at.is_none_or(|issued_at| issued_at <= at.plus(CLOCK_SKEW)))
    }

    /// Waits until [`EndedUsers::include`] is true.
    pub async fn until_included(&self, owner: &TokenOwner) {
        let mut changed = self.changed.subscribe();
        while !self.include(owner) {
            if changed.changed().await.is_err() {
                return std::future::pending().await;
            }
        }
    }

    /// Takes over what the store has.
    pub fn replace(&self, recorded: HashMap<UserName, Timestamp>) {
        self.change(|ends| (ends.recorded, ends.is_read) = (recorded, true));
    }

    /// Takes over what a copy of the store has that may lag, unless the store itself has been read before.
    pub fn begin_with(&self, recorded: HashMap<UserName, Timestamp>) {
        self.change(|ends| {
            if !ends.is_read {
                ends.recorded = recorded;
            }
        });
    }

    /// Takes over what the store has of one user; `None` if nothing.
    pub fn set(&self, name: UserName, ended_at: Option<Timestamp>) {
        self.change(|ends| {
            match ended_at {
                Some(at) => ends.recorded.insert(name, at),
                None => ends.recorded.remove(&name),
            };
        });
    }

    /// Ends a user on this replica, before the store has it.
    pub fn end_here(&self, names: &[UserName], at: Timestamp) {
        self.change(|ends| {
            for name in names {
                let end = ends.unrecorded.entry(*name).or_insert(at);
                *end = at.max(*end);
            }
        });
    }

    /// The store has taken the ends of up to `at`.
    pub fn recorded(&self, names: &[UserName], at: Timestamp) {
        self.change(|ends| {
            for name in names {
                if ends.unrecorded.get(name).is_some_and(|end| *end <= at) {
                    ends.unrecorded.remove(name);
                }
                let end = ends.recorded.entry(*name).or_insert(at);
                *end = at.max(*end);
            }
        });
    }

    /// Ends of up to `at` that were made on this replica hold no more: the store has them otherwise.
    pub fn withdraw(&self, names: &[UserName], at: Timestamp) {
        self.change(|ends| {
            for name in names {
                if ends.unrecorded.get(name).is_some_and(|end| *end <= at) {
                    ends.unrecorded.remove(name);
                }
            }
        });
    }

    fn change(&self, change: impl FnOnce(&mut Ends)) {
        let mut ends = self.ends.write();
        change(&mut ends);
        self.has_any.store(!ends.recorded.is_empty() || !ends.unrecorded.is_empty(), Ordering::Release);
        drop(ends);
        self.changed.send_replace(());
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    const ANN: UserName = UserName([1; 32]);
    const BOB: UserName = UserName([2; 32]);

    fn of(names: &[UserName], issued_at: i64) -> TokenOwner {
        TokenOwner { names: names.into(), issued_at: Some(Timestamp(issued_at)) }
    }

    #[test]
    fn a_copy_of_the_store_that_lags_lets_nobody_in_again() {
        let ended = EndedUsers::new(Duration::ZERO);
        let token = of(&[ANN], 0);
        ended.begin_with(HashMap::from([(ANN, Timestamp(1))]));
        assert!(ended.include(&token), "it is better than nothing");
        ended.begin_with(HashMap::new());
        ended.replace(HashMap::from([(ANN, Timestamp(1))]));
        ended.begin_with(HashMap::new());
        assert!(ended.include(&token));
        ended.replace(HashMap::new());
        assert!(!ended.include(&token));
    }

    #[test]
    fn a_token_from_before_its_user_was_ended_is_refused_and_a_later_one_is_not() {
        let ended = EndedUsers::new(Duration::ZERO);
        assert!(!ended.include(&of(&[ANN], 0)));
        ended.set(ANN, Some(Timestamp(100_000)));
        for (names, issued_at, expected) in [
            (&[ANN][..], 0, true),
            (&[BOB, ANN], 100_000, true),
            (&[ANN], 105_000, true),
            (&[ANN], 105_001, false),
            (&[BOB], 0, false),
            (&[], 0, false),
        ] {
            assert_eq!(ended.include(&of(names, issued_at)), expected, "{names:?} {issued_at}");
        }
        let undated = |names: &[UserName]| TokenOwner { names: names.into(), issued_at: None };
        assert!(ended.include(&undated(&[ANN])) && !ended.include(&undated(&[BOB])), "it may be from before");
        ended.set(ANN, None);
        assert!(!ended.include(&of(&[ANN], 0)));
    }

    #[test]
    fn a_token_is_good_while_it_is_known_who_was_ended_and_refused_for_an_end_without_that() {
        let (ended, ann) = (EndedUsers::new(Duration::from_secs(60)), of(&[ANN], 0));
        assert_eq!(ended.standing(&ann, Timestamp(1)), OwnerStanding::Unknown, "nothing was read");
        assert_eq!(ended.standing(&of(&[], 0), Timestamp(1)), OwnerStanding::Good, "it is nobody's");
        let waiting = ended.until_known(|| Timestamp(1));
        let mut waiting = std::pin::pin!(waiting);
        assert!(waiting.as_mut().now_or_never().is_none());
        ended.confirm(Timestamp(1));
        assert!(waiting.now_or_never().is_some());
        for (now, expected) in [
            (60_000, OwnerStanding::Good),
            (60_001, OwnerStanding::Unknown),
            // A clock that was set back does not prolong it.
            (-59_998, OwnerStanding::Good),
            (-60_000, OwnerStanding::Unknown),
        ] {
            assert_eq!(ended.standing(&ann, Timestamp(now)), expected, "{now}");
        }
        ended.set(ANN, Some(Timestamp(0)));
        assert_eq!(ended.standing(&ann, Timestamp(60_001)), OwnerStanding::Ended);
    }

    #[test]
    fn an_end_that_the_store_could_not_take_holds_until_it_has_it() {
        let ended = EndedUsers::new(Duration::ZERO);
        ended.end_here(&[ANN], Timestamp(10));
        ended.replace(HashMap::new());
        assert!(ended.include(&of(&[ANN], 10)));
        ended.end_here(&[ANN], Timestamp(20_000));
        ended.recorded(&[ANN], Timestamp(10));
        ended.replace(HashMap::new());
        assert!(ended.include(&of(&[ANN], 20_000)), "a later one is still to be recorded");
        ended.withdraw(&[ANN, BOB], Timestamp(19_999));
        assert!(ended.include(&of(&[ANN], 20_000)));
        ended.recorded(&[ANN], Timestamp(20_000));
        assert!(ended.include(&of(&[ANN], 20_000)));
        ended.end_here(&[ANN], Timestamp(40_000));
        ended.withdraw(&[ANN], Timestamp(40_000));
        assert!(!ended.include(&of(&[ANN], 40_000)) && ended.include(&of(&[ANN], 20_000)), "what the store has holds");
        ended.replace(HashMap::new());
        assert!(!ended.include(&of(&[ANN], 0)));
    }

    #[test]
    fn whoever_waits_hears_of_it() {
        let ended = EndedUsers::new(Duration::ZERO);
        let ann = of(&[ANN], 1);
        let waiting = ended.until_included(&ann);
        let mut waiting = std::pin::pin!(waiting);
        assert!(waiting.as_mut().now_or_never().is_none());
        ended.set(BOB, Some(Timestamp(1)));
        assert!(waiting.as_mut().now_or_never().is_none());
        ended.set(ANN, Some(Timestamp(1)));
        assert!(waiting.now_or_never().is_some());
    }
}
