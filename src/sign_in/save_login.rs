//! Saves a login: the grant, and the session that points to it.

use http::{HeaderValue, header};

use super::{
    LoginBrowser, LoginParts, Redirect, SignIn,
    attempt::{Attempt, LoginMode},
    callback_error::CallbackError,
    left_over::LeftOver,
    purpose::Purpose,
    return_to::ReturnTo,
};
use crate::{
    clock::Timestamp,
    grant::GrantId,
    history::{ANOTHER_LOGIN, DURING_LOGIN, Event, Kind},
    identity::Identity,
    oidc::VerifiedLogin,
    policy::Denied,
    session::{Opener, Session, SessionHash, UserHash, UserKey, UserName},
    store::{LoginSaved, LoginTarget, NewGrant, ReplacedSession, SessionFilter, Sharing, Tokens},
    telemetry::logs::causes,
};

/// Why the login of a client that has left creates no session.
const CLIENT_LEFT: &str = "its client has left";

/// The maximum length of an event's detail, in characters.
const MAX_DETAIL_LEN: usize = 1000;

impl SignIn {
    /// Records a denied login in the history, with the claims that the rule checked; the log names no users.
    fn record_denied_login(&self, identity: &Identity, denied: Denied) {
        let grant = GrantId::of_denied(self.provider.issuer(), &identity.subject);
        let event =
            Event::of(Kind::Login, grant, self.provider.issuer(), identity, self.parts.clock.now()).because(denied.as_str());
        self.parts.store.enqueue_event(Event { outcome: "denied".to_owned(), detail: checked_claims(identity, denied), ..event });
    }

    /// Saves the login for the session `existing` or a new one, and redirects the browser to its return address, or once more to
    /// a provider that issues refresh tokens only with consent.
    pub(super) async fn finish_login(
        &self,
        at: LoginBrowser<'_>,
        login: VerifiedLogin,
        existing: Option<SessionHash>,
        return_to: &ReturnTo,
        attempt: &Attempt,
    ) -> Result<Redirect, CallbackError> {
        if let Err(denied) = self.policy.admit(&login.identity) {
            self.record_denied_login(&login.identity, denied);
            // For an existing session the policy is checked on each request, with the current identity.
            if existing.is_none() {
                self.revoke_login(&login, LeftOver::Denied).await;
                return Err(CallbackError::Denied(denied, login.identity.display().to_owned()));
            }
        }
        if self.end_if_locked_out(&login.identity).await? {
            self.record_denied_login(&login.identity, Denied::Deprovisioned);
            self.revoke_login(&login, LeftOver::Denied).await;
            return Err(CallbackError::Denied(Denied::Deprovisioned, login.identity.display().to_owned()));
        }
        self.let_tokens_in(&login.identity).await?;
        let (mode, identity, provider_session) = (attempt.mode(), login.identity.clone(), login.provider_session.clone());
        let brought_one = login.tokens.refresh_token.is_some();
        let Some((saved, cookies)) = self.save_login(login, existing, at, mode).await? else {
            // The session ended while its browser was at the provider: the user logs in interactively.
            return Ok(self.redirect_to_provider(at, return_to, Purpose::Login).await?);
        };
        self.refuse_logged_out_user(&identity, provider_session.as_deref(), saved.session, attempt).await?;
        if mode == LoginMode::Consent {
            self.provider.record_consent_outcome(saved.renewable);
        }
        let asks_again = self.provider.should_prompt_for_consent() && !saved.renewable && mode != LoginMode::Consent;
        if !asks_again {
            self.refresh_tokens.record(&self.provider, brought_one || saved.renewable);
        }
        let mut redirect = match asks_again {
            true => self.ask_for_consent(at, return_to, &identity).await,
            false => at.back(return_to),
        };
        redirect.cookies.extend(cookies);
        let user = UserHash::of(self.provider.registration(), &identity.subject);
        redirect.cookies.extend(self.parts.browser_mark(at, user));
        redirect.cookies.extend(self.choice_after_login(at.headers, attempt));
        Ok(redirect)
    }

