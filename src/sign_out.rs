//! Logout: the session ends here first, then at the provider as far as it lets us.

use std::{sync::Arc, time::Duration};

use http::{HeaderMap, Method};
use tokio_util::task::TaskTracker;
use url::Url;

use crate::{
    address::AccessUrl,
    oidc::Provider,
    secret::Secret,
    session::SessionHash,
    store::{Store, StoreError},
    telemetry::metrics::Metrics,
};

/// The logout workflow.
#[derive(Debug)]
pub struct SignOut {
    /// The provider.
    pub provider: Arc<Provider>,
    /// Where sessions are kept.
    pub store: Store,
    /// Where the provider sends browsers after; to be registered there.
    pub signed_out_uri: String,
    /// Counts logouts.
    pub metrics: Metrics,
    /// Where revocations run, so that a shutdown can wait for them.
    pub tasks: TaskTracker,
}

/// Whether a request to log out is the user's own wish.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wish {
    /// It comes from a page of ours or of the app.
    Own,
    /// It may come from anywhere, so the user is asked.
    Doubtful,
}

const REVOCATION_TRIES: u32 = 3;

impl SignOut {
    /// Ends the session, revokes its refresh token in the background unless another session uses it, and says
    /// where the provider wants the browser to log out.
    ///
    /// # Errors
    /// The session may live on; nothing was sent to the provider.
    pub async fn end(&self, hash: SessionHash, return_to: Option<&str>) -> Result<Option<Url>, StoreError> {
        let Some(farewell) = self.store.end_session(hash).await? else { return Ok(None) };
        self.metrics.logout();
        tracing::info!(session = hash.short(), "logged out");
        if let Some(token) = farewell.refresh_token {
            self.tasks.spawn(revoke(Arc::clone(&self.provider), token));
        }
        Ok(self.provider.end_session(farewell.id_token.as_ref(), &self.signed_out_uri, return_to))
    }
}

async fn revoke(provider: Arc<Provider>, token: Secret) {
    for attempt in 1..=REVOCATION_TRIES {
        match provider.revoke(&token).await {
            Ok(_) => return,
            Err(error) if attempt == REVOCATION_TRIES => {
                tracing::warn!(%error, "could not revoke a refresh token at logout; it lives on at the provider")
            }
            Err(_) => tokio::time::sleep(Duration::from_secs(u64::from(attempt))).await,
        }
    }
}

/// Judges by what browsers say of a request's origin (Fetch metadata, `Origin`). A link that a stranger plants
/// must not log anybody out, nor a picture or a prefetched page of our own; an app's own link must.
pub fn wish(method: &Method, headers: &HeaderMap, access: &AccessUrl) -> Wish {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let clicked =
        text("sec-fetch-mode") == Some("navigate") && text("sec-fetch-dest") == Some("document") && text("sec-purpose").is_none();
    match (method, text("sec-fetch-site"), text("origin")) {
        (&Method::POST, Some("same-origin"), _) => Wish::Own,
        (_, Some("same-origin"), _) if clicked => Wish::Own,
        (_, Some(_), _) => Wish::Doubtful,
        (&Method::POST, None, Some(origin)) if origin == access.at("") => Wish::Own,
        // Neither header: no browser of today. SameSite=Lax kept the cookie from a foreign page's form.
        (&Method::POST, None, None) => Wish::Own,
        (_, None, _) => Wish::Doubtful,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_our_own_pages_log_a_user_out_without_asking() {
        let access = AccessUrl::parse("https://app.example").unwrap();
        let judged = |method: Method, lines: &[(&'static str, &str)]| {
            let headers =
                lines.iter().map(|(name, value)| (http::HeaderName::from_static(name), value.parse().unwrap())).collect();
            wish(&method, &headers, &access)
        };
        assert_eq!(judged(Method::POST, &[("sec-fetch-site", "same-origin")]), Wish::Own);
        let link = [("sec-fetch-site", "same-origin"), ("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "document")];
        assert_eq!(judged(Method::GET, &link), Wish::Own);
        assert_eq!(judged(Method::GET, &[link[0], link[1], ("sec-fetch-dest", "iframe")]), Wish::Doubtful);
        assert_eq!(judged(Method::GET, &[link[0], ("sec-fetch-mode", "no-cors"), ("sec-fetch-dest", "image")]), Wish::Doubtful);
        assert_eq!(judged(Method::GET, &[link[0], link[1], link[2], ("sec-purpose", "prefetch")]), Wish::Doubtful);
        assert_eq!(judged(Method::POST, &[("origin", "https://app.example")]), Wish::Own);
        assert_eq!(judged(Method::POST, &[]), Wish::Own);
        for (method, lines) in [
            (Method::GET, &[][..]),
            (Method::GET, &[("sec-fetch-site", "none")]),
            (Method::GET, &[("sec-fetch-site", "cross-site")]),
            (Method::GET, &[("origin", "https://app.example")]),
            (Method::POST, &[("sec-fetch-site", "cross-site")]),
            (Method::POST, &[("sec-fetch-site", "same-site")]),
            (Method::POST, &[("origin", "https://evil.example")]),
            (Method::POST, &[("origin", "null")]),
        ] {
            assert_eq!(judged(method.clone(), lines), Wish::Doubtful, "{method} {lines:?}");
        }
    }
}
