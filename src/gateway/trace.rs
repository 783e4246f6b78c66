//! What is recorded of one request on its way, for its access line and its metrics.

use std::{sync::Arc, time::Duration};

use http::uri::Authority;

use super::cors::Readers;
use crate::{
    admission::Credential,
    bearer::VerifiedToken,
    exchange::Exchange,
    forward::ByteCount,
    grant::Grant,
    telemetry::{LoggedUser, traces::RequestTrace},
};

/// What is known of a request besides its head.
#[derive(Clone, Debug, Default)]
pub(super) struct Trace {
    /// The route that it took, by its place among the gateway's.
    pub(super) route: RouteTaken,
    /// The request that an ingress asked about.
    pub(super) original: Option<Box<Exchange>>,
    /// The status that its client gets, or 200 where it may pass, if the response to the ingress has another (gRPC).
    pub(super) judged: Option<u16>,
    /// Who may read its response, where its route says so.
    pub(super) readers: Option<Readers>,
    /// Whom it was authenticated as.
    pub(super) user: Option<TracedUser>,
    /// Its spans, where it is traced.
    pub(super) spans: Option<Box<RequestTrace>>,
    /// Why it was refused, where its user or its client can do something about that.
    pub(super) reason: Option<&'static str>,
    /// The upstream that answered, and the time from when the request was forwarded to the head of its response.
    pub(super) upstream: Option<(Authority, Duration)>,
    /// The bytes of the request's body that were read, if it has one.
    pub(super) received: Option<ByteCount>,
}

impl Trace {
    /// The request's own span, where it is traced.
    pub(super) fn span(&self) -> Option<tracing::Span> {
        self.spans.as_ref().map(|spans| spans.span.clone())
    }
}

/// The route that a request took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum RouteTaken {
    /// None: it was refused before, or none leads there.
    #[default]
    None,
    /// One of our own pages.
    Endpoint,
    /// An ingress's, which asked about it.
    ForwardAuth,
    /// To an app, by its place among the routes.
    App(usize),
}

/// Whom a request was authenticated as: the user of a grant, or of a bearer token.
#[derive(Clone, Debug)]
pub(super) enum TracedUser {
    Grant(Arc<Grant>),
    Token(Arc<VerifiedToken>),
}

impl TracedUser {
    pub(super) fn of(by: &Credential) -> Self {
        match by {
            Credential::Session { usable, .. } => Self::Grant(Arc::clone(&usable.grant)),
            Credential::Token(token) => Self::Token(Arc::clone(token)),
        }
    }

    /// The name that the access line gives them.
    pub(super) fn name(&self, as_set: LoggedUser) -> Option<String> {
        let (issuer, subject) = match self {
            Self::Grant(grant) => (&grant.issuer, &grant.identity.subject),
            Self::Token(token) => (&token.issuer, &token.identity.subject),
        };
        as_set.name(issuer, subject)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_is_named_as_the_setting_says_and_by_no_control_character() {
        let mut grant = Grant::sample();
        (grant.issuer, grant.identity.subject) = ("https://idp.example".to_owned(), "ann\u{1b}[2J".to_owned());
        let name = |as_set, grant: &Grant| TracedUser::Grant(Arc::new(grant.clone())).name(as_set);
        assert_eq!(name(LoggedUser::None, &grant), None);
        assert_eq!(name(LoggedUser::Subject, &grant).as_deref(), Some("ann\\u{1b}[2J"));
        let hash = name(LoggedUser::Hash, &grant).unwrap();
        assert_eq!((hash.len(), name(LoggedUser::Hash, &grant)), (16, Some(hash.clone())));
        grant.issuer.clear();
        assert_ne!(name(LoggedUser::Hash, &grant), Some(hash), "one subject at two providers is two users");
    }
}