    /// Redirects a browser, whose user has a session by now, to the provider for its consent, or back if that cannot begin.
    async fn ask_for_consent(&self, at: LoginBrowser<'_>, return_to: &ReturnTo, identity: &Identity) -> Redirect {
        match self.redirect_to_provider(at, return_to, Purpose::Consent(identity)).await {
            Ok(redirect) => redirect,
            Err(error) => {
                tracing::warn!(error = causes(&error), "a user cannot be asked for consent; the session has no refresh token");
                at.back(return_to)
            }
        }
    }

    /// Ends a new session immediately if the provider has logged its user out while the login was under way. Checked after the
    /// session is saved, so that a concurrent logout either finds the session or is found here.
    async fn refuse_logged_out_user(
        &self,
        identity: &Identity,
        provider_session: Option<&str>,
        session: SessionHash,
        attempt: &Attempt,
    ) -> Result<(), CallbackError> {
        let whose =
            SessionFilter { registration: self.provider.registration(), subject: Some(&identity.subject), provider_session };
        let names = self.names_of(identity);
        let was_ended =
            self.parts.with_patience(|| self.parts.store.user_ended_at(&names)).await?.is_some_and(|at| at >= attempt.at());
        if !was_ended && !self.parts.with_patience(|| self.parts.store.was_logged_out_since(whose, &names, attempt.at())).await? {
            return Ok(());
        }
        // Whoever was locked out meanwhile has nothing else either, though it may go on with what this login has brought.
        self.end_if_locked_out(identity).await?;
        if let Some(ended) = self.parts.store.end_session(session).await? {
            ended.events(session, DURING_LOGIN, self.parts.clock.now()).for_each(|event| self.parts.store.enqueue_event(event));
        }
        tracing::info!(session = session.short(), "the provider logged a user out while their login was under way");
        Err(CallbackError::UnknownAttempt("the provider has logged its user out since it began"))
    }

    /// Whether a directory has locked a user out, by any name that the provider has just told. Their sessions end, of which it had told
    /// other names.
    async fn end_if_locked_out(&self, identity: &Identity) -> Result<bool, CallbackError> {
        let (names, registrations, now) = (self.names_of(identity), self.provider.registrations(), self.parts.clock.now());
        let end = || self.parts.store.end_if_locked_out(&names, &registrations, &identity.subject, now);
        Ok(self.parts.with_patience(end).await?)
    }

    /// Lets the bearer tokens of a user in whom a directory had locked out by other names, and who is let in now.
    async fn let_tokens_in(&self, identity: &Identity) -> Result<(), CallbackError> {
        let tokens = UserKey::token_names(&identity.subject, &self.provider.registrations());
        let (issuer, names, now) = (self.provider.issuer(), self.names_of(identity), self.parts.clock.now());
        Ok(self.parts.with_patience(|| self.parts.store.let_tokens_in(issuer, &tokens, &names, now)).await?)
    }

    /// By what a user may have been ended.
    fn names_of(&self, identity: &Identity) -> Vec<UserName> {
        UserKey::names(identity, &self.provider.registrations())
    }

