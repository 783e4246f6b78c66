//! The path to which a logout leads, carried through the provider in `state`. It is encrypted, so that only a state of ours is
//! accepted, and a planted link cannot start a login instead of showing the signed-out page.

use std::time::Duration;

use base64::prelude::*;
use serde::{Deserialize, Serialize};

use crate::{clock::Timestamp, seal::KeyRing};

/// How long a logout state is valid.
const TTL: Duration = Duration::from_secs(15 * 60);
const CONTEXT: &str = "logout state";

#[derive(Serialize, Deserialize)]
struct LogoutState {
    to: String,
    at: i64,
}

/// Encrypts the state of a logout that leads to `to`.
pub(super) fn seal_logout_state(keys: &KeyRing, to: &str, now: Timestamp) -> Option<String> {
    let plain = serde_json::to_vec(&LogoutState { to: to.to_owned(), at: now.0 }).ok()?;
    Some(BASE64_URL_SAFE_NO_PAD.encode(keys.seal(CONTEXT, &plain).ok()?))
}

/// Returns the path that a state leads to; `None` if it is not ours or has expired.
pub(super) fn open_logout_state(keys: &KeyRing, state: &str, now: Timestamp) -> Option<String> {
    let sealed = BASE64_URL_SAFE_NO_PAD.decode(state).ok()?;
    let logout: LogoutState = serde_json::from_slice(&keys.open(CONTEXT, &sealed).ok()?).ok()?;
    (now < Timestamp(logout.at).plus(TTL)).then_some(logout.to)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_state_of_ours_leads_anywhere_and_not_forever() {
        let (keys, others) = [(), ()].map(|()| KeyRing::from_base64([KeyRing::generate().as_str()]).unwrap()).into();
        let at = Timestamp(1_000_000);
        let state = seal_logout_state(&keys, "/bye?a=b", at).unwrap();
        assert_eq!(open_logout_state(&keys, &state, at).as_deref(), Some("/bye?a=b"));
        assert_eq!(open_logout_state(&others, &state, at), None);
        assert_eq!(open_logout_state(&keys, &state, at.plus(TTL)), None);
        for planted in ["", "/bye", "xyz", &format!("{state}A")] {
            assert_eq!(open_logout_state(&keys, planted, at), None, "{planted:?}");
        }
    }
}
