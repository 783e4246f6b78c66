//! The logins of one browser take turns on a replica: tabs that are restored together come back from the provider together. One code is
//! redeemed, and the tabs that have waited for it go to their pages with the session that it brought. At a provider that keeps one
//! refresh token for all logins of a user, codes that are redeemed at once would leave the token of the one that is saved last dead.

use std::{collections::HashMap, sync::Arc, time::Duration};

use tokio::sync::{Mutex as AsyncMutex, OwnedMutexGuard};

use super::attempt::{Attempt, LoginMode};
use crate::{clock::Stopwatch, lock::Mutex};

/// The browsers with a login that returns now, by their bindings.
#[derive(Debug)]
pub struct BrowserTurns {
    lanes: Arc<Mutex<Lanes>>,
    /// How far apart logins come back at most of which one goes on with what the other has brought.
    apart: Duration,
}

/// The lane of each browser, and how many are in it.
type Lanes = HashMap<String, (Arc<Lane>, usize)>;

/// What the last login in a lane has brought; `None` if it has failed.
type Lane = AsyncMutex<Option<Finished>>;

/// A login that has brought its browser a session.
#[derive(Debug)]
struct Finished {
    mode: LoginMode,
    provider: String,
    since_return: Stopwatch,
}

/// The right to complete the one login of a browser, for as long as it is held.
#[derive(Debug)]
pub(super) struct Turn {
    // Dropped in this order: whoever waits goes on before the place is given up.
    last: OwnedMutexGuard<Option<Finished>>,
    has_waited: bool,
    since_return: Stopwatch,
    apart: Duration,
    _place: Place,
}

/// A place in a browser's lane, which goes with the last one in it.
#[derive(Debug)]
struct Place {
    browser: String,
    lanes: Arc<Mutex<Lanes>>,
}

impl BrowserTurns {
    /// Logins that come back less than `apart` from each other are of one user.
    pub fn new(apart: Duration) -> Self {
        Self { lanes: Arc::default(), apart }
    }

    /// Waits for the turn of a login of `browser`. Returns `None` after `max_wait`.
    pub(super) async fn wait(&self, browser: String, max_wait: Duration) -> Option<Turn> {
        let since_return = Stopwatch::start();
        let lane = {
            let mut lanes = self.lanes.lock();
            let (lane, here) = lanes.entry(browser.clone()).or_default();
            *here += 1;
            Arc::clone(lane)
        };
        // From here on it is counted; dropping it when the client disconnects uncounts it.
        let place = Place { browser, lanes: Arc::clone(&self.lanes) };
        let (last, has_waited) = match Arc::clone(&lane).try_lock_owned() {
            Ok(last) => (last, false),
            Err(_taken) => {
                tracing::debug!("a login waits for that of another tab of its browser");
                (tokio::time::timeout(max_wait, lane.lock_owned()).await.ok()?, true)
            }
        };
        Some(Turn { last, has_waited, since_return, apart: self.apart, _place: place })
    }
}

impl Turn {
    /// Whether a login that was under way when `attempt` came back has brought what it is for. Nobody logs in as another user in so
    /// short a time as lies between the two, unless the provider was asked to let them choose. How long the first one takes says nothing:
    /// a provider may be slow.
    pub(super) fn has_brought_what_is_asked_by(&self, attempt: &Attempt) -> bool {
        let last = self.last.as_ref().filter(|_| self.has_waited && !attempt.is_of_chosen_account());
        last.is_some_and(|last| {
            let apart = last.since_return.elapsed().saturating_sub(self.since_return.elapsed());
            apart < self.apart && last.mode == attempt.mode() && last.provider == attempt.provider()
        })
    }

    /// Records that `attempt` has brought its browser a session.
    pub(super) fn finish(&mut self, attempt: &Attempt) {
        let (mode, provider, since_return) = (attempt.mode(), attempt.provider().to_owned(), self.since_return);
        *self.last = Some(Finished { mode, provider, since_return });
    }

    /// Records that this turn's login failed, unless it finishes.
    pub(super) fn begin(&mut self) {
        *self.last = None;
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut lanes = self.lanes.lock();
        if let Some((_, here)) = lanes.get_mut(&self.browser) {
            *here = here.saturating_sub(1);
            if *here == 0 {
                lanes.remove(&self.browser);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderMap;

    use super::*;
    use crate::{
        clock::Timestamp,
        session::cookie::Cookies,
        sign_in::attempt::{AttemptParams, Binding},
    };

    const SOON: Duration = Duration::from_secs(6);

    fn attempt(cookies: &Cookies, mode: LoginMode, is_of_chosen_account: bool) -> Attempt {
        let (_, binding) = Binding::of_or_new(cookies, &HeaderMap::new());
        Attempt::new(&binding, AttemptParams { at: Timestamp(5), mode, rounds: 0, is_of_chosen_account, is_second: false })
    }

    #[tokio::test(start_paused = true)]
    async fn one_browser_s_logins_take_turns_and_nothing_is_left_of_them() {
        let turns = BrowserTurns::new(SOON);
        let first = turns.wait("a".to_owned(), SOON).await.unwrap();
        assert!(turns.wait("b".to_owned(), SOON).await.is_some(), "another browser does not wait");
        assert!(turns.wait("a".to_owned(), SOON).await.is_none(), "for so long nobody watches a page");
        let (second, ()) = tokio::join!(turns.wait("a".to_owned(), SOON), async { drop(first) });
        assert!(second.is_some());
        drop(second);
        assert!(turns.lanes.lock().is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn who_has_waited_goes_on_with_what_was_brought_and_with_nothing_else() {
        let cookies = Cookies::new(true, "evergate");
        let [login, chosen] = [false, true].map(|is_chosen| attempt(&cookies, LoginMode::Login, is_chosen));
        let (login, silent) = (&login, attempt(&cookies, LoginMode::Silent, false));
        let (together, apart) = (SOON, Duration::ZERO);
        for (is_finished, longest, next, expected) in [
            (true, together, login, true),
            (true, apart, login, false),
            (true, together, &chosen, false),
            (true, together, &silent, false),
            (false, together, login, false),
        ] {
            let turns = BrowserTurns::new(longest);
            let mut first = turns.wait("a".to_owned(), SOON).await.unwrap();
            assert!(!first.has_brought_what_is_asked_by(login), "nobody came before");
            let (second, ()) = tokio::join!(turns.wait("a".to_owned(), SOON), async move {
                first.begin();
                if is_finished {
                    first.finish(login);
                }
            });
            assert_eq!(second.unwrap().has_brought_what_is_asked_by(next), expected);
        }
    }
}
