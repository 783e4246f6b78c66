//! What proves that a form came from one of our own pages. The app is of the same origin, so that neither the session cookie nor the
//! origin proves it: the app's scripts have both. The pages with these forms have an origin of their own instead (CSP sandbox), which no
//! script of the app can look into, and each form carries a seal, which names the session that the page was shown to.

use std::time::Duration;

use base64::prelude::*;
use serde::{Deserialize, Serialize};

use super::SessionHash;
use crate::{
    clock::{Clock, Timestamp},
    seal::KeyRing,
    secret::hex,
};

/// Which form a seal is of. The seal of one is of no use with another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SealedForm {
    /// Those about a user's own sessions and tokens. Their pages have an origin of their own (CSP sandbox).
    Account,
    /// That which sends what was kept under this name again, or discards it. Its page is of the app's origin, because what it sends
    /// must bring the app's cookies; a script of the app that read the seal could do with it what its user is offered to do.
    KeptPost([u8; 32]),
}

impl SealedForm {
    fn context(&self) -> String {
        match self {
            Self::Account => "tokens form".to_owned(),
            Self::KeptPost(name) => format!("kept post form/{}", hex(name)),
        }
    }
}

/// How long a page with such a form may stand open.
pub const LIFE: Duration = Duration::from_secs(3600);

#[derive(Serialize, Deserialize)]
struct FormSeal {
    session: [u8; 32],
    site: String,
    at: i64,
}

/// Makes and opens these seals.
#[derive(Clone, Debug)]
pub struct FormSeals {
    /// What they are sealed with.
    pub keys: KeyRing,
    /// The time.
    pub clock: Clock,
}

impl FormSeals {
    /// The seal of a form that is shown to this session at this site. Without one, which only a broken key gives, the form is refused.
    pub fn seal(&self, form: SealedForm, session: SessionHash, site: &str) -> String {
        let seal = FormSeal { session: session.0, site: site.to_owned(), at: self.clock.now().0 };
        let sealed = serde_json::to_vec(&seal).ok().and_then(|plain| self.keys.seal(&form.context(), &plain).ok());
        sealed.map(|sealed| BASE64_URL_SAFE_NO_PAD.encode(sealed)).unwrap_or_default()
    }

    /// The session that a form was shown to; `None` if the seal is not ours, another site's, or too old.
    pub fn open(&self, form: SealedForm, seal: &str, site: &str) -> Option<SessionHash> {
        let sealed = BASE64_URL_SAFE_NO_PAD.decode(seal).ok()?;
        let seal: FormSeal = serde_json::from_slice(&self.keys.open(&form.context(), &sealed).ok()?).ok()?;
        (seal.site == site && self.clock.now() < Timestamp(seal.at).plus(LIFE)).then_some(SessionHash(seal.session))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seal_names_its_session_for_an_hour_and_nobody_else_makes_one() {
        let clock = Clock::manual();
        let [ours, others] = [(), ()]
            .map(|()| FormSeals { keys: KeyRing::from_base64([KeyRing::generate().as_str()]).unwrap(), clock: clock.clone() });
        let (session, form) = (SessionHash([7; 32]), SealedForm::Account);
        let sealed = ours.seal(form, session, "a.example");
        assert_eq!(ours.open(form, &sealed, "a.example"), Some(session));
        assert_eq!(ours.open(form, &sealed, "b.example"), None, "at another site");
        assert_eq!(others.open(form, &sealed, "a.example"), None);
        for forged in ["", "x", &format!("{sealed}A")] {
            assert_eq!(ours.open(form, forged, "a.example"), None, "{forged:?}");
        }
        let [one, other] = [[1; 32], [2; 32]].map(SealedForm::KeptPost);
        let of_one = ours.seal(one, session, "a.example");
        assert_eq!(ours.open(one, &of_one, "a.example"), Some(session));
        assert!([form, other].iter().all(|form| ours.open(*form, &of_one, "a.example").is_none()), "another form's");
        clock.advance(LIFE);
        assert_eq!(ours.open(form, &sealed, "a.example"), None);
    }
}
