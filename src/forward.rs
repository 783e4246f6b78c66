//! The way to the upstream and back: what is forwarded, and how.
//!
//! The entry ticket is a [`Permit`]. Header rules stand by concept in their own files, each applied here in
//! the order in which they protect each other.

mod body;
mod forwarded;
mod hop;
mod scrub;
mod tunnel;
mod upstream;
mod websocket;

use std::time::Duration;

use http::{HeaderName, HeaderValue, Request, Response, Version, header, uri::PathAndQuery};
use hyper::body::{Body, Incoming};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    address::Origin,
    identity,
    policy::Permit,
    session::{connections::Watch, cookie},
};

pub use body::Answer;
pub use upstream::{Address, BadAddress};

/// Where requests go.
#[derive(Clone, Debug)]
pub struct Settings {
    /// `CODER_UPSTREAM_URL`.
    pub upstream: Address,
    /// `CODER_PASS_ACCESS_TOKEN`.
    pub pass_access_token: bool,
    /// `CODER_UPSTREAM_TIMEOUT`: how long a request without a body waits for the head of the answer.
    pub timeout: Option<Duration>,
}

/// Marks every response that Evergate made itself; its value says which. An upstream's copy is removed.
pub const MARK: HeaderName = HeaderName::from_static("evergate-answer");

/// `X-Request-Id`: the same as in our access line.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Why the upstream gave no answer.
#[derive(Debug, thiserror::Error)]
pub enum ForwardError {
    /// No connection could be made; the request was not sent.
    #[error("the upstream cannot be reached")]
    Unreachable(#[source] hyper_util::client::legacy::Error),
    /// The connection broke before the head of an answer.
    #[error("the upstream broke the connection off")]
    Broken(#[source] hyper_util::client::legacy::Error),
    /// No head of an answer came in time.
    #[error("the upstream did not answer in time")]
    TimedOut,
    /// The request cannot be written as the upstream's.
    #[error("the request's target cannot be forwarded")]
    Target(#[source] http::Error),
}

/// Forwards permitted requests to one upstream.
#[derive(Debug)]
pub struct Forwarder {
    settings: Settings,
    client: upstream::Client,
    tasks: TaskTracker,
    draining: CancellationToken,
}

impl Forwarder {
    /// A forwarder whose tunnels run on `tasks` and are closed when `draining` is cancelled.
    pub fn new(settings: Settings, tls: rustls::ClientConfig, tasks: TaskTracker, draining: CancellationToken) -> Self {
        Self { client: upstream::Client::new(&settings.upstream, tls), settings, tasks, draining }
    }

    /// Sends `request` on and hands its answer back; both bodies stream. What outlives the request is registered with
    /// `watch`, and cut when the session ends.
    ///
    /// # Errors
    /// [`ForwardError`]; the answer's body may still break off later, which the client sees as such.
    pub async fn forward(
        &self,
        permit: &Permit,
        origin: &Origin,
        request_id: &HeaderValue,
        watch: &Watch,
        mut request: Request<Incoming>,
    ) -> Result<Response<Answer>, ForwardError> {
        let upgrade = hop::wanted_upgrade(&request);
        let client_side = upgrade.is_some().then(|| hyper::upgrade::on(&mut request));
        let (mut head, body) = request.into_parts();
        let path = head.uri.path_and_query().cloned().unwrap_or(PathAndQuery::from_static("/"));
        head.uri = self.client.target(path).map_err(ForwardError::Target)?;
        head.version = Version::HTTP_11;

        // First what the client says about itself goes, even where `Connection` would have kept it from us;
        // then the hop's own headers; and only then is anything of ours added, which nothing can remove.
        scrub::identity(&mut head.headers);
        hop::remove(&mut head.headers);
        cookie::strip_ours(&mut head.headers);
        forwarded::rebuild(&mut head.headers, origin);
        self.introduce(permit, &mut head.headers);
        head.headers.insert(REQUEST_ID, request_id.clone());
        if let Some(protocol) = &upgrade {
            hop::ask_upgrade(&mut head.headers, protocol);
        }

        let waits = body.is_end_stream();
        let answer = self.client.send(Request::from_parts(head, body::WithoutTrailers(body)));
        let mut response = match self.settings.timeout.filter(|_| waits && upgrade.is_none()) {
            Some(timeout) => tokio::time::timeout(timeout, answer).await.map_err(|_| ForwardError::TimedOut)?,
            None => answer.await,
        }
        .map_err(|error| if error.is_connect() { ForwardError::Unreachable(error) } else { ForwardError::Broken(error) })?;

        let upgraded = response.status() == http::StatusCode::SWITCHING_PROTOCOLS;
        let protocol = response.headers().get(header::UPGRADE).cloned();
        hop::remove(response.headers_mut());
        response.headers_mut().remove(MARK);
        cookie::strip_planted(response.headers_mut());
        if let (true, Some(client_side), Some(protocol)) = (upgraded, client_side, protocol) {
            hop::ask_upgrade(response.headers_mut(), &protocol);
            let upstream_side = hyper::upgrade::on(&mut response);
            let tunnel = tunnel::Tunnel {
                connection: watch.open(),
                draining: self.draining.clone(),
                is_websocket: websocket::is_websocket(&protocol),
            };
            self.tasks.spawn(tunnel.run(client_side, upstream_side));
        }
        Ok(response.map(|body| Answer::new(body, watch)))
    }

    /// Tells the upstream who passed.
    fn introduce(&self, permit: &Permit, headers: &mut http::HeaderMap) {
        let passport = permit.passport();
        for (name, value) in passport.headers.iter() {
            headers.insert(name, value.clone());
        }
        if self.settings.pass_access_token
            && let Ok(mut token) = HeaderValue::from_str(passport.access_token.expose())
        {
            token.set_sensitive(true);
            headers.insert(identity::ACCESS_TOKEN, token);
        }
        if let Some(since) = passport.stale_since {
            headers.insert(identity::RENEWED_AT, HeaderValue::from(since.seconds()));
        }
    }
}
