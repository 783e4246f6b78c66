//! What a request is judged by.

use http::HeaderMap;

use crate::{exchange::Exchange, routing::Route, visitor::ConnectionMemo};

/// A request of a route, as far as it is judged by it.
#[derive(Clone, Copy, Debug)]
pub(super) struct RouteRequest<'a> {
    pub(super) exchange: &'a Exchange,
    pub(super) memo: &'a ConnectionMemo,
    pub(super) route: &'a Route,
    pub(super) headers: &'a HeaderMap,
    pub(super) has_no_body: bool,
}
