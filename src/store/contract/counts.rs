//! How many sessions there are: exactly as long as they are few, and by a sample of a fixed size beyond, so that counting costs the
//! same however many they are.
//!
//! The sample are the sessions with the smallest hashes. Hashes are uniformly distributed, so that the greatest hash of the sample
//! says how dense they are (the estimator of k minimum values). Its standard error is one by the root of the sample's size: 1.6 %.
//! How many of them have a grant with a refresh token is taken from a fourth of the sample, because a grant costs more to read.

use super::Store;
use crate::store::{StoreError, operation::Read, statements::Sample};

/// How many sessions there are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// All sessions.
    pub sessions: i64,
    /// Sessions whose grant has a refresh token.
    pub with_refresh_token: i64,
}

impl Store {
    /// Counts the sessions for the metrics, beyond 4,096 by a sample.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`], [`StoreError::TimedOut`].
    pub async fn counts(&self) -> Result<Counts, StoreError> {
        Ok(estimate(&self.read(Read::Counts, |connection| Box::pin(connection.sample_sessions())).await?.even_if_old()))
    }
}

fn estimate(sample: &Sample) -> Counts {
    let Sample { sessions: counted, ref greatest, grants, with_refresh_token } = *sample;
    // In integers, because the quotient is wanted to a part in a million at most.
    let sessions = match greatest.as_deref().and_then(<[u8]>::first_chunk) {
        Some(head) => {
            let (width, greatest) = (1_i128 << 64, i128::from(u64::from_be_bytes(*head)).max(1));
            i64::try_from(i128::from(counted - 1).max(0) * width / greatest).unwrap_or(i64::MAX).max(counted)
        }
        None => counted,
    };
    let share = i128::from(sessions) * i128::from(with_refresh_token) / i128::from(grants.max(1));
    Counts { sessions, with_refresh_token: i64::try_from(share).unwrap_or(sessions) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::sha256;

    #[test]
    fn few_sessions_are_counted_and_many_are_estimated() {
        for (sessions, of_a_hundred) in
            [(0_u32, 0), (1, 100), (1024, 25), (1025, 100), (4095, 50), (4096, 50), (5000, 100), (200_000, 90)]
        {
            let mut hashes: Vec<_> = (0..sessions).map(|number| sha256(&number.to_be_bytes())).collect();
            hashes.sort_unstable();
            let [taken, grants] = [4096, 1024].map(|most| i64::try_from(hashes.len().min(most)).unwrap());
            let with_refresh_token = grants * of_a_hundred / 100;
            let greatest = hashes.get(4095).map(|hash| hash.to_vec());
            let counts = estimate(&Sample { sessions: taken, greatest, grants, with_refresh_token });
            if taken < 4096 {
                assert_eq!(counts.sessions, taken);
            }
            if taken == grants {
                assert_eq!(counts.with_refresh_token, with_refresh_token);
            }
            let is_near = |counted: i64, real: i64| (counted - real).abs() * 100 <= real * 5;
            assert!(is_near(counts.sessions, i64::from(sessions)), "{sessions}: {counts:?}");
            assert!(is_near(counts.with_refresh_token, i64::from(sessions) * of_a_hundred / 100), "{sessions}: {counts:?}");
        }
    }
}
