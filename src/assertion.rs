//! Signed assertions: who sends a request, as a token that an app can verify by itself (`X-Evergate-Assertion`).
//!
//! The keys are derived from the ring that encrypts tokens at rest, and from the week. All replicas that share the ring have the same
//! keys without asking each other or the store, also while that is away, and each key is published a week before the first token is
//! signed with it and a week after the last.

use std::{sync::Arc, time::Duration};

use http::HeaderValue;
use serde_json::{Value, json};

use crate::{
    clock::{Clock, Timestamp},
    grant::Grant,
    identity::{AUTH_TIME, AssertionFor, Identity, SignedAssertions},
    jose::{Algorithm, KeySet, SignedToken, SigningError, SigningKey, UnknownKeyIds, VerificationOptions},
    lock::RwLock,
    seal::{KeyId, KeyRing},
    secret::{hex, sha256},
    session::SessionHash,
    telemetry::logs::causes,
};

/// How long a token is valid.
const LIFETIME: Duration = Duration::from_secs(60);
/// How long a token is sent once it was signed. The rest of its life is for the way, and for clocks that differ.
const REUSE: Duration = Duration::from_secs(30);
/// How long tokens are signed with one key, in seconds.
const PERIOD: i64 = 7 * 24 * 3600;
/// A scalar is no private key once in 2³² times.
const MAX_ATTEMPTS: u8 = 8;

/// Signs assertions, and publishes the keys that verify them.
#[derive(Debug)]
pub struct Assertions {
    ring: KeyRing,
    /// The access URL: who signs.
    issuer: String,
    clock: Clock,
    keys: RwLock<Option<Arc<Keys>>>,
}

/// Whom an assertion is about.
#[derive(Clone, Copy, Debug)]
pub struct About<'a> {
    /// Who says so: the provider's issuer, or the name of an issuer of bearer tokens.
    pub provider: &'a str,
    /// The verified claims.
    pub identity: &'a Identity,
    /// The hash of the session's cookie or of the bearer token.
    pub credential: &'a [u8; 32],
    /// When they logged in, if that is known and their claims do not say it.
    pub login_at: Option<Timestamp>,
    /// When their claims were last verified.
    pub verified_at: Timestamp,
    /// The assertions about them that were signed before.
    pub kept: &'a SignedAssertions,
}

impl<'a> About<'a> {
    /// The user of a session with this grant.
    pub fn session(session: &'a SessionHash, grant: &'a Grant) -> Self {
        Self {
            provider: &grant.issuer,
            identity: &grant.identity,
            credential: &session.0,
            login_at: Some(grant.created_at),
            verified_at: grant.unverified_since.unwrap_or(grant.renewed_at),
            kept: &grant.assertions,
        }
    }
}

/// What an assertion says that is one of ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asserted {
    /// The route whose app it was sent to (`aud`).
    pub audience: String,
    /// The user (`sub`).
    pub subject: String,
    /// The session (`sid`).
    pub session: SessionName,
}

/// The name by which apps know a session or a bearer token (`sid`).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SessionName(String);

/// The keys of one period.
#[derive(Debug)]
struct Keys {
    period: i64,
    /// What is signed with: the key of this period, by the ring's first key.
    current: SigningKey,
    /// What is published (RFC 7517): the keys of this period, the one before and the one after, by all keys of the ring.
    published: Value,
}

impl Assertions {
    /// Signs as `issuer` with keys of `ring`.
    pub fn new(ring: KeyRing, issuer: String, clock: Clock) -> Self {
        Self { ring, issuer, clock, keys: RwLock::default() }
    }

    /// The token that tells the app at `audience` who sends a request. `None`: it cannot be signed, which is logged.
    pub fn of(&self, audience: &Arc<str>, about: About<'_>) -> Option<HeaderValue> {
        let now = self.clock.now();
        let wanted = AssertionFor { audience: Arc::clone(audience), session: *about.credential };
        let is_fresh = |signed_at: Timestamp| signed_at <= now && now.since(signed_at) < REUSE;
        if let Some(value) = about.kept.get(&wanted, is_fresh) {
            return Some(value);
        }
        match self.sign(audience, about, now) {
            Ok(value) => {
                about.kept.keep(wanted, now, value.clone());
                Some(value)
            }
            Err(error) => {
                tracing::error!(error = causes(&error), "an assertion cannot be signed, and is not sent");
                None
            }
        }
    }

