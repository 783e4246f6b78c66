//! One provider: its settings, its metadata once discovery has read them, and what this process has observed of it. The calls
//! are `impl Provider` blocks in the files of their names.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use super::{
    ClaimMapping, ClientKeyError, ProviderError, Roles, Settings,
    client_credentials::ClientCredentials,
    discovery::ProviderMetadata,
    http::HttpClient,
    key_cache::KeyCache,
    preset::{Preset, RefreshTokenRotation},
    token_issuer::{TokenIssuer, TokenIssuerSettings},
};
use crate::{
    client_registration::{ClientRegistration, Registrations},
    clock::{Clock, Stopwatch, Timestamp},
    grant::{Fingerprint, Grant},
    identity::{ClaimReader, Identity},
    jose::Algorithm,
    lock::{Mutex, RwLock},
};

/// How long a replica that starts waits for the first discovery before it is ready without.
const FIRST_DISCOVERY: Duration = Duration::from_secs(5);

/// The OpenID provider.
#[derive(Debug)]
pub struct Provider {
    pub(super) settings: Settings,
    pub(super) http: HttpClient,
    pub(super) clock: Clock,
    pub(super) metadata: RwLock<Option<Arc<ProviderMetadata>>>,
    /// When the metadata were last asked for; locked meanwhile, so that others wait for them.
    pub(super) metadata_read_at: tokio::sync::Mutex<Option<Timestamp>>,
    /// The issuer in the metadata that were last read, where it differs from the configured one.
    pub(super) mismatching_issuer: RwLock<Option<String>>,
    pub(super) keys: KeyCache,
    /// The algorithm of the last ID token that was accepted.
    signing_algorithm: Mutex<Option<Algorithm>>,
    pub(super) credentials: ClientCredentials,
    /// The issuer of signed requests and events, where that is another.
    pub(super) event_issuer: Option<Arc<TokenIssuer>>,
    /// The last discovery failed because of the settings or the metadata, and not because the provider did not respond.
    pub(super) misconfigured: AtomicBool,
    /// The first discovery has ended, in whatever way.
    pub(super) asked: AtomicBool,
    made: Stopwatch,
    /// A login with `prompt=consent` brought no refresh token either.
    pub(super) consent_did_not_help: AtomicBool,
    /// Until when a failed push of an authorization request counts as recent.
    pub(super) no_push_before: Mutex<Timestamp>,
    /// How often a refresh token was presented.
    pub(super) refresh_calls: AtomicU64,
    fingerprint: Fingerprint,
    claim_reader: ClaimReader,
    registrations: RwLock<Registrations>,
}

impl Provider {
    /// A provider that is not called before [`Provider::run_discovery`] runs.
    ///
    /// # Errors
    /// The client's private key cannot be read.
    pub fn new(settings: Settings, tls: rustls::ClientConfig, clock: Clock) -> Result<Self, ClientKeyError> {
        let event_issuer = settings.event_issuer.clone().map(|issuer| {
            let settings = TokenIssuerSettings::of_events(settings.name.clone(), issuer, settings.proxy.clone());
            Arc::new(TokenIssuer::new(settings, tls.clone(), clock.clone()))
        });
        Ok(Self {
            event_issuer,
            fingerprint: Fingerprint::of(&fingerprint_text(&settings)),
            claim_reader: ClaimReader::of(&reading_text(&settings)),
            registrations: RwLock::new(Registrations::only(ClientRegistration {
                issuer: &settings.issuer,
                client_id: &settings.client_id,
            })),
            http: HttpClient::new(tls, settings.proxy.clone()),
            credentials: ClientCredentials::new(&settings, clock.clone())?,
            settings,
            keys: KeyCache::new(clock.clone()),
            clock,
            metadata: RwLock::default(),
            metadata_read_at: tokio::sync::Mutex::default(),
            mismatching_issuer: RwLock::default(),
            signing_algorithm: Mutex::default(),
            misconfigured: AtomicBool::new(false),
            asked: AtomicBool::new(false),
            made: Stopwatch::start(),
            consent_did_not_help: AtomicBool::new(false),
            no_push_before: Mutex::default(),
            refresh_calls: AtomicU64::new(0),
        })
    }