    /// Saves the grant, for the session `existing` or for a new one, and returns the new one's cookies. A new session replaces the
    /// one that the browser presented, so that a planted cookie is useless (session fixation). Returns `None` if the existing
    /// session has ended meanwhile.
    async fn save_login(
        &self,
        login: VerifiedLogin,
        existing: Option<SessionHash>,
        at: LoginBrowser<'_>,
        mode: LoginMode,
    ) -> Result<Option<(LoginSaved, Vec<HeaderValue>)>, CallbackError> {
        let (now, since_code) = (self.parts.clock.now(), login.since_code);
        let grant = self.new_grant(login, at);
        let (value, fresh) = SessionHash::fresh();
        let hash = existing.unwrap_or(fresh);
        let presented = self.parts.cookies.presented_sessions(at.headers);
        let replaces = presented.first().copied();
        let provider_session = grant.provider_session.as_deref().map(Box::from);
        let site = Some(Box::from(at.site.authority()));
        let session =
            Session { hash, grant: grant.id, created_at: now, last_seen: now, provider_session, site, token: None, login: None };
        let target = existing.map_or(LoginTarget::New { session, replaces }, LoginTarget::Existing);
        let shares_token = self.provider.preset().shares_refresh_tokens;
        let sharing = if shares_token { Sharing::Shared { since_code } } else { Sharing::Own };
        // A client that has left keeps the session that it had, because the cookie of a new one does not reach it.
        let left = at.left.filter(|_| existing.is_none());
        let save = || self.parts.store.save_login_of_client(&grant, &target, sharing, now, left);
        let Some(saved) = self.parts.with_patience(save).await? else {
            let why = if existing.is_some() { LeftOver::SessionEnded } else { LeftOver::ClientLeft };
            self.leave(&grant, since_code, why).await;
            return if existing.is_some() { Ok(None) } else { Err(CallbackError::UnknownAttempt(CLIENT_LEFT)) };
        };
        let reason = match (mode, saved.renewable) {
            (LoginMode::Silent, _) if existing.is_some() => "returned_silently",
            (_, true) => "renewable",
            (_, false) => "not_renewable",
        };
        let event = |kind, hash| Event::of(kind, saved.grant, &grant.issuer, &grant.identity, now).of_session(hash);
        self.parts.store.enqueue_event(event(Kind::Login, hash).because(reason));
        self.parts.record_replaced(&saved.replaced, now);
        tracing::info!(
            grant.id = %saved.grant, session = hash.short(), grant.refreshable = saved.renewable,
            access_token.seconds = grant.tokens.lifetime.as_secs(), reason, "logged in"
        );
        if existing.is_some() {
            return Ok(Some((saved, Vec::new())));
        }
        let mut cookies = self
            .parts
            .cookies
            .set_session(value.expose(), self.parts.sessions.absolute, at.headers)
            .ok_or(CallbackError::Parameters("the session's cookie cannot be written"))?;
        let mut ended = self.parts.end_replaced(presented.into_iter().skip(1), hash).await;
        ended.extend(saved.replaced.iter().map(|replaced| replaced.session.hash));
        cookies.extend(self.parts.cookies.clear_former(at.headers, &ended));
        Ok(Some((saved, cookies)))
    }

    /// What is saved of a login.
    pub(super) fn new_grant(&self, login: VerifiedLogin, at: LoginBrowser<'_>) -> NewGrant {
        let tokens = login.tokens;
        let expires_at = tokens.expires_at();
        let refresh_life = self.provider.refresh_lifetime(&tokens);
        NewGrant {
            id: GrantId::random(),
            issuer: self.provider.issuer().to_owned(),
            client_id: self.provider.client_id().to_owned(),
            former_clients: self.provider.registrations().client_ids().skip(1).map(str::to_owned).collect(),
            identity: login.identity,
            scopes: tokens.scope.unwrap_or_default(),
            fingerprint: self.provider.fingerprint().clone(),
            provider_session: login.provider_session,
            tokens: Tokens {
                expires_at,
                access: tokens.access_token,
                refresh: tokens.refresh_token,
                id: tokens.id_token,
                lifetime: tokens.expires_in,
                refresh_life,
            },
            opener: Opener::of(at.headers.get(header::USER_AGENT).and_then(|agent| agent.to_str().ok()), at.client.known()),
        }
    }
}