    /// The keys that verify tokens, as a JSON Web Key Set.
    ///
    /// # Errors
    /// [`SigningError`].
    pub fn key_set(&self) -> Result<Value, SigningError> {
        Ok(self.keys(self.clock.now())?.published.clone())
    }

    /// What an assertion says that some replica has signed, whenever that was: who asks by it what becomes of its session does not ask
    /// for proof of a request. `None`: it is none of ours.
    pub fn read(&self, token: &str) -> Option<Asserted> {
        let token = SignedToken::parse(token).ok()?;
        let signed_at = token.unverified().members.get("iat")?.as_i64()?;
        if signed_at > self.clock.now().plus(LIFETIME).seconds() {
            return None;
        }
        let period = signed_at.div_euclid(PERIOD);
        let keys: Vec<_> = self.ring.ids().filter_map(|from| self.key(from, period).ok()?.jwk()).collect();
        let keys = KeySet::parse(json!({ "keys": keys }).to_string().as_bytes()).ok()?;
        let options = VerificationOptions {
            algorithms: &[Algorithm::Es256],
            keys: &keys,
            key_issuer: None,
            unknown_key_ids: UnknownKeyIds::Reject,
            secrets: &[],
        };
        let (claims, _) = token.verify(options).ok()?;
        let text = |name| claims.members.get(name).and_then(Value::as_str).map(str::to_owned);
        let is_ours = text("iss")? == self.issuer;
        is_ours.then_some(Asserted { audience: text("aud")?, subject: text("sub")?, session: SessionName(text("sid")?) })
    }

    fn sign(&self, audience: &str, about: About<'_>, now: Timestamp) -> Result<HeaderValue, SigningError> {
        let identity = about.identity;
        let login = identity.claims.get(AUTH_TIME).filter(|time| time.is_i64()).cloned();
        let mut claims = json!({
            "iss": self.issuer,
            "aud": audience,
            "sub": identity.subject,
            "idp": about.provider,
            "iat": now.seconds(),
            "exp": now.plus(LIFETIME).seconds(),
            "sid": SessionName::of(about.credential).0,
            "auth_time": login.or_else(|| about.login_at.map(|at| at.seconds().into())),
            "renewed_at": about.verified_at.seconds(),
            "email": identity.email,
            "preferred_username": identity.username,
            "name": identity.name,
            "groups": identity.group_names(),
            "roles": identity.roles,
        });
        if let Some(claims) = claims.as_object_mut() {
            claims.retain(|_, value| !value.is_null());
        }
        let token = self.keys(now)?.current.sign(Algorithm::Es256, &claims)?;
        let mut value = HeaderValue::try_from(token).map_err(|_| SigningError::Failed)?;
        value.set_sensitive(true);
        Ok(value)
    }

    /// The keys of the present period.
    fn keys(&self, now: Timestamp) -> Result<Arc<Keys>, SigningError> {
        let period = now.seconds().div_euclid(PERIOD);
        let known = self.keys.read().clone();
        if let Some(keys) = known.filter(|keys| keys.period == period) {
            return Ok(keys);
        }
        let mut published = Vec::new();
        for period in [period, period + 1, period - 1] {
            for from in self.ring.ids() {
                published.extend(self.key(from, period)?.jwk());
            }
        }
        let current = self.key(self.ring.sealing(), period)?;
        let keys = Arc::new(Keys { period, current, published: json!({ "keys": published }) });
        *self.keys.write() = Some(Arc::clone(&keys));
        Ok(keys)
    }

    /// The key pair of a period, derived from a key of the ring. What it is derived for must not change: replicas of all releases
    /// sign with the same keys.
    fn key(&self, from: KeyId, period: i64) -> Result<SigningKey, SigningError> {
        let mut candidates = (0..MAX_ATTEMPTS).filter_map(|attempt| {
            let scalar = self.ring.derive(from, &format!("assertion/{period}/{attempt}"))?;
            SigningKey::from_scalar(&scalar).ok()
        });
        candidates.next().ok_or(SigningError::Failed)
    }
}

