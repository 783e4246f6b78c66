//! Where a response can lead whoever reads it.

use http::Method;
use url::form_urlencoded::byte_serialize;

use crate::{
    exchange::Exchange,
    pages::{Branding, Look, MOST_OF_ADDRESS},
    policy::AcceptedTokens,
    routing::{PROTECTED_RESOURCE, Route},
    session::cookie::Cookies,
    sign_in::return_to::ReturnTo,
};

/// Where a response can lead whoever reads it.
#[derive(Debug)]
pub struct Links<'a> {
    pub(super) exchange: &'a Exchange,
    /// Where logins begin.
    pub(super) start: String,
    /// Where error pages reload themselves through.
    pub(super) again: String,
    /// The page that a login begun from here leads to.
    return_to: Option<ReturnTo>,
    pub(super) own: OwnPages<'a>,
    /// The route of the request, if it is for an app.
    route: Option<&'a Route>,
}

/// What all of Evergate's own pages have in common.
#[derive(Clone, Copy, Debug)]
pub struct OwnPages<'a> {
    /// Their path.
    pub prefix: &'a str,
    /// The cookies that they set.
    pub cookies: &'a Cookies,
    /// How they look.
    pub branding: &'a Branding,
}

/// How long the other parameters of a login's address are as HTML, with what separates them.
const MOST_OF_PARAMETERS: usize = 32;

impl<'a> OwnPages<'a> {
    /// How the pages of this exchange's response look.
    pub fn look(&self, exchange: &Exchange) -> Look<'a> {
        Look { branding: self.branding, language: exchange.language(), request_id: exchange.id_text() }
    }
}

impl<'a> Links<'a> {
    /// For a page of the app's: back to itself, or to the page whose form was sent.
    pub fn of_the_app(exchange: &'a Exchange, own: OwnPages<'a>, route: Option<&'a Route>) -> Self {
        let site = &exchange.site;
        let return_to = match &exchange.method {
            &Method::GET | &Method::HEAD => Some(ReturnTo::parse(exchange.path_and_query(), site)),
            _ => exchange.referer.as_ref().and_then(|page| page.to_str().ok()).and_then(|page| ReturnTo::of_page(page, site)),
        };
        Self { route, ..Self::to(exchange, own, return_to) }
    }

    /// With logins that lead to `return_to`.
    pub fn to(exchange: &'a Exchange, own: OwnPages<'a>, return_to: Option<ReturnTo>) -> Self {
        let at = |page: &str| exchange.site.at(&format!("{}/{page}", own.prefix));
        Self { exchange, start: at("start"), again: at("again"), return_to, own, route: None }
    }

    /// Where a login begins that comes back here, unless that address is too long for a page.
    pub(super) fn sign_in(&self, another: bool) -> String {
        let parameters: Vec<String> = another.then(|| "another=true".to_owned()).into_iter().chain(self.rd()).collect();
        if parameters.is_empty() { self.start.clone() } else { format!("{}?{}", self.start, parameters.join("&")) }
    }

    /// Whether such a login comes back.
    pub(super) fn leads_back(&self) -> bool {
        self.rd().is_some()
    }

    fn rd(&self) -> Option<String> {
        let rd = self.return_to.as_ref().map(|to| format!("rd={}", byte_serialize(to.path().as_bytes()).collect::<String>()));
        rd.filter(|rd| self.start.len() + rd.len() + MOST_OF_PARAMETERS <= MOST_OF_ADDRESS)
    }

    /// Where a login begins in a window of its own, which says in the end that it can be closed.
    pub(super) fn in_new_window(&self) -> String {
        let done = format!("{}/signed_in", self.own.prefix);
        format!("{}?rd={}", self.start, byte_serialize(done.as_bytes()).collect::<String>())
    }

    /// The bearer tokens that the request could be authenticated by instead.
    pub(super) fn tokens(&self) -> Option<&'a AcceptedTokens> {
        self.route?.rule.tokens.as_ref()
    }

    /// Where a client finds the provider whose tokens the route takes (RFC 9728).
    pub(super) fn resource_metadata(&self) -> Option<String> {
        let route = self.route.filter(|_| self.tokens().is_some_and(|tokens| tokens.of_provider))?;
        Some(self.exchange.site.at(&format!("{PROTECTED_RESOURCE}{}", route.prefix)))
    }
}