impl LoginParts {
    /// Records the ends of sessions that another has replaced in their browser, each as its own user's. One that is found past a limit has
    /// ended by that: the sweep would have deleted it a moment later.
    pub(super) fn record_replaced(&self, replaced: &[ReplacedSession], now: Timestamp) {
        for ReplacedSession { session, issuer, identity } in replaced {
            let Some(identity) = identity else { continue };
            let event = |kind| Event::of(kind, session.grant, issuer, identity, now).of_session(session.hash);
            self.store.enqueue_event(match self.sessions.reached(session, session.last_seen, now) {
                Some(limit) => event(Kind::Limit).because(limit.as_str()),
                None => event(Kind::Logout).because(ANOTHER_LOGIN),
            });
        }
    }

    /// Ends what a browser presents besides the session that a new one has replaced, as under a former name of the cookie, and returns
    /// what was there. What comes of the same `login` stays, because its end would be that of the new session too. A session that
    /// stays because the store fails is ended by the next logout.
    pub(super) async fn end_replaced(&self, others: impl Iterator<Item = SessionHash>, login: SessionHash) -> Vec<SessionHash> {
        let mut all = Vec::new();
        for hash in others {
            let ended = match self.store.session(hash).await {
                Ok(Some(session)) if session.login.unwrap_or(hash) != login => self.store.end_session(hash).await,
                Ok(Some(_) | None) => Ok(None),
                Err(error) => Err(error),
            };
            match ended {
                Ok(None) => {}
                Ok(Some(ended)) => {
                    let event = Event::of(Kind::Logout, ended.grant, &ended.issuer, &ended.identity, self.clock.now());
                    self.store.enqueue_event(event.of_session(hash).because(ANOTHER_LOGIN));
                    all.push(hash);
                }
                Err(error) => {
                    tracing::warn!(
                        session = hash.short(),
                        error = causes(&error),
                        "a session that a login replaces has not ended"
                    );
                }
            }
        }
        all
    }
}

/// Describes the claims that a rule checked.
fn checked_claims(identity: &Identity, denied: Denied) -> Option<String> {
    let domain = |email: &Option<String>| match email.as_deref() {
        Some(email) => format!("e-mail domain: {}", email.rsplit('@').next().unwrap_or_default()),
        None => "no e-mail address".to_owned(),
    };
    let text = match denied {
        Denied::EmailNotVerified => domain(&identity.unverified_email),
        Denied::EmailDomain | Denied::ForeignAddress => domain(&identity.email),
        Denied::GroupsUnknown => "the provider did not tell the groups".to_owned(),
        Denied::Group if identity.groups.is_empty() => "no groups".to_owned(),
        Denied::Group => format!("groups: {}", identity.groups.join(", ")),
        Denied::Claim
        | Denied::Deprovisioned
        | Denied::Provider
        | Denied::Network
        | Denied::CrossOrigin
        | Denied::Origin
        | Denied::Method
        | Denied::Destination => {
            return None;
        }
    };
    Some(text.chars().take(MAX_DETAIL_LEN).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_history_says_what_a_rule_checked_and_not_without_limit() {
        let identity = Identity {
            email: Some("a@x.example".into()),
            unverified_email: Some("b@y.example".into()),
            groups: vec!["one".into(), "two".into()],
            ..Identity::default()
        };
        let nobody = Identity::default();
        for (identity, denied, expected) in [
            (&identity, Denied::EmailNotVerified, Some("e-mail domain: y.example")),
            (&identity, Denied::EmailDomain, Some("e-mail domain: x.example")),
            (&nobody, Denied::EmailDomain, Some("no e-mail address")),
            (&identity, Denied::Group, Some("groups: one, two")),
            (&nobody, Denied::Group, Some("no groups")),
            (&identity, Denied::CrossOrigin, None),
        ] {
            assert_eq!(checked_claims(identity, denied).as_deref(), expected, "{denied}");
        }
        let many = Identity { groups: vec!["g".repeat(50); 100], ..Identity::default() };
        assert_eq!(checked_claims(&many, Denied::Group).unwrap().len(), MAX_DETAIL_LEN);
    }
}