impl SessionName {
    /// The name of what has this hash: that hash's hash, because the store finds sessions by the hash.
    pub fn of(credential: &[u8; 32]) -> Self {
        Self(hex(sha256(&[b"sid", &credential[..]].concat()).first_chunk::<16>().unwrap_or(&[0; 16])))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn assertions(keys: &[&str], clock: &Clock) -> Assertions {
        let ring = KeyRing::from_base64(keys.iter().copied()).unwrap();
        Assertions::new(ring, "https://app.example".into(), clock.clone())
    }

    fn key_ids(assertions: &Assertions) -> Vec<String> {
        let set = assertions.key_set().unwrap();
        set["keys"].as_array().unwrap().iter().map(|key| key["kid"].as_str().unwrap().to_owned()).collect()
    }

    #[test]
    fn replicas_that_share_a_ring_have_the_same_keys_and_others_have_others() {
        let (clock, one, two) = (Clock::manual(), KeyRing::generate(), KeyRing::generate());
        let ids = key_ids(&assertions(&[&one], &clock));
        assert_eq!(ids.len(), 3);
        assert_eq!(key_ids(&assertions(&[&one], &clock)), ids);
        assert!(key_ids(&assertions(&[&two], &clock)).iter().all(|id| !ids.contains(id)));
        let both = key_ids(&assertions(&[&two, &one], &clock));
        assert!(ids.iter().all(|id| both.contains(id)), "while keys of the ring are rotated, all are published");
    }

    #[test]
    fn an_assertion_is_read_by_all_who_share_the_ring_however_old_it_is_and_no_other_is() {
        let (clock, ring) = (Clock::manual(), KeyRing::generate());
        let signer = assertions(&[&ring], &clock);
        let identity = Identity { subject: "ann".into(), ..Identity::default() };
        let (credential, kept) = ([7; 32], SignedAssertions::default());
        let now = clock.now();
        let (provider, credential) = ("https://idp.example", &credential);
        let about = About { provider, identity: &identity, credential, login_at: None, verified_at: now, kept: &kept };
        let token = signer.sign("https://app.example/a", about, now).unwrap();
        let token = token.to_str().unwrap();
        let expected =
            Asserted { audience: "https://app.example/a".into(), subject: "ann".into(), session: SessionName::of(credential) };
        clock.advance(Duration::from_secs(40 * 24 * 3600));
        let with_another_key = assertions(&[&KeyRing::generate(), &ring], &clock);
        for reader in [&signer, &with_another_key] {
            assert_eq!(reader.read(token), Some(expected.clone()));
        }
        let other_issuer = Assertions { issuer: "https://other.example".into(), ..assertions(&[&ring], &clock) };
        let other_ring = assertions(&[&KeyRing::generate()], &clock);
        assert_eq!((other_issuer.read(token), other_ring.read(token)), (None, None));
        let (signed, _) = token.rsplit_once('.').unwrap();
        for forged in [format!("{signed}."), format!("{signed}.AAAA"), signed.to_owned(), String::new(), "a.b.c".into()] {
            assert_eq!(signer.read(&forged), None, "{forged}");
        }
        let of_tomorrow = signer.sign("a", about, clock.now().plus(Duration::from_secs(24 * 3600))).unwrap();
        assert_eq!(signer.read(of_tomorrow.to_str().unwrap()), None, "no replica signs ahead of time");
    }

    #[test]
    fn a_key_is_published_before_and_after_it_signs() {
        let (clock, ring) = (Clock::manual(), KeyRing::generate());
        let assertions = assertions(&[&ring], &clock);
        let week = Duration::from_secs(7 * 24 * 3600);
        let mut seen = Vec::new();
        for _ in 0..4 {
            let ids = key_ids(&assertions);
            let current = assertions.keys(clock.now()).unwrap().current.jwk().unwrap()["kid"].as_str().unwrap().to_owned();
            assert!(ids.contains(&current));
            seen.push((current, ids));
            clock.advance(week);
        }
        for pair in seen.windows(2) {
            assert_ne!(pair[0].0, pair[1].0, "each week has a key of its own");
            assert!(pair[0].1.contains(&pair[1].0), "which was published the week before");
            assert!(pair[1].1.contains(&pair[0].0), "and is published the week after");
        }
    }
}
