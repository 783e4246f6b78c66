//! What is asked by those outside of Evergate who have users' sessions ended: whose, by whom, and up to when.

use crate::{
    client_registration::{ClientRegistration, Registrations},
    clock::Timestamp,
    oidc::{LEEWAY, LogoutToken, Provider},
    secret::sha256,
    session::{EndSource, UserKey, UserName},
    store::SessionFilter,
};

/// An order to end the sessions of a provider's user. It reaches no user of another provider.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserEnd {
    /// The issuer identifier of the provider, as grants have it.
    pub issuer: String,
    /// A client that Evergate is or was there. The order reaches what was given to any of them.
    pub client_id: String,
    /// What ends.
    pub extent: EndExtent,
    /// Who has it ended.
    pub source: EndSource,
    /// A bearer token that was issued later is good, and a login that begins later is let in.
    pub until: Timestamp,
    /// A session that began later goes on. That is later than `until`: a login is let in until the order is recorded, and has its time by the
    /// clock of its replica.
    pub sessions_until: Timestamp,
    /// The order's identifier, which is unique at its provider. A repetition has no effect.
    pub id: String,
    /// Until when repetitions are recognised.
    pub expires_at: Timestamp,
}

/// What ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EndExtent {
    /// Sessions that came of a session at the provider (`sid`), or all of a user (`sub`); at least one of the two is given. Bearer tokens
    /// of the user go on: somebody has logged out of a browser.
    Logout {
        /// The user.
        subject: Option<String>,
        /// The session at the provider.
        provider_session: Option<String>,
    },
    /// Sessions that came of a session at the provider (`sid`), and those of its user, who has one of these keys, that do not say of which one
    /// they came. Bearer tokens go on.
    SessionOfUser {
        /// The keys of the user.
        user: Vec<UserKey>,
        /// The session at the provider.
        provider_session: String,
    },
    /// Everything of a user who has one of these keys: sessions, personal access tokens, and bearer tokens of the provider's.
    Everything(Vec<UserKey>),
    /// The same of a user who is locked out, as the store has it already: whatever there is while they are, whenever it began.
    LockedOut(Vec<UserKey>),
}

impl UserEnd {
    /// What a logout token asks for (OpenID Connect Back-Channel Logout 1.0 section 2.7).
    pub fn of_logout_token(token: LogoutToken) -> Self {
        let LogoutToken { issuer, client_id, subject, provider_session, issued_at, id, expires_at } = token;
        Self {
            issuer,
            client_id,
            extent: EndExtent::Logout { subject, provider_session },
            source: EndSource::BackChannelLogout,
            until: issued_at.plus(LEEWAY),
            sessions_until: issued_at.plus(LEEWAY),
            id,
            expires_at,
        }
    }

    /// The end of everything that a user of this provider has.
    pub fn of_everything(
        provider: &Provider,
        keys: Vec<UserKey>,
        source: EndSource,
        until: Timestamp,
        order: (String, Timestamp),
    ) -> Self {
        Self::of_event(provider, EndExtent::Everything(keys), source, (until, until.plus(LEEWAY)), order)
    }

    /// The end of what a user of this provider has, tokens and sessions up to these times, for an order with this identifier, which is
    /// remembered until then.
    pub fn of_event(
        provider: &Provider,
        extent: EndExtent,
        source: EndSource,
        (until, sessions_until): (Timestamp, Timestamp),
        (id, expires_at): (String, Timestamp),
    ) -> Self {
        Self {
            issuer: provider.issuer().to_owned(),
            client_id: provider.client_id().to_owned(),
            extent,
            source,
            until,
            sessions_until,
            id,
            expires_at,
        }
    }

    /// The end of everything that a user of this provider has whom the store has locked out.
    pub fn of_locked_out(provider: &Provider, keys: Vec<UserKey>, source: EndSource, order: (String, Timestamp)) -> Self {
        let whenever = Timestamp(i64::MAX);
        Self::of_event(provider, EndExtent::LockedOut(keys), source, (whenever, whenever), order)
    }

    /// The client registration of the provider that the user is of.
    pub(super) fn registration(&self) -> ClientRegistration<'_> {
        ClientRegistration { issuer: &self.issuer, client_id: &self.client_id }
    }

    /// The sessions of a logout that are of one of the user's registrations; `None` of everything.
    pub(super) fn logout<'a>(&'a self, registration: ClientRegistration<'a>) -> Option<SessionFilter<'a>> {
        match &self.extent {
            EndExtent::Logout { subject, provider_session } => {
                Some(SessionFilter { registration, subject: subject.as_deref(), provider_session: provider_session.as_deref() })
            }
            EndExtent::SessionOfUser { provider_session, .. } => {
                Some(SessionFilter { registration, subject: None, provider_session: Some(provider_session) })
            }
            EndExtent::Everything(_) | EndExtent::LockedOut(_) => None,
        }
    }

    /// The keys of a user who loses everything.
    pub(super) fn keys(&self) -> &[UserKey] {
        match &self.extent {
            EndExtent::Logout { .. } | EndExtent::SessionOfUser { .. } => &[],
            EndExtent::Everything(keys) | EndExtent::LockedOut(keys) => keys,
        }
    }

    /// The names of a user who loses everything, by each of these registrations.
    pub(super) fn names(&self, registrations: &Registrations) -> Vec<UserName> {
        UserKey::each_name(self.keys(), registrations)
    }

    /// The name by which a repetition is recognised.
    pub(super) fn replay_name(&self) -> [u8; 32] {
        let kind = match self.source {
            EndSource::BackChannelLogout => "logout token",
            EndSource::GlobalTokenRevocation => "global token revocation",
            EndSource::Scim | EndSource::SecurityEvent | EndSource::FrontChannelLogout => self.source.as_str(),
        };
        sha256(format!("{kind} {} {}", self.issuer, self.id).as_bytes())
    }
}
