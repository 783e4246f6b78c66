//! Where a browser goes after a logout, as the provider carries it there and back in `state`: sealed, so that what comes back
//! is known to be ours, and nobody can plant a link that begins a login instead of saying that one is signed out.

use std::time::Duration;

use base64::prelude::*;
use serde::{Deserialize, Serialize};

use crate::{clock::Timestamp, seal::KeyRing};

/// A logout takes no longer than this.
const LIFE: Duration = Duration::from_secs(15 * 60);
const PLACE: &str = "logout state";

#[derive(Serialize, Deserialize)]
struct Journey {
    to: String,
    at: i64,
}

/// The state for a logout that leads to `to`.
pub(super) fn seal(keys: &KeyRing, to: &str, now: Timestamp) -> Option<String> {
    let plain = serde_json::to_vec(&Journey { to: to.to_owned(), at: now.0 }).ok()?;
    Some(BASE64_URL_SAFE_NO_PAD.encode(keys.seal(PLACE, &plain).ok()?))
}

/// Where it leads.
pub(super) fn open(keys: &KeyRing, state: &str, now: Timestamp) -> Option<String> {
    let sealed = BASE64_URL_SAFE_NO_PAD.decode(state).ok()?;
    let journey: Journey = serde_json::from_slice(&keys.open(PLACE, &sealed).ok()?).ok()?;
    (now < Timestamp(journey.at).plus(LIFE)).then_some(journey.to)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_state_of_ours_leads_anywhere_and_not_for_ever() {
        let (keys, others) = [(), ()].map(|()| KeyRing::from_base64([KeyRing::generate().as_str()]).unwrap()).into();
        let at = Timestamp(1_000_000);
        let state = seal(&keys, "/bye?a=b", at).unwrap();
        assert_eq!(open(&keys, &state, at).as_deref(), Some("/bye?a=b"));
        assert_eq!(open(&others, &state, at), None);
        assert_eq!(open(&keys, &state, at.plus(LIFE)), None);
        for planted in ["", "/bye", "xyz", &format!("{state}A")] {
            assert_eq!(open(&keys, planted, at), None, "{planted:?}");
        }
    }
}
