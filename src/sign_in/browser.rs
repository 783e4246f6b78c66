//! A browser on its way through a login, and where it is sent.

use http::{HeaderMap, HeaderValue};
use tokio_util::sync::{CancellationToken, DropGuard};
use url::form_urlencoded;

use super::return_to::ReturnTo;
use crate::address::{AccessUrl, ClientAddress};

/// A browser that is sent to the provider, or comes back from it.
#[derive(Clone, Copy, Debug)]
pub struct LoginBrowser<'a> {
    /// The site that it is at.
    pub site: &'a AccessUrl,
    /// The request's headers.
    pub headers: &'a HeaderMap,
    /// The client's address.
    pub client: ClientAddress,
    /// Cancelled when the client has left; `None` where nothing is done for a client that has.
    pub left: Option<&'a CancellationToken>,
}

impl LoginBrowser<'_> {
    /// Redirects to the login's return address. The browser keeps its bindings for as long as an attempt lives: another tab may be at
    /// the provider still, and what its user does there counts.
    pub(super) fn back(&self, return_to: &ReturnTo) -> Redirect {
        Redirect::to(self.site.at(return_to.path()))
    }

    /// Whether nobody is there any more to receive a cookie.
    pub(super) fn has_left(&self) -> bool {
        self.left.is_some_and(CancellationToken::is_cancelled)
    }
}

/// A browser as the task has it that serves it to the end, even if its client leaves meanwhile.
#[derive(Debug)]
pub(super) struct DetachedBrowser {
    site: AccessUrl,
    headers: HeaderMap,
    client: ClientAddress,
    left: CancellationToken,
}

impl LoginBrowser<'_> {
    /// The browser for a task of its own, and what is dropped with the request when the client leaves.
    pub(super) fn detached(&self) -> (DetachedBrowser, DropGuard) {
        let left = CancellationToken::new();
        let leaves = left.clone().drop_guard();
        (DetachedBrowser { site: self.site.clone(), headers: self.headers.clone(), client: self.client, left }, leaves)
    }
}

impl DetachedBrowser {
    pub(super) fn browser(&self) -> LoginBrowser<'_> {
        LoginBrowser { site: &self.site, headers: &self.headers, client: self.client, left: Some(&self.left) }
    }
}

/// A redirect with its cookies.
#[derive(Debug)]
pub struct Redirect {
    /// The `Location`, always absolute.
    pub location: String,
    /// `Set-Cookie` values.
    pub cookies: Vec<HeaderValue>,
}

impl Redirect {
    /// A redirect that sets no cookie.
    pub fn to(location: String) -> Self {
        Self { location, cookies: Vec::new() }
    }
}

/// Parses the return address in the parameter `name`. An empty one, as in a form that had none to pass on, counts as none.
pub fn return_from(query: &str, name: &str, access: &AccessUrl) -> Option<ReturnTo> {
    let (_, text) = form_urlencoded::parse(query.as_bytes()).find(|(found, text)| found == name && !text.is_empty())?;
    Some(ReturnTo::parse(&text, access))
}
