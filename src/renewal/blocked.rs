//! How often in a row somebody else has answered introspections of a grant's token in the provider's place: a page of maintenance, which
//! goes, or an ingress that lets nobody through to the endpoint, which stays. Only answers of this kind say which it is: an outage before
//! them does not.

use std::{collections::HashMap, time::Duration};

use crate::{clock::Timestamp, grant::GrantId, lock::Mutex, oidc::Introspection};

/// After so many in a row, introspection is taken to be blocked for good.
const MAX_BLOCKED: u32 = 3;
/// How long a blocked answer counts.
const TTL: Duration = Duration::from_secs(3600);
/// Of so many grants it is known at most. If there are more, all are forgotten, and their tokens are introspected a few times more.
const MAX_GRANTS: usize = 10_000;

/// The grants whose introspection was blocked the last time. Each replica counts by itself, and anew when it starts.
#[derive(Debug, Default)]
pub(super) struct BlockedIntrospections(Mutex<HashMap<GrantId, Blocked>>);

#[derive(Clone, Copy, Debug)]
struct Blocked {
    times: u32,
    last: Timestamp,
}

impl BlockedIntrospections {
    /// Records the response to an introspection, and says whether the endpoint is taken to be blocked for good.
    pub(super) fn record(&self, id: GrantId, response: &Introspection, now: Timestamp) -> bool {
        let mut blocked = self.0.lock();
        match response {
            Introspection::Blocked(_) => {
                let before = blocked.get(&id).filter(|entry| now.since(entry.last) < TTL).map_or(0, |entry| entry.times);
                let times = before.saturating_add(1);
                if blocked.len() >= MAX_GRANTS {
                    blocked.clear();
                }
                blocked.insert(id, Blocked { times, last: now });
                times >= MAX_BLOCKED
            }
            Introspection::Active | Introspection::Inactive | Introspection::Inconclusive(_) | Introspection::Unavailable(_) => {
                blocked.remove(&id);
                false
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_blocked_three_times_in_a_row_is_blocked_for_good() {
        let (blocked, grants) = (BlockedIntrospections::default(), [GrantId([1; 16]), GrantId([2; 16])]);
        let page = || Introspection::Blocked("status 403".to_owned());
        let away = || Introspection::Unavailable("status 503".to_owned());
        let record = |grant: usize, response: Introspection| blocked.record(grants[grant], &response, Timestamp(0));
        assert!(!record(0, page()) && !record(0, page()) && !record(1, page()), "each grant for itself");
        assert!(!record(0, away()), "the provider is away");
        assert!(!record(0, page()) && !record(0, page()) && record(0, page()));
        assert!(record(0, page()), "as long as nothing else comes");
        assert!(!blocked.record(grants[0], &page(), Timestamp(0).plus(TTL)), "it is long ago");
    }
}
