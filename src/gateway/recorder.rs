//! Counts requests and has their access lines written, each under the name of its route.

use std::sync::Arc;

use http::Response;

use super::{
    access_line::{self, Body, Line, Source},
    settings::Settings,
    trace::{RouteTaken, Trace, TracedUser},
};
use crate::{
    admission::Credential,
    exchange::Exchange,
    grant::Grant,
    telemetry::{
        AccessLog,
        metrics::{Metrics, RouteMetrics},
    },
};

/// Records what becomes of requests.
#[derive(Debug)]
pub(super) struct Recorder {
    routes: Vec<Recorded>,
    endpoints: Recorded,
    forward_auth: Recorded,
    nowhere: Recorded,
    log: AccessLog,
}

/// A route's name, and its figures.
#[derive(Debug)]
struct Recorded {
    name: Arc<str>,
    metrics: RouteMetrics,
}

impl Recorder {
    pub(super) fn new(settings: &Settings, log: AccessLog, metrics: &Metrics) -> Self {
        let recorded = |name: &str| Recorded { name: name.into(), metrics: metrics.route(name) };
        Self {
            routes: settings.routes.names().map(|name| recorded(&name)).collect(),
            endpoints: recorded("endpoints"),
            forward_auth: recorded("forward_auth"),
            nowhere: recorded(access_line::NOWHERE),
            log,
        }
    }

    /// What is kept of a user until the access line is written: nothing that the line does not tell.
    pub(super) fn user(&self, by: &Credential) -> Option<TracedUser> {
        self.log.names_user().then(|| TracedUser::of(by))
    }

    /// The same of a grant's user.
    pub(super) fn user_of(&self, grant: Arc<Grant>) -> Option<TracedUser> {
        self.log.names_user().then_some(TracedUser::Grant(grant))
    }

    /// Counts a request whose response's head is ready, and has its line written when the response has ended.
    pub(super) fn follow(&self, exchange: Exchange, trace: Trace, response: Response<Source>) -> Response<Body> {
        let line = self.line(exchange, trace, response.status().as_u16());
        access_line::follow(line, response)
    }

    /// Counts a request that has no response, and writes its line.
    pub(super) fn unanswered(&self, exchange: &Exchange, trace: &Trace, status: u16, why: &'static str) {
        self.line(exchange.clone(), trace.clone(), status).write_unanswered(why);
    }

    fn line(&self, exchange: Exchange, trace: Trace, status: u16) -> Line {
        let recorded = match trace.route {
            RouteTaken::None => &self.nowhere,
            RouteTaken::Endpoint => &self.endpoints,
            RouteTaken::ForwardAuth => &self.forward_auth,
            RouteTaken::App(position) => self.routes.get(position).unwrap_or(&self.nowhere),
        };
        let status = trace.judged.unwrap_or(status);
        let head = exchange.elapsed();
        recorded.metrics.request(status, head);
        Line::new(exchange, trace, self.log, Arc::clone(&recorded.name), status, head)
    }
}
