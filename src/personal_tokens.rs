//! Personal access tokens: a user makes them for scripts, terminals and Git, names them, sees them and ends them.
//!
//! A token is a session without a browser. It has the grant of the session in which it was made, so that all that holds for sessions
//! holds for it: token refresh, outages, rules, the end of the grant. `terminal` is how `evergate login` gets one.

mod terminal;

use std::{cmp::Reverse, time::Duration};

use crate::{
    clock::{Clock, Timestamp},
    grant::Grant,
    history::{Event, Kind},
    seal::KeyRing,
    secret::{Secret, hex, sha256},
    session::{FORM_LIFE, PersonalToken, Session, SessionHash, TokenScope},
    sign_out::{LogoutInitiator, SignOut},
    store::{NewToken, OwnToken, Store, StoreError, TokenSaved},
};

pub use terminal::TerminalRequest;

/// Settings of personal access tokens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// `CODER_MAX_TOKEN_LIFETIME`: how long a token may live.
    pub longest: Duration,
    /// `CODER_DEFAULT_TOKEN_LIFETIME`: how long one lives whose user does not say it.
    pub default: Duration,
}

/// Makes, lists and ends personal access tokens.
#[derive(Debug)]
pub struct PersonalTokens {
    /// How long they may live.
    pub settings: Settings,
    /// The names of the routes that take them.
    pub routes: Vec<String>,
    /// Whether some may be for the administration.
    pub administration: bool,
    /// Where they are kept.
    pub store: Store,
    /// What seals the codes that a terminal redeems.
    pub keys: KeyRing,
    /// How they end.
    pub sign_out: SignOut,
    /// The time.
    pub clock: Clock,
}

/// What a user wants of a new token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// Its name.
    pub name: String,
    /// The site where it is made.
    pub site: String,
    /// How long it lives; `None` as long as is usual.
    pub lifetime: Option<Duration>,
    /// The routes where it may be used; none is all.
    pub routes: Vec<String>,
}

/// A token that was made.
#[derive(Debug)]
pub struct Made {
    /// The token, which is told once.
    pub text: Secret,
    /// What is kept of it.
    pub token: PersonalToken,
}

/// Why no token is made.
#[derive(Debug, thiserror::Error)]
pub enum NotMade {
    /// What is wanted cannot be had.
    #[error("{}", .0.as_str())]
    Unfit(Unfit),
    /// The user's session has ended.
    #[error("the session in which it was to be made has ended")]
    SessionEnded,
    /// The user has too many.
    #[error("its user has {MOST} already")]
    TooMany,
    /// The same form, or the same code of a terminal, has made one.
    #[error("one was made by it before")]
    Repeated,
    /// A terminal's code is not ours, too old, or was asked for by another terminal.
    #[error("the code of the terminal is not to be redeemed: {0}")]
    Code(&'static str),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What is wrong with a token that is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unfit {
    /// Its name is empty or too long.
    Name,
    /// Its lifetime is.
    Lifetime,
    /// It would be for a route that there is not, or that takes none.
    Route,
    /// Its grant ends with the access token.
    NotRenewable,
}

impl Unfit {
    /// The same for programs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Name => "a token needs a name of 64 characters at most",
            Self::Lifetime => "the token would live for longer than it may (CODER_MAX_TOKEN_LIFETIME), or not at all",
            Self::Route => "there is no such route that takes tokens",
            Self::NotRenewable => "the login has brought no refresh token (offline_access), so that the token would end with it",
        }
    }
}

/// A day.
pub const DAY: Duration = Duration::from_secs(24 * 3600);
/// How many a user may have.
const MOST: usize = 50;
/// How long a name may be, in characters.
const LONGEST_NAME: usize = 64;
/// How long the token of a form is told again to whoever sends that again.
const TOLD_AGAIN: Duration = Duration::from_secs(30);

impl PersonalTokens {
    /// Whether any route takes them, or the administration does.
    pub fn are_taken(&self) -> bool {
        !self.routes.is_empty() || self.administration
    }

    /// Makes a token of the user of this session and its grant, once for a `form`, however often a browser sends that: its seal is another
    /// one each time that the page is shown. Who presses its button twice sees the answer to the second time alone, which therefore tells
    /// the same token.
    ///
    /// # Errors
    /// [`NotMade`].
    pub async fn make(&self, made_from: &Session, grant: &Grant, wanted: &Wanted, form: &[u8]) -> Result<Made, NotMade> {
        let once = (sha256(&[b"token form", form].concat()), self.clock.now().plus(FORM_LIFE));
        let (text, hash) = self.of_form(form);
        match self.save(made_from.hash, wanted, Some(grant), once, (text.clone(), hash)).await {
            Err(NotMade::Repeated) => self.made_just_now(text, hash).await?.ok_or(NotMade::Repeated),
            other => other,
        }
    }

    /// The token that a form makes, which needs the keys to be known: the form alone, or what is stored of it, does not tell it.
    fn of_form(&self, form: &[u8]) -> (Secret, SessionHash) {
        let context = format!("personal token/{}", hex(&sha256(&[b"token text", form].concat())));
        let bytes = self.keys.derive(self.keys.sealing(), &context);
        bytes.map_or_else(PersonalToken::fresh, |bytes| PersonalToken::of_bytes(&bytes))
    }

