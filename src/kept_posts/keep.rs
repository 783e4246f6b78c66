//! Reads a form and keeps it.

use http::{HeaderMap, HeaderValue, Method, header};
use http_body_util::{BodyExt, Limited};
use hyper::body::{Body, Bytes};

use super::{BODY_DEADLINE, FormType, KeptPosts, LIFE, MAX_BODY, MOST, kept_post::Contents};
use crate::{
    exchange::{Exchange, is_own_form},
    forward::ClientBody,
    pages::{MOST_OF_ADDRESS, escape},
    secret::random_text,
    session::{BrowserMark, SessionHash, UserHash},
    sign_in::{Redirect, return_to::ReturnTo},
    store::StoreError,
};

/// Why a form is not kept. Its browser is answered as it would be without any of this.
#[derive(Debug, thiserror::Error)]
pub enum NotKept {
    /// It is none that a page of the same origin sends by a navigation, or its encoding or target is none that is kept.
    #[error("no page of this origin sends it as a form")]
    NoForm,
    /// It is not known whose it is.
    #[error("nobody was signed in in this browser")]
    Nobody,
    /// It is larger than what is kept.
    #[error("it is too large")]
    TooLarge,
    /// It broke off, or took too long.
    #[error("it broke off")]
    BrokeOff,
    /// As much is kept, or read, as may be.
    #[error("as much is kept as may be")]
    Full,
    /// The store cannot take it.
    #[error("the store cannot take it")]
    Store(#[from] StoreError),
    /// It cannot be encrypted.
    #[error("it cannot be encrypted")]
    Seal,
}

impl NotKept {
    /// The word in the metrics; `None` for what is no form.
    fn outcome(&self) -> Option<&'static str> {
        match self {
            Self::NoForm => None,
            Self::Nobody => Some("nobody"),
            Self::TooLarge => Some("too_large"),
            Self::BrokeOff => Some("broke_off"),
            Self::Full => Some("full"),
            Self::Store(_) | Self::Seal => Some("unavailable"),
        }
    }
}

/// Whether a page has room for a form that goes to this address.
fn fits_on_a_page(address: &str) -> bool {
    escape(address).len() <= MOST_OF_ADDRESS
}

impl KeptPosts {
    /// Keeps a form whose sender must sign in, and sends its browser to the page that offers it.
    ///
    /// # Errors
    /// [`NotKept`].
    pub async fn keep(&self, exchange: &Exchange, headers: &HeaderMap, body: ClientBody) -> Result<Redirect, NotKept> {
        let kept = self.try_keep(exchange, headers, body).await;
        let outcome = kept.as_ref().map_or_else(NotKept::outcome, |_| Some("kept"));
        if let Some(outcome) = outcome {
            self.metrics.kept_post(outcome);
        }
        kept
    }

    async fn try_keep(&self, exchange: &Exchange, headers: &HeaderMap, body: ClientBody) -> Result<Redirect, NotKept> {
        let site = &exchange.site;
        let target = exchange.path_and_query();
        let is_form = exchange.method == Method::POST && is_own_form(headers, exchange.reads_html, &site.at(""));
        let form = FormType::of(headers).filter(|_| is_form && fits_on_a_page(&site.at(target))).ok_or(NotKept::NoForm)?;
        if body.size_hint().lower() > MAX_BODY as u64 {
            return Err(NotKept::TooLarge);
        }
        // Before anything is read: a stranger's body is not.
        let mark = self.mark(site, headers);
        let user = self.last_user(exchange, headers, mark).await?.ok_or(NotKept::Nobody)?;
        let body = self.read(body, user).await?;
        let referer = headers.get(header::REFERER).and_then(|page| page.to_str().ok());
        let referer = referer.and_then(|page| ReturnTo::of_page(page, site)).map(|page| page.path().to_owned());
        let (id, bytes) = (random_text::<16>(), body.len());
        let own = BrowserMark::with_user(mark, user);
        let contents = Contents { target: target.to_owned(), form, referer, body };
        let now = self.clock.now();
        let expires_at = now.plus(LIFE);
        let row = contents.seal(&self.keys, site, (&own, &id), expires_at).ok_or(NotKept::Seal)?;
        if !self.store.save_kept_post(&row, MOST, now).await? {
            return Err(NotKept::Full);
        }
        tracing::info!(
            request.id = exchange.id_text(),
            http.request.body.size = bytes,
            kept.seconds = LIFE.as_secs(),
            "a form that met the end of its session is kept until its user signs in again"
        );
        let cookies: Vec<HeaderValue> = match mark {
            Some(mark) if mark == own => Vec::new(),
            Some(_) | None => {
                own.cookie(&self.keys, &self.cookies, site.authority(), self.sessions.absolute).into_iter().collect()
            }
        };
        Ok(Redirect { location: site.at(&self.page(&id)), cookies })
    }

    /// Who was signed in last in this browser: the user of its session, if that is still known, or else of its mark.
    async fn last_user(
        &self,
        exchange: &Exchange,
        headers: &HeaderMap,
        mark: Option<BrowserMark>,
    ) -> Result<Option<UserHash>, StoreError> {
        let of_mark = mark.map(|mark| mark.user);
        let Some(value) = self.cookies.session_value(headers) else { return Ok(of_mark) };
        let Some(session) = self.store.session(SessionHash::of(value)).await? else { return Ok(of_mark) };
        // What is no browser's session of this site says nothing of who sits there.
        let is_own =
            session.token.is_none() && (session.login.is_none() || session.site.as_deref() == Some(exchange.site.authority()));
        if !is_own {
            return Ok(None);
        }
        let grant = self.store.grant(session.grant).await?;
        Ok(grant.map(|grant| UserHash::of_grant(&grant)).or(of_mark))
    }

    /// Reads a body of this user's that may be kept.
    async fn read(&self, body: ClientBody, user: UserHash) -> Result<Bytes, NotKept> {
        let _permit = self.reads.begin(user).ok_or(NotKept::Full)?;
        let read = Limited::new(body, MAX_BODY).collect();
        match tokio::time::timeout(BODY_DEADLINE, read).await {
            Ok(Ok(read)) => Ok(read.to_bytes()),
            Ok(Err(error)) if error.is::<http_body_util::LengthLimitError>() => Err(NotKept::TooLarge),
            Ok(Err(_)) | Err(_) => Err(NotKept::BrokeOff),
        }
    }
}
