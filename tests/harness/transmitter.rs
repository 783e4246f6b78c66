//! A transmitter of security events (Shared Signals Framework 1.0) that is no provider: it has an issuer with a path, keys of its own, and a
//! stream that is polled (RFC 8936).

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use axum::{
    Json, Router,
    body::Body,
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use evergate::{clock::Clock, secret::random_text};
use serde_json::{Value, json};
use tokio::{net::TcpListener, sync::Notify};

use super::idp::Signer;

#[derive(Clone)]
pub struct Transmitter {
    origin: String,
    clock: Clock,
    key: Arc<Mutex<Signer>>,
    stream: Arc<Mutex<Stream>>,
    queued: Arc<Notify>,
}

/// What was polled.
#[derive(Clone, Default)]
pub struct Stream {
    /// The events that wait, by their identifiers.
    pub waiting: BTreeMap<String, String>,
    pub acknowledged: Vec<String>,
    /// The refusals, by the identifiers.
    pub refused: BTreeMap<String, Value>,
    /// The `Authorization` of each poll.
    pub polls: Vec<String>,
    /// How many polls waited for an event at the same time.
    pub most_at_once: usize,
    at_once: usize,
    /// The status of its answers, unless it is 200.
    status: Option<u16>,
    /// It takes polls, and answers none.
    is_silent: bool,
    ended_waits: Option<(EndedWait, Duration)>,
}

/// How a proxy before it ends polls that wait.
#[derive(Clone, Copy, Debug)]
pub enum EndedWait {
    Status(u16),
    /// Without an answer.
    Closed,
    /// By an answer that is compressed in a way that nobody asked for.
    Unreadable,
}

impl EndedWait {
    fn response(self) -> Response {
        match self {
            Self::Status(status) => StatusCode::from_u16(status).unwrap().into_response(),
            // The body fails before the head is written, so that the connection is closed without either.
            Self::Closed => {
                let broken = futures_util::stream::iter([Err::<Vec<u8>, _>(std::io::Error::other("closed"))]);
                Body::from_stream(broken).into_response()
            }
            Self::Unreadable => ([("content-encoding", "br")], "no JSON").into_response(),
        }
    }
}

impl Transmitter {
    pub async fn start(clock: Clock) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let origin = format!("http://{}", listener.local_addr().unwrap());
        let key = Signer::generate("ES256", "transmitter-1");
        let keys = json!({"keys": [key.jwk()]});
        let this = Self { origin, clock, key: Arc::new(Mutex::new(key)), stream: Arc::default(), queued: Arc::default() };
        let metadata = json!({"issuer": this.issuer(), "jwks_uri": format!("{}/keys", this.origin), "spec_version": "1_0"});
        let polled = this.clone();
        let router = Router::new()
            .route("/.well-known/ssf-configuration/tenant", get(move || async move { Json(metadata) }))
            .route("/keys", get(move || async move { Json(keys) }))
            .route(
                "/poll",
                post(move |headers: HeaderMap, Json(body): Json<Value>| async move { polled.answer(&headers, &body).await }),
            );
        tokio::spawn(async move { axum::serve(listener, router).await });
        this
    }

    pub fn issuer(&self) -> String {
        format!("{}/tenant", self.origin)
    }

    pub fn poll_url(&self) -> String {
        format!("{}/poll", self.origin)
    }

    /// A security event with these claims and header members besides, or instead of, the usual ones; `null` leaves one out.
    pub fn event(&self, claims: Value, header: Value) -> String {
        let mut all = json!({"iss": self.issuer(), "iat": self.clock.now().seconds(), "jti": random_text::<8>()});
        let mut head = json!({"alg": "ES256", "typ": "secevent+jwt", "kid": "transmitter-1"});
        for (target, edits) in [(&mut all, claims), (&mut head, header)] {
            for (name, value) in edits.as_object().unwrap() {
                target[name] = value.clone();
            }
            target.as_object_mut().unwrap().retain(|_, value| !value.is_null());
        }
        self.key.lock().unwrap().sign_with_header(&head, &all)
    }

    /// Adds an event to the stream under this identifier.
    pub fn queue(&self, id: &str, mut claims: Value) {
        claims["jti"] = json!(id);
        let token = self.event(claims, json!({}));
        self.stream().waiting.insert(id.to_owned(), token);
        self.queued.notify_waiters();
    }

    /// Polls that wait end after so long, without an answer of its own.
    pub fn end_waits(&self, ended: EndedWait, after: Duration) {
        self.stream().ended_waits = Some((ended, after));
    }

    /// What was polled until now.
    pub fn polled(&self) -> Stream {
        self.stream().clone()
    }

    /// The status with which it answers polls.
    pub fn answer_with(&self, status: Option<u16>) {
        self.stream().status = status;
        self.queued.notify_waiters();
    }

    /// Whether it takes polls and answers none.
    pub fn be_silent(&self, is_silent: bool) {
        self.stream().is_silent = is_silent;
    }

    fn stream(&self) -> MutexGuard<'_, Stream> {
        self.stream.lock().unwrap()
    }

    async fn answer(&self, headers: &HeaderMap, body: &Value) -> Response {
        let authorization = headers.get("authorization").map(|value| value.to_str().unwrap().to_owned());
        let waits = body["returnImmediately"] != true;
        {
            let mut stream = self.stream();
            stream.polls.push(authorization.unwrap_or_default());
            if stream.status.is_none() {
                for id in body["ack"].as_array().unwrap().iter().map(|id| id.as_str().unwrap()) {
                    stream.waiting.remove(id);
                    stream.acknowledged.push(id.to_owned());
                }
                for (id, error) in body["setErrs"].as_object().unwrap() {
                    stream.waiting.remove(id);
                    stream.refused.insert(id.clone(), error.clone());
                }
            }
        }
        if self.stream().is_silent {
            return std::future::pending().await;
        }
        let ended_waits = self.stream().ended_waits;
        match ended_waits.filter(|_| waits) {
            Some((ended, after)) => {
                tokio::time::sleep(after).await;
                return ended.response();
            }
            None if waits => self.wait().await,
            None => {}
        }
        let stream = self.stream();
        if let Some(status) = stream.status {
            return StatusCode::from_u16(status).unwrap().into_response();
        }
        let most = usize::try_from(body["maxEvents"].as_u64().unwrap()).unwrap();
        let sets: serde_json::Map<_, _> = stream.waiting.iter().take(most).map(|(id, set)| (id.clone(), json!(set))).collect();
        Json(json!({"moreAvailable": stream.waiting.len() > sets.len(), "sets": sets})).into_response()
    }

    /// Holds a poll until there is an event, or for a while.
    async fn wait(&self) {
        let queued = self.queued.notified();
        {
            let mut stream = self.stream();
            if !stream.waiting.is_empty() || stream.status.is_some() {
                return;
            }
            stream.at_once += 1;
            stream.most_at_once = stream.most_at_once.max(stream.at_once);
        }
        let _there_may_be_none = tokio::time::timeout(Duration::from_secs(20), queued).await;
        self.stream().at_once -= 1;
    }
}