    /// A token that was made so short a while ago that its user may not have seen it; `None`: there is none, or not any more.
    async fn made_just_now(&self, text: Secret, hash: SessionHash) -> Result<Option<Made>, StoreError> {
        let now = self.clock.now();
        let made = self.store.session(hash).await?.filter(|session| now.since(session.created_at) < TOLD_AGAIN);
        Ok(made.and_then(|session| session.token).map(|token| Made { text, token: *token }))
    }

    /// The tokens of a grant's user, the newest first; those of one `site`, if it is a session of that alone that asks. Those of a client
    /// that Evergate is no longer are over, as those of a dead grant are.
    ///
    /// # Errors
    /// The store failed.
    pub async fn of_user(&self, grant: &Grant, site: Option<&str>) -> Result<Vec<OwnToken>, StoreError> {
        let now = self.clock.now();
        let mut all = Vec::new();
        for (place, registration) in self.sign_out.registrations_of(grant).iter().enumerate() {
            let found = self.store.tokens_of(registration, &grant.identity.subject).await?;
            all.extend(found.into_iter().map(|token| OwnToken { is_over: token.is_over || place > 0, ..token }));
        }
        all.sort_by_key(|OwnToken { session, .. }| (Reverse(session.created_at), session.hash.0));
        for OwnToken { session, .. } in &mut all {
            let end = session.created_at.plus(self.settings.longest);
            if let Some(token) = &mut session.token {
                token.expires_at = token.expires_at.min(end);
            }
        }
        let is_shown = |token: &PersonalToken| now < token.expires_at && site.is_none_or(|site| &*token.scope.site == site);
        all.retain(|OwnToken { session, .. }| session.token.as_deref().is_some_and(is_shown));
        Ok(all)
    }

    /// Ends the token of a grant's user that [`identifier`] names so. `false`: there is none.
    ///
    /// # Errors
    /// The store failed, and the token may be alive.
    pub async fn end(&self, grant: &Grant, site: Option<&str>, named: &str) -> Result<bool, StoreError> {
        let found = self.of_user(grant, site).await?.into_iter().find(|token| identifier(token.session.hash) == named);
        let Some(token) = found else { return Ok(false) };
        self.sign_out.end_other(token.session.hash, LogoutInitiator::TokenOwner).await?;
        Ok(true)
    }

    /// What is kept of a token as it is wanted.
    ///
    /// # Errors
    /// [`NotMade::Unfit`].
    pub fn checked(&self, wanted: &Wanted) -> Result<PersonalToken, NotMade> {
        let name = wanted.name.trim();
        if name.is_empty() || name.chars().count() > LONGEST_NAME || name.contains(char::is_control) {
            return Err(NotMade::Unfit(Unfit::Name));
        }
        let lifetime = wanted.lifetime.unwrap_or(self.settings.default.min(self.settings.longest));
        if lifetime.is_zero() || lifetime > self.settings.longest {
            return Err(NotMade::Unfit(Unfit::Lifetime));
        }
        let is_taken =
            |route: &String| self.routes.contains(route) || (self.administration && route == PersonalToken::ADMINISTRATION);
        // Without a name a token is for all routes, of which there must be one.
        if !wanted.routes.iter().all(is_taken) || (wanted.routes.is_empty() && self.routes.is_empty()) {
            return Err(NotMade::Unfit(Unfit::Route));
        }
        let routes = wanted.routes.iter().map(|route| route.as_str().into()).collect();
        let scope = TokenScope { name: name.into(), site: wanted.site.as_str().into(), routes };
        Ok(PersonalToken { expires_at: self.clock.now().plus(lifetime), scope })
    }

    /// Makes a token of this text and hash for something that may be done `once`, until then.
    async fn save(
        &self,
        made_from: SessionHash,
        wanted: &Wanted,
        grant: Option<&Grant>,
        once: ([u8; 32], Timestamp),
        (text, hash): (Secret, SessionHash),
    ) -> Result<Made, NotMade> {
        let (token, at) = (self.checked(wanted)?, self.clock.now());
        let new = NewToken { hash, made_from, token: &token, most: (MOST, self.settings.longest), at, once };
        match self.store.save_token(&new).await? {
            TokenSaved::Saved(id) => {
                if let Some(grant) = grant {
                    let event =
                        Event::of(Kind::Login, id, &grant.issuer, &grant.identity, at).of_session(hash).because("personal_token");
                    self.store.enqueue_event(event);
                }
                tracing::info!(session = hash.short(), "a personal access token was made");
                Ok(Made { text, token })
            }
            TokenSaved::SessionEnded => Err(NotMade::SessionEnded),
            TokenSaved::NotRenewable => Err(NotMade::Unfit(Unfit::NotRenewable)),
            TokenSaved::TooMany => Err(NotMade::TooMany),
            TokenSaved::Repeated => Err(NotMade::Repeated),
        }
    }
}

/// Names a token to its user: by its hash's hash, because the store finds tokens by the hash.
pub fn identifier(token: SessionHash) -> String {
    hex(sha256(&[b"token", &token.0[..]].concat()).first_chunk::<8>().unwrap_or(&[0; 8]))
}

/// How long a token lives of which its user says a number of days.
pub fn days(text: &str) -> Option<Duration> {
    text.trim().parse().ok().and_then(|days: u64| days.checked_mul(DAY.as_secs())).map(Duration::from_secs)
}

/// A lifetime in whole days.
pub fn in_days(lifetime: Duration) -> u64 {
    lifetime.as_secs() / DAY.as_secs()
}

/// The whole days until a token ends.
pub fn days_left(token: &PersonalToken, now: Timestamp) -> u64 {
    token.expires_at.since(now).as_secs().div_ceil(DAY.as_secs())
}
