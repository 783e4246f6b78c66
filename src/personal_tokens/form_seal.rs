//! What proves that a form came from one of our own pages. The app is of the same origin, so that neither the session cookie nor the
//! origin proves it: the app's scripts have both. The pages with these forms have an origin of their own instead (CSP sandbox), which no
//! script of the app can look into, and each form carries a seal, which names the session that the page was shown to.

use std::time::Duration;

use base64::prelude::*;
use serde::{Deserialize, Serialize};

use crate::{clock::Timestamp, seal::KeyRing, session::SessionHash};

const CONTEXT: &str = "tokens form";
/// How long a page may stand open.
const LIFE: Duration = Duration::from_secs(3600);

#[derive(Serialize, Deserialize)]
struct FormSeal {
    session: [u8; 32],
    site: String,
    at: i64,
}

/// The seal of a form that is shown to this session at this site.
pub(super) fn seal(keys: &KeyRing, session: SessionHash, site: &str, now: Timestamp) -> Option<String> {
    let plain = serde_json::to_vec(&FormSeal { session: session.0, site: site.to_owned(), at: now.0 }).ok()?;
    Some(BASE64_URL_SAFE_NO_PAD.encode(keys.seal(CONTEXT, &plain).ok()?))
}

/// The session that a form was shown to; `None` if the seal is not ours, another site's, or too old.
pub(super) fn open(keys: &KeyRing, seal: &str, site: &str, now: Timestamp) -> Option<SessionHash> {
    let sealed = BASE64_URL_SAFE_NO_PAD.decode(seal).ok()?;
    let seal: FormSeal = serde_json::from_slice(&keys.open(CONTEXT, &sealed).ok()?).ok()?;
    (seal.site == site && now < Timestamp(seal.at).plus(LIFE)).then_some(SessionHash(seal.session))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seal_names_its_session_for_an_hour_and_nobody_else_makes_one() {
        let [keys, others] = [(), ()].map(|()| KeyRing::from_base64([KeyRing::generate().as_str()]).unwrap());
        let (session, at) = (SessionHash([7; 32]), Timestamp(1_000_000));
        let sealed = seal(&keys, session, "a.example", at).unwrap();
        assert_eq!(open(&keys, &sealed, "a.example", at), Some(session));
        assert_eq!(open(&keys, &sealed, "b.example", at), None, "at another site");
        assert_eq!(open(&others, &sealed, "a.example", at), None);
        assert_eq!(open(&keys, &sealed, "a.example", at.plus(LIFE)), None);
        for forged in ["", "x", &format!("{sealed}A")] {
            assert_eq!(open(&keys, forged, "a.example", at), None, "{forged:?}");
        }
    }
}
