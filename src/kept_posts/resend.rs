//! What the button of our page sends, to where the form was going: the browser shows the app's answer at the app's address, and sends the
//! app's cookies along.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method, header};
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use url::form_urlencoded;

use super::{BODY_DEADLINE, FormType, KeptPost, KeptPosts, MOST, is_id};
use crate::{
    exchange::Exchange,
    grant::Grant,
    session::{SealedForm, SessionHash, UserHash},
    store::StoreError,
    telemetry::logs::causes,
};

/// The one field of the button's form.
pub const RESEND_FIELD: &str = "evergate-kept-post";
/// The longest body of that form.
const MAX_LEN: usize = 1024;

/// A request to send what is kept again.
#[derive(Debug, PartialEq, Eq)]
pub struct Resend {
    id: String,
    seal: String,
}

impl Resend {
    /// What the page's form says of the form `id`.
    pub fn value(id: &str, seal: &str) -> String {
        format!("{id}.{seal}")
    }

    /// Reads the form; `None` if it is not ours.
    pub fn parse(form: &[u8]) -> Option<Self> {
        let mut fields = form_urlencoded::parse(form);
        let ((name, value), None) = (fields.next()?, fields.next()) else { return None };
        let (id, seal) = value.split_once('.').filter(|(id, _)| name == RESEND_FIELD && is_id(id))?;
        Some(Self { id: id.to_owned(), seal: seal.to_owned() })
    }

    /// The form that it names.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// What proves that the form is our page's.
    pub fn seal(&self) -> &str {
        &self.seal
    }
}

impl KeptPosts {
    /// Whether a request may be our button's, as its head says. Its body is short, and read before the request is judged.
    pub fn may_be_resend(&self, exchange: &Exchange, headers: &HeaderMap) -> bool {
        let length = || headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse::<usize>().ok();
        exchange.method == Method::POST
            && self.cookies.only_value(headers, self.cookies.browser()).is_some()
            && FormType::of(headers) == Some(FormType::UrlEncoded)
            && length().is_some_and(|length| (1..=MAX_LEN).contains(&length))
    }

    /// Reads the body of such a request. `None`: it broke off, or took too long.
    pub async fn read_short(&self, body: Incoming) -> Option<Bytes> {
        let read = Limited::new(body, MAX_LEN).collect();
        Some(tokio::time::timeout(BODY_DEADLINE, read).await.ok()?.ok()?.to_bytes())
    }

    /// Gives out the form that a session's user asks to be sent again, once: it is not kept any more then. `None`: it is not there any
    /// more, or not this user's, or was not asked for by our page, or for another target.
    ///
    /// # Errors
    /// The store is away; whether the form is still kept is unknown. It is not kept again for that: whoever else asked for it at the same
    /// moment may have had it sent.
    pub async fn redeem(
        &self,
        exchange: &Exchange,
        headers: &HeaderMap,
        resend: &Resend,
        (session, grant): (SessionHash, &Grant),
    ) -> Result<Option<KeptPost>, StoreError> {
        let site = &exchange.site;
        let Some(kept) = self.find(site, headers, &resend.id).await? else { return Ok(None) };
        let sealed_for = self.form_seals.open(SealedForm::KeptPost(kept.name()), &resend.seal, site.authority());
        let is_meant = sealed_for == Some(session) && kept.target() == exchange.path_and_query();
        if !is_meant || !kept.is_of(UserHash::of_grant(grant)) || !self.store.take_kept_post(kept.name()).await? {
            return Ok(None);
        }
        self.metrics.kept_post("sent");
        tracing::info!(request.id = exchange.id_text(), http.request.body.size = kept.size(), "a kept form is sent again");
        Ok(Some(kept))
    }

    /// Keeps a form again that certainly did not reach the app.
    pub async fn put_back(&self, kept: &KeptPost) {
        let saving = self.store.save_kept_post(kept.row(), MOST, self.clock.now());
        let saved = tokio::time::timeout(PUT_BACK_DEADLINE, saving).await;
        if let Ok(Err(error)) = saved {
            tracing::warn!(error = causes(&error), "a form that did not reach its app could not be kept again");
        }
    }
}

/// How long the answer waits for that.
const PUT_BACK_DEADLINE: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_one_field_of_our_page_s_form_asks_for_what_is_kept() {
        let id = "A".repeat(22);
        let form = format!("{RESEND_FIELD}={}", Resend::value(&id, "se-al"));
        assert_eq!(Resend::parse(form.as_bytes()), Some(Resend { id, seal: "se-al".into() }));
        for other in [
            "",
            "title=x",
            &format!("{form}&title=x"),
            &format!("title=x&{form}"),
            &format!("{RESEND_FIELD}=short.seal"),
            &format!("{RESEND_FIELD}={}", "A".repeat(60)),
        ] {
            assert_eq!(Resend::parse(other.as_bytes()), None, "{other:?}");
        }
    }
}
