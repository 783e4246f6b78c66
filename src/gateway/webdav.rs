//! A WebDAV request concerns two paths: its own, and its `Destination` (RFC 4918 section 10.3). The rule that lets it pass is that of
//! the first, so that the second must be under the same rule.

use http::HeaderMap;

use super::settings::Settings;
use crate::{exchange::Exchange, forward::webdav::Destination, policy::Denied, refusal::Refusal, routing::Route};

/// Checks that a COPY or MOVE stays on its route.
///
/// # Errors
/// The destination cannot be read, or leads to another server or another route.
pub(super) fn check(settings: &Settings, exchange: &Exchange, route: &Route, headers: &HeaderMap) -> Result<(), Refusal> {
    let destination =
        Destination::of(&exchange.method, headers).map_err(|_| Refusal::BadRequest("its Destination is no URL of one server"))?;
    let Some(Destination { server, path }) = destination else { return Ok(()) };
    let site = exchange.site.authority();
    let is_here = server.is_none_or(|(scheme, authority)| {
        scheme.eq_ignore_ascii_case(exchange.origin.scheme.as_str()) && authority.eq_ignore_ascii_case(site)
    });
    let path = path.split('?').next().unwrap_or_default();
    let stays = is_here && settings.routes.find(site, path).is_ok_and(|found| std::ptr::eq(found, route));
    if stays { Ok(()) } else { Err(Denied::Destination.into()) }
}
