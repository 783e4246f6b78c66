//! One login attempt, as the browser keeps it: sealed, so that it can neither be read nor made.

use std::time::Duration;

use base64::prelude::*;
use serde::{Deserialize, Serialize};

use super::return_to::ReturnTo;
use crate::{
    clock::Timestamp,
    oidc::CallbackProof,
    seal::KeyRing,
    secret::{Secret, random_text, sha256},
};

/// An attempt that has not returned by then never does.
pub(super) const LIFE: Duration = Duration::from_secs(15 * 60);

/// So many attempts may be open in one browser, and so many bytes may they take: proxies before us allow a request's
/// head some 8 KiB. The oldest give way.
const MOST: usize = 8;
const MOST_BYTES: usize = 6 * 1024;

#[derive(Serialize, Deserialize)]
pub(super) struct Attempt {
    state: String,
    nonce: String,
    verifier: String,
    return_to: String,
    at: i64,
    #[serde(default)]
    pass: Pass,
    /// How many rounds through the provider this one makes in a row that nobody's click began.
    #[serde(default)]
    rounds: u32,
}

/// Why a browser is sent to the provider.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Pass {
    /// To log in, with whatever the provider asks of its user.
    #[default]
    Login,
    /// For a new grant, without a word to the user: their session is to go on.
    Silent,
    /// For the refresh token that the login before did not bring, which this provider gives with its user's consent.
    Consent,
}

impl Attempt {
    pub(super) fn new(proof: &CallbackProof, return_to: &ReturnTo, pass: Pass, rounds: u32, at: Timestamp) -> Self {
        Self {
            state: proof.state.expose().to_owned(),
            nonce: proof.nonce.expose().to_owned(),
            verifier: proof.verifier.expose().to_owned(),
            return_to: return_to.path().to_owned(),
            at: at.0,
            pass,
            rounds,
        }
    }

    pub(super) fn proof(&self) -> CallbackProof {
        CallbackProof { state: Secret::new(&self.state), nonce: Secret::new(&self.nonce), verifier: Secret::new(&self.verifier) }
    }

    pub(super) fn at(&self) -> Timestamp {
        Timestamp(self.at)
    }

    pub(super) fn pass(&self) -> Pass {
        self.pass
    }

    pub(super) fn rounds(&self) -> u32 {
        self.rounds
    }

    pub(super) fn return_to(&self) -> &str {
        &self.return_to
    }

    pub(super) fn seal(&self, keys: &KeyRing, id: &str) -> Option<String> {
        let plain = serde_json::to_vec(self).ok()?;
        Some(BASE64_URL_SAFE_NO_PAD.encode(keys.seal(&place(id), &plain).ok()?))
    }

    pub(super) fn open(keys: &KeyRing, id: &str, value: &str) -> Option<Self> {
        let sealed = BASE64_URL_SAFE_NO_PAD.decode(value).ok()?;
        serde_json::from_slice(&keys.open(&place(id), &sealed).ok()?).ok()
    }
}

/// The name of a new attempt: first its time, so that names sort by age, then chance.
pub(super) fn new_id(now: Timestamp) -> String {
    format!("{:012x}{}", now.0, random_text::<6>())
}

/// The attempts (id and cookie) that must go before one more of `length` may begin.
pub(super) fn surplus<'a>(attempts: impl Iterator<Item = (&'a str, &'a str)>, length: usize) -> Vec<&'a str> {
    let mut attempts: Vec<_> = attempts.collect();
    attempts.sort_unstable_by(|(a, _), (b, _)| b.cmp(a));
    attempts.dedup_by_key(|(id, _)| *id);
    let mut bytes = length;
    let kept = attempts.iter().take(MOST - 1).take_while(|(_, value)| {
        bytes += value.len();
        bytes <= MOST_BYTES
    });
    let kept = kept.count();
    attempts.into_iter().skip(kept).map(|(id, _)| id).collect()
}

/// Under which an attempt's return is recorded.
pub(super) fn hash(state: &str) -> [u8; 32] {
    sha256(state.as_bytes())
}

fn place(id: &str) -> String {
    format!("login attempt/{id}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_attempts_give_way() {
        let ids: Vec<String> = (0..10).map(|at| new_id(Timestamp(1_000_000 + at))).collect();
        let with = |value: &'static str| ids.iter().map(move |id| (id.as_str(), value));
        assert_eq!(surplus(with("short"), 5), [ids[2].as_str(), &ids[1], &ids[0]]);
        assert!(surplus(with("short").take(7), 5).is_empty());
        let long: &'static str = "x".repeat(2000).leak();
        assert_eq!(surplus(with(long), 2000).len(), 8, "two long ones are left beside the new one");
    }

    #[test]
    fn an_attempt_opens_under_its_own_name_alone() {
        let keys = KeyRing::from_base64([KeyRing::generate().as_str()]).unwrap();
        let attempt = Attempt::new(&CallbackProof::fresh("id"), &ReturnTo::front_page(), Pass::Login, 0, Timestamp(5));
        let value = attempt.seal(&keys, "id").unwrap();
        assert_eq!(Attempt::open(&keys, "id", &value).unwrap().state, attempt.state);
        assert!(Attempt::open(&keys, "other", &value).is_none());
        assert!(Attempt::open(&keys, "id", "garbage").is_none());
    }
}
