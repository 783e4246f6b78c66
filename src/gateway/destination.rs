//! Where a request leads.

use http::request;

use super::settings::{ForwardAuth, Settings};
use crate::{
    endpoints::{self, forward_auth::Form},
    exchange::{Exchange, Malformed},
    refusal::Refusal,
    routing::{NoRoute, Route},
};

/// Where a request leads.
#[derive(Clone, Copy, Debug)]
pub(super) enum Destination<'a> {
    /// To one of our own pages, with this path below the prefix.
    Endpoint(&'a str),
    /// To wherever an ingress is about to send another request, which it asks about in this form.
    ForwardAuth(Form),
    /// To what we say of a route whose clients bring tokens of the provider.
    ResourceMetadata(&'a Route),
    /// To an app.
    Route(&'a Route),
}

impl Destination<'_> {
    /// Whether it is served on the connections that are kept for it.
    pub(super) fn has_reserve(&self) -> bool {
        match self {
            Destination::Endpoint(path) => endpoints::is_probe(path) || endpoints::is_administration(path),
            Destination::Route(_) | Destination::ForwardAuth(_) | Destination::ResourceMetadata(_) => false,
        }
    }
}

pub(super) fn find<'a>(
    settings: &'a Settings,
    exchange: &'a Exchange,
    head: &request::Parts,
) -> Result<Destination<'a>, Refusal> {
    Malformed::check(exchange, head)?;
    let path = exchange.raw_path();
    // What asks oauth2-proxy for its health does so beside its prefix, where no app is in the way.
    if settings.forward_auth == ForwardAuth::Only && endpoints::is_probe(path) {
        return Ok(Destination::Endpoint(path));
    }
    let own = path.strip_prefix(settings.prefix.as_str()).filter(|rest| rest.is_empty() || rest.starts_with('/'));
    if let Some(own) = own.filter(|path| endpoints::is_probe(path)) {
        return Ok(Destination::Endpoint(own));
    }
    // Before the host is looked at: an ingress may ask by whatever address it finds us at, and says which the client's was.
    if let Some(form) = own.filter(|_| settings.is_asked_by_http).and_then(Form::of) {
        return Ok(Destination::ForwardAuth(form));
    }
    if !exchange.names_host {
        return Err(Refusal::BadRequest("the request names no host, or several"));
    }
    // Cookies and redirects belong to one site. Under another name a session could not work, and a page of the app could be read by
    // whoever points a name of theirs at us (DNS rebinding).
    if !exchange.names_site {
        return Err(if settings.redirect_unknown_hosts { Refusal::RedirectToAccessUrl } else { Refusal::Misdirected });
    }
    if exchange.is_in_plain_text && settings.redirect_unknown_hosts {
        return Err(Refusal::RedirectToAccessUrl);
    }
    if let Some(own) = own {
        return Ok(Destination::Endpoint(own));
    }
    if let Some(route) = settings.routes.protected_resource(exchange.site.authority(), path) {
        return Ok(Destination::ResourceMetadata(route));
    }
    match settings.routes.find(exchange.site.authority(), path) {
        Ok(route) => Ok(Destination::Route(route)),
        Err(NoRoute::Unknown) => Err(Refusal::NoSuchPage),
        Err(NoRoute::Ambiguous) => Err(Refusal::BadRequest("the path can be read in more than one way")),
    }
}
