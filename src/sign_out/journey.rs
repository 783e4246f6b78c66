//! Where a logout leads, carried through the provider in `state`. It is encrypted, so that only a state of ours is accepted, and a
//! planted link cannot start a login instead of showing the signed-out page.

use std::time::Duration;

use base64::prelude::*;
use serde::{Deserialize, Serialize};

use crate::{clock::Timestamp, seal::KeyRing};

/// How long a logout state is valid.
const TTL: Duration = Duration::from_secs(15 * 60);
const CONTEXT: &str = "logout state";
/// The longest address that travels in the provider's, in bytes.
const LONGEST_ADDRESS: usize = 2048;

/// What a logout's `state` says.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct LogoutState {
    /// The path that the logout leads to; `None` for the signed-out page.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) to: Option<String>,
    /// Host and port of the site where it began; `None` if its browser comes back there.
    #[serde(rename = "h", default, skip_serializing_if = "Option::is_none")]
    pub(super) site: Option<String>,
    at: i64,
}

impl LogoutState {
    /// The state of a logout that begins now. It is sent even if it has nothing to say, as providers' logout pages are used to it.
    /// An address that is too long for the provider's is left out.
    pub(super) fn new(to: Option<&str>, site: Option<&str>, now: Timestamp) -> Self {
        Self { to: to.filter(|to| to.len() <= LONGEST_ADDRESS).map(str::to_owned), site: site.map(str::to_owned), at: now.0 }
    }

    /// Encrypts it.
    pub(super) fn seal(&self, keys: &KeyRing) -> Option<String> {
        let plain = serde_json::to_vec(self).ok()?;
        Some(BASE64_URL_SAFE_NO_PAD.encode(keys.seal(CONTEXT, &plain).ok()?))
    }

    /// Decrypts one; `None` if it is not ours or has expired.
    pub(super) fn open(keys: &KeyRing, state: &str, now: Timestamp) -> Option<Self> {
        let sealed = BASE64_URL_SAFE_NO_PAD.decode(state).ok()?;
        let state: Self = serde_json::from_slice(&keys.open(CONTEXT, &sealed).ok()?).ok()?;
        (now < Timestamp(state.at).plus(TTL)).then_some(state)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_state_of_ours_leads_anywhere_and_not_forever() {
        let (keys, others) = [(), ()].map(|()| KeyRing::from_base64([KeyRing::generate().as_str()]).unwrap()).into();
        let at = Timestamp(1_000_000);
        let state = LogoutState::new(Some("/bye?a=b"), None, at).seal(&keys).unwrap();
        let leads_to = |keys: &KeyRing, state: &str, now| LogoutState::open(keys, state, now).and_then(|state| state.to);
        assert_eq!(leads_to(&keys, &state, at).as_deref(), Some("/bye?a=b"));
        assert_eq!(leads_to(&others, &state, at), None);
        assert_eq!(leads_to(&keys, &state, at.plus(TTL)), None);
        for planted in ["", "/bye", "xyz", &format!("{state}A")] {
            assert_eq!(leads_to(&keys, planted, at), None, "{planted:?}");
        }
        let nothing = LogoutState::new(None, None, at).seal(&keys).unwrap();
        assert_eq!(leads_to(&keys, &nothing, at), None);
    }
}
