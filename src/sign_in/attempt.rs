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

/// So many attempts may be open in one browser; the oldest give way.
const MOST: usize = 8;

#[derive(Serialize, Deserialize)]
pub(super) struct Attempt {
    state: String,
    nonce: String,
    verifier: String,
    return_to: String,
    at: i64,
}

impl Attempt {
    pub(super) fn new(proof: &CallbackProof, return_to: &ReturnTo, at: Timestamp) -> Self {
        Self {
            state: proof.state.expose().to_owned(),
            nonce: proof.nonce.expose().to_owned(),
            verifier: proof.verifier.expose().to_owned(),
            return_to: return_to.path().to_owned(),
            at: at.0,
        }
    }

    pub(super) fn proof(&self) -> CallbackProof {
        CallbackProof { state: Secret::new(&self.state), nonce: Secret::new(&self.nonce), verifier: Secret::new(&self.verifier) }
    }

    pub(super) fn at(&self) -> Timestamp {
        Timestamp(self.at)
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

/// The attempts that must go before another may begin.
pub(super) fn surplus<'a>(ids: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    let mut ids: Vec<_> = ids.collect();
    ids.sort_unstable_by(|a, b| b.cmp(a));
    ids.dedup();
    ids.split_off(ids.len().min(MOST - 1))
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
        let surplus = surplus(ids.iter().map(String::as_str));
        assert_eq!(surplus, [ids[2].as_str(), &ids[1], &ids[0]]);
        assert!(super::surplus(ids.iter().take(7).map(String::as_str)).is_empty());
    }

    #[test]
    fn an_attempt_opens_under_its_own_name_alone() {
        let keys = KeyRing::from_base64([KeyRing::generate().as_str()]).unwrap();
        let attempt = Attempt::new(&CallbackProof::fresh("id"), &ReturnTo::front_page(), Timestamp(5));
        let value = attempt.seal(&keys, "id").unwrap();
        assert_eq!(Attempt::open(&keys, "id", &value).unwrap().state, attempt.state);
        assert!(Attempt::open(&keys, "other", &value).is_none());
        assert!(Attempt::open(&keys, "id", "garbage").is_none());
    }
}