    /// Evergate was these clients at this provider, or is one of them on another replica: `CODER_OIDC_CLIENT_ID` was changed.
    pub fn follow(&self, clients: &[&str]) {
        let mut registrations = self.registrations.write();
        *registrations = registrations.after(clients);
    }

    /// The registration of the client that Evergate is, and of those of [`Provider::follow`]: whoever was ended or locked out by the name
    /// of one is so by that of each.
    pub fn registrations(&self) -> Registrations {
        self.registrations.read().clone()
    }

    /// The name by which logins and routes name it.
    pub fn name(&self) -> &str {
        &self.settings.name
    }

    /// Whether a grant belongs to it and to this client. A refresh token is presented to no other.
    pub fn has_given(&self, grant: &Grant) -> bool {
        grant.registration() == self.registration()
    }

    /// What identifies Evergate as its client, in grants and in the store.
    pub fn registration(&self) -> ClientRegistration<'_> {
        ClientRegistration { issuer: self.issuer(), client_id: self.client_id() }
    }

    /// The issuer identifier.
    pub fn issuer(&self) -> &str {
        &self.settings.issuer
    }

    /// The identifier of Evergate as a client of the provider.
    pub fn client_id(&self) -> &str {
        &self.settings.client_id
    }

    /// The preset: as configured, or as recognised by the issuer and the metadata.
    pub fn preset(&self) -> &'static Preset {
        let settings = &self.settings;
        self.metadata()
            .map_or_else(|_| settings.preset.unwrap_or_else(|| Preset::of_issuer(&settings.issuer)), |metadata| metadata.preset)
    }

    /// What becomes of a refresh token that was used: as configured, or as in the preset.
    pub fn rotation(&self) -> RefreshTokenRotation {
        self.settings.refresh_token_reuse_interval.map_or(self.preset().rotation, RefreshTokenRotation::ReuseInterval)
    }

    /// The address of the proxy of `HTTPS_PROXY`, if there is one, and whether calls to the issuer go through it.
    pub fn proxy(&self) -> Option<(String, bool)> {
        let proxy = self.settings.proxy.proxy()?;
        let issuer = url::Url::parse(&self.settings.issuer).ok()?;
        Some((proxy.address.to_string(), self.settings.proxy.proxy_for(&issuer).is_some()))
    }

    /// The deadline of a token call.
    pub fn token_timeout(&self) -> Duration {
        self.settings.token_timeout
    }

    /// Identifies the settings that decide what a login brings. Grants with another fingerprint were obtained with others.
    pub fn fingerprint(&self) -> &Fingerprint {
        &self.fingerprint
    }

    /// Identifies the settings that decide how claims are read.
    pub fn claim_reader(&self) -> &ClaimReader {
        &self.claim_reader
    }

    /// Whether this identity was read of the claims in another way than they are read now.
    pub fn has_read_otherwise(&self, identity: &Identity) -> bool {
        identity.reader.as_ref().is_some_and(|reader| *reader != self.claim_reader)
    }

    /// The identity of a grant as a token refresh finds it. Where an older release has not said how it read the claims, it was by the
    /// present settings if those are the ones of the grant's login, and else by settings that nobody knows.
    pub fn identity_before_refresh(&self, grant: &Grant) -> Identity {
        let identity = grant.identity.clone();
        let by_login = (grant.fingerprint == self.fingerprint).then(|| self.claim_reader.clone());
        Identity { reader: identity.reader.or(by_login), ..identity }
    }

    /// Whether claims that the settings name were never asked for when this identity was read.
    pub fn has_further_claims(&self, identity: &Identity) -> bool {
        identity.claims.lacks_any(&self.settings.mapping.further)
    }

    /// How often this process has presented a refresh token to the provider, health probes included.
    pub fn refresh_calls(&self) -> u64 {
        self.refresh_calls.load(Ordering::Relaxed)
    }

    /// Whether discovery has succeeded.
    pub fn is_ready(&self) -> bool {
        self.metadata().is_ok()
    }

    /// Whether the first discovery is still under way, for so short a time that a new replica had better wait for it: its first
    /// logins would find no provider.
    pub fn is_about_to_be_known(&self) -> bool {
        !self.asked.load(Ordering::Acquire) && self.made.elapsed() < FIRST_DISCOVERY
    }

    /// Whether the last discovery failed for a reason that only an administrator can fix.
    pub fn is_misconfigured(&self) -> bool {
        self.misconfigured.load(Ordering::Acquire)
    }

    /// Whether an endpoint was not found at the address that the metadata name.
    pub fn is_missing_an_endpoint(&self) -> bool {
        self.http.is_missing_an_endpoint()
    }

    /// The metadata, once discovery has succeeded.
    pub(super) fn metadata(&self) -> Result<Arc<ProviderMetadata>, ProviderError> {
        let metadata = self.metadata.read().clone();
        metadata.ok_or_else(|| match self.mismatching_issuer.read().clone() {
            Some(found) => ProviderError::IssuerMismatch { expected: self.settings.issuer.clone(), found },
            None if self.is_misconfigured() => ProviderError::Misconfigured,
            None => ProviderError::NotReady,
        })
    }

    /// Records the algorithm of an ID token that was accepted.
    pub(super) fn record_signing_algorithm(&self, algorithm: Algorithm) {
        *self.signing_algorithm.lock() = Some(algorithm);
    }

    /// The algorithm of the last ID token that this process has accepted, if there was one.
    pub(super) fn signing_algorithm(&self) -> Option<Algorithm> {
        *self.signing_algorithm.lock()
    }
}

