//! CORS of a route: its preflights are answered here, and every response to its requests, refusals among them, says who may read it.

use std::sync::Arc;

use http::{HeaderMap, Response};

use crate::{
    exchange::Exchange,
    forward::RESPONSE_MARK,
    policy::{Cors, Denied, Permit, RequestOrigin, ResponseMaker, is_preflight, logged_origin},
    routing::Route,
};

/// Who may read the response to a request.
#[derive(Clone, Debug)]
pub(super) struct Readers {
    cors: Arc<Cors>,
    origin: RequestOrigin,
    is_preflight: bool,
}

impl Readers {
    /// Who may read the response to a request with these headers; `None` where that is the app's to say.
    pub(super) fn of(route: &Route, exchange: &Exchange, headers: &HeaderMap, has_no_body: bool) -> Option<Self> {
        let cors = Arc::clone(route.cors.as_ref()?);
        let is_preflight = has_no_body && is_preflight(&exchange.method, headers);
        Some(Self { origin: cors.origin_of(headers), cors, is_preflight })
    }

    /// Whether the request is a preflight.
    pub(super) fn is_preflight(&self) -> bool {
        self.is_preflight
    }

    /// Writes into the response who may read it.
    pub(super) fn write<B>(&self, response: &mut Response<B>) {
        let is_own = response.headers().contains_key(RESPONSE_MARK);
        let maker = match (self.is_preflight, is_own) {
            (true, true) => ResponseMaker::Preflight,
            (false, true) => ResponseMaker::Evergate,
            (_, false) => ResponseMaker::App,
        };
        self.cors.write(response.headers_mut(), &self.origin, maker);
    }
}

/// Permits the preflight of an origin that may use the route, without an identity. Which methods and headers it may use is for its
/// browser to compare. The origin of any other is logged.
///
/// # Errors
/// [`Denied::Network`], [`Denied::Origin`].
pub(super) fn permit_preflight(
    exchange: &Exchange,
    route: &Route,
    readers: &Readers,
    headers: &HeaderMap,
) -> Result<Permit, Denied> {
    let permit = route.rule.permit_preflight_from(exchange.origin.client)?;
    if readers.origin != RequestOrigin::Foreign {
        return Ok(permit);
    }
    tracing::info!(
        request.id = exchange.id_text(),
        url.path = exchange.path().as_ref(),
        http.request.header.origin = logged_origin(headers),
        "a preflight is refused: the route's cors does not name the origin"
    );
    Err(Denied::Origin)
}
