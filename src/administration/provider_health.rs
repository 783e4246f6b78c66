//! How token refreshes at a provider have gone over time, out of hourly aggregates. Pure.

use std::collections::BTreeMap;

use crate::{
    client_registration::ClientRegistration,
    clock::Timestamp,
    store::{LATENCY_BOUNDS, ProviderHour},
};

/// The classes of outcomes, in the order in which charts stack them.
pub const OUTCOMES: [&str; 5] = ["ok", "dead", "config", "retry", "ambiguous"];

/// How long something took, as a histogram tells it. In milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Latency {
    /// So long at most.
    Within(i64),
    /// Longer than the longest that is told apart.
    Beyond(i64),
}

impl Latency {
    /// The bound, and whether it took longer than that.
    pub fn bound(self) -> (i64, bool) {
        match self {
            Self::Within(bound) => (bound, false),
            Self::Beyond(bound) => (bound, true),
        }
    }
}

/// Token refreshes within a part of the time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Bin {
    /// When it begins.
    pub from: Timestamp,
    /// How many of each of [`OUTCOMES`].
    pub outcomes: [i64; OUTCOMES.len()],
    /// How many took how long, by [`LATENCY_BOUNDS`] and beyond.
    buckets: BTreeMap<usize, i64>,
}

impl Bin {
    /// All of them.
    pub fn calls(&self) -> i64 {
        self.outcomes.iter().sum()
    }

    /// How many of a hundred the provider answered as it should: with new tokens, or that the grant is dead. `None`: there were none.
    pub fn answered(&self) -> Option<i64> {
        let [ok, dead, ..] = self.outcomes;
        (self.calls() > 0).then(|| (ok + dead) * 100 / self.calls())
    }

    /// How long it took until `percent` of a hundred were answered; `None`: there were none.
    pub fn quantile(&self, percent: i64) -> Option<Latency> {
        let all: i64 = self.buckets.values().sum();
        let wanted = (all * percent + 99) / 100;
        let mut seen = 0;
        for (bucket, calls) in &self.buckets {
            seen += calls;
            if seen >= wanted.max(1) {
                let longest = LATENCY_BOUNDS.last().copied().unwrap_or_default();
                return Some(LATENCY_BOUNDS.get(*bucket).copied().map_or(Latency::Beyond(longest), Latency::Within));
            }
        }
        None
    }

    fn add(&mut self, hour: &ProviderHour) {
        // What a newer release tells apart counts as what it knew least of.
        let place = OUTCOMES.iter().position(|outcome| *outcome == hour.outcome).unwrap_or(OUTCOMES.len() - 1);
        if let Some(count) = self.outcomes.get_mut(place) {
            *count += hour.calls;
        }
        *self.buckets.entry(hour.bucket).or_insert(0) += hour.calls;
    }
}

/// The aggregates of one provider in bins of `width` milliseconds, from `since` to the one in which `now` is.
pub fn bins(
    hours: &[ProviderHour],
    registration: ClientRegistration<'_>,
    since: Timestamp,
    now: Timestamp,
    width: i64,
) -> Vec<Bin> {
    let width = width.max(1);
    let count = usize::try_from(now.0.saturating_sub(since.0) / width).unwrap_or(0) + 1;
    let mut bins: Vec<Bin> =
        (0..).map(|at| Bin { from: Timestamp(since.0 + at * width), ..Bin::default() }).take(count).collect();
    for hour in hours.iter().filter(|hour| hour.registration() == registration) {
        let at = usize::try_from((hour.hour.0 - since.0).div_euclid(width)).ok();
        if let Some(bin) = at.and_then(|at| bins.get_mut(at)) {
            bin.add(hour);
        }
    }
    bins
}

/// All bins as one.
pub fn total(bins: &[Bin]) -> Bin {
    let mut total = Bin::default();
    for bin in bins {
        for (sum, count) in total.outcomes.iter_mut().zip(bin.outcomes) {
            *sum += count;
        }
        for (bucket, calls) in &bin.buckets {
            *total.buckets.entry(*bucket).or_insert(0) += calls;
        }
    }
    total
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: i64 = 3_600_000;

    fn hour(at: i64, outcome: &str, bucket: usize, calls: i64) -> ProviderHour {
        ProviderHour {
            hour: Timestamp(at * HOUR),
            issuer: "idp".into(),
            client_id: "c".into(),
            outcome: outcome.into(),
            bucket,
            calls,
        }
    }

    #[test]
    fn hours_are_put_into_bins_and_what_is_another_s_or_too_early_is_left_out() {
        let other = ProviderHour { issuer: "other".into(), ..hour(4, "ok", 0, 50) };
        let hours = [
            hour(1, "ok", 0, 99),
            hour(2, "ok", 2, 8),
            hour(3, "dead", 2, 1),
            hour(3, "later", 10, 1),
            hour(4, "retry", 4, 2),
            other,
        ];
        let registration = ClientRegistration { issuer: "idp", client_id: "c" };
        let bins = bins(&hours, registration, Timestamp(2 * HOUR), Timestamp(5 * HOUR), 2 * HOUR);
        let outcomes: Vec<_> = bins.iter().map(|bin| (bin.from.0 / HOUR, bin.outcomes)).collect();
        assert_eq!(outcomes, [(2, [8, 1, 0, 0, 1]), (4, [0, 0, 0, 2, 0])]);
        let all = total(&bins);
        assert_eq!((all.calls(), all.answered()), (12, Some(75)));
        assert_eq!(
            (all.quantile(50), all.quantile(90), all.quantile(100)),
            (Some(Latency::Within(100)), Some(Latency::Within(400)), Some(Latency::Beyond(12_800)))
        );
        assert_eq!((Bin::default().answered(), Bin::default().quantile(50)), (None, None));
    }
}