/// What the fingerprint is the hash of. It is stored with grants, so the text must stay the same from version to version: a setting
/// that came later is in it only where it is not at its default.
fn fingerprint_text(settings: &Settings) -> String {
    let requested = (&settings.issuer, &settings.client_id, &settings.scopes, &settings.auth_params);
    format!("{requested:?} {}", reading_text(settings))
}

/// What says how claims are read, as a part of that text.
fn reading_text(settings: &Settings) -> String {
    // Further claims come with the next token refresh, for which nobody need log in again.
    let ClaimMapping { username, name, email, groups, group_names, roles, ignore_email_verified, further: _ } = &settings.mapping;
    let mut text = format!(
        "(Mapping {{ username: {username:?}, email: {email:?}, groups: {groups:?}, \
         ignore_email_verified: {ignore_email_verified:?} }}, {:?})",
        settings.ignore_userinfo
    );
    if settings.access_token_claims {
        text += " access token claims";
    }
    if let Some(names) = group_names.fingerprint() {
        text += &format!(" group names {names}");
    }
    if name != "name" {
        text += &format!(" name {name:?}");
    }
    if let Some(Roles { field, mapping, default }) = roles {
        text += &format!(" roles {field:?} {mapping:?} {default:?}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_of_a_fingerprint_stays_as_it_is_stored() {
        let settings = Settings {
            scopes: Some(vec!["openid".into(), "email".into()]),
            auth_params: [("prompt".to_owned(), "login".to_owned())].into(),
            mapping: ClaimMapping { groups: Some("roles".into()), ..ClaimMapping::default() },
            ..Settings::of_test("https://id.example")
        };
        assert_eq!(
            fingerprint_text(&settings),
            r#"("https://id.example", "c", Some(["openid", "email"]), {"prompt": "login"}) (Mapping { username: "preferred_username", email: "email", groups: Some("roles"), ignore_email_verified: false }, false)"#
        );
    }
}
