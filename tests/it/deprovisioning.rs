//! Who is gone at the provider is gone here: whichever way it is told, on every replica, and in the history with who told it.

mod event_poll;
mod former_client;
mod front_channel_logout;
mod global_token_revocation;
mod names;
mod odd_scim;
mod renamed;
mod scim;
mod security_events;
mod session_events;
mod token_names;
mod unfinished;
mod unheard;
mod unknown_keys;

use std::{sync::Arc, time::Duration};

use evergate::clock::Clock;
use futures_util::{SinkExt, StreamExt};
use http::{Method, StatusCode};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{Message, client::IntoClientRequest},
};

use crate::harness::{
    ACCESS, Builder, World,
    eventually::eventually,
    faults::FaultProxy,
    idp::{CLIENT_ID, CLIENT_SECRET, Idp, user},
    logs::lines_with,
    transmitter::Transmitter,
    visitor::Visitor,
};

/// Within a second, and what a loaded machine adds: nothing else would end what is open here for hours.
const SOON: Duration = Duration::from_secs(60);

const ROUTES: &str = "[[route]]\npath = \"/\"\n\n[[route]]\npath = \"/api\"\nbearer_tokens = [\"provider\", \"personal\"]\n\n\
                      [[route]]\npath = \"/websocket\"\nbearer_tokens = [\"provider\"]\n";

/// A world whose route `/api` takes bearer tokens.
fn world() -> Builder {
    World::build().routes(|_| ROUTES.to_owned())
}

/// A bearer token of the provider's for `/api`, issued now.
fn bearer(idp: &Idp, subject: &str) -> String {
    idp.signed_access_token(&format!("{ACCESS}/api"), user(subject.trim_start_matches("sub-")), json!({}))
}

/// A second provider, whose users a transmitter tells of: its line, itself, and its table in the settings.
async fn partners(clock: &Clock, transmitter: &Transmitter) -> (FaultProxy, Arc<Idp>, String) {
    let line = FaultProxy::start().await;
    let partners = Idp::start(&line.url(), clock.clone()).await;
    line.forward_to(partners.address);
    let table = format!(
        "[[provider]]\nname = \"partners\"\noidc_issuer_url = \"{}\"\noidc_client_id = \"{CLIENT_ID}\"\n\
         oidc_client_secret = \"{CLIENT_SECRET}\"\noidc_event_issuer_url = \"{}\"\n\n",
        partners.issuer(),
        transmitter.issuer()
    );
    (line, partners, table)
}

async fn call(visitor: &Visitor, token: &str) -> StatusCode {
    visitor.send(Method::GET, "/api", &[("authorization", &format!("Bearer {token}"))], "").await.status
}

/// A personal access token that the visitor makes.
async fn personal_token(visitor: &Visitor) -> String {
    let page = visitor.get("/oauth2/tokens").await.text();
    let seal = page.split("name=\"seal\" value=\"").nth(1).unwrap().split('"').next().unwrap().to_owned();
    let lines = [
        ("sec-fetch-site", "same-origin"),
        ("sec-fetch-mode", "navigate"),
        ("sec-fetch-dest", "document"),
        ("accept", "text/html"),
        ("content-type", "application/x-www-form-urlencoded"),
    ];
    let form = format!("seal={seal}&name=backup");
    let made = visitor.without_cookies().send(Method::POST, "/oauth2/tokens", &lines, &form).await.text();
    made.split("<code>").nth(1).unwrap().split('<').next().unwrap().to_owned()
}

/// A WebSocket that an API client opens with a token of the provider's.
async fn websocket_of_client(world: &World, subject: &str) -> Socket {
    let mut request = "ws://app.test/websocket".into_client_request().unwrap();
    let claims = user(subject.trim_start_matches("sub-"));
    let token = world.idp.signed_access_token(&format!("{ACCESS}/websocket"), claims, json!({}));
    request.headers_mut().insert("authorization", format!("Bearer {token}").parse().unwrap());
    let stream = TcpStream::connect(world.replicas.last().unwrap().address).await.unwrap();
    let mut socket = tokio_tungstenite::client_async(request, stream).await.expect("it is opened").0;
    assert!(echoes(&mut socket).await);
    socket
}

type Socket = WebSocketStream<TcpStream>;

async fn echoes(socket: &mut Socket) -> bool {
    socket.send(Message::text("still there?")).await.is_ok() && matches!(socket.next().await, Some(Ok(Message::Text(_))))
}

async fn is_closed(socket: &mut Socket) -> bool {
    let next = tokio::time::timeout(SOON, socket.next()).await.expect("it is closed in time");
    matches!(next, Some(Ok(Message::Close(_)) | Err(_)) | None)
}

/// An event stream of which the first piece has come.
async fn stream(visitor: &Visitor, path: &str) -> http::Response<hyper::body::Incoming> {
    let mut response = visitor.open(path).await;
    let first = response.body_mut().frame().await.unwrap().unwrap().into_data().unwrap();
    assert_eq!(first, "first ");
    response
}

async fn breaks_off(mut response: http::Response<hyper::body::Incoming>) -> bool {
    let next = tokio::time::timeout(SOON, response.body_mut().frame()).await.expect("it ends in time");
    next.is_some_and(|frame| frame.is_err())
}

/// Everything that a user has at two replicas, and another user's session, which nothing may touch.
struct Everything {
    here: Visitor,
    there: Visitor,
    sockets: [Socket; 3],
    other_socket: Socket,
    streams: [http::Response<hyper::body::Incoming>; 2],
    personal: String,
    bearer: String,
    client: Visitor,
    other: Visitor,
    other_bearer: String,
}

impl Everything {
    /// Of ann, beside bob.
    async fn of_ann(world: &World) -> Self {
        let second = world.replicas.last().unwrap().address;
        world.idp.log_in_as(user("bob"));
        let other = world.signed_in().await;
        world.idp.log_in_as(user("ann"));
        let (here, elsewhere) = (world.signed_in().await, world.signed_in().await);
        let there = elsewhere.at(second);
        let of_client = websocket_of_client(world, "sub-ann").await;
        let mut sockets = [here.websocket().await, there.websocket().await, of_client];
        for socket in &mut sockets {
            assert!(echoes(socket).await);
        }
        let streams = [stream(&here, "/stream").await, stream(&there, "/stream").await];
        let all = Self {
            personal: personal_token(&here).await,
            bearer: bearer(&world.idp, "sub-ann"),
            other_bearer: bearer(&world.idp, "sub-bob"),
            client: Visitor::new(second),
            here,
            there,
            sockets,
            other_socket: websocket_of_client(world, "sub-bob").await,
            streams,
            other,
        };
        for token in [&all.personal, &all.bearer, &all.other_bearer] {
            assert_eq!(call(&all.client, token).await, StatusCode::OK);
        }
        all
    }

    /// Ann has nothing left, and bob everything.
    async fn expect_gone(mut self, world: &World, source: &str) {
        for socket in &mut self.sockets {
            assert!(is_closed(socket).await, "{source}");
        }
        for stream in self.streams {
            assert!(breaks_off(stream).await, "{source}");
        }
        for browser in [&self.here, &self.there] {
            eventually("the session has ended", async || browser.fetch("/").await.status == StatusCode::UNAUTHORIZED).await;
        }
        for token in [&self.personal, &self.bearer] {
            eventually("the token is refused", async || call(&self.client, token).await == StatusCode::UNAUTHORIZED).await;
        }
        assert!(echoes(&mut self.other_socket).await, "{source}: another user");
        assert!(self.other.get("/").await.is_upstreams(), "{source}: another user");
        assert_eq!(call(&self.client, &self.other_bearer).await, StatusCode::OK, "{source}: another user");
        eventually("the history says who had it ended", async || is_told(world, "sub-ann", source).await).await;
    }
}

/// Whether the history says of a user that `source` has had them ended.
async fn is_told(world: &World, subject: &str, source: &str) -> bool {
    let (_, shown) = world.command(&["sessions", "show", subject, "--json"]).await;
    // Who has no history yet is nobody.
    let shown: Value = serde_json::from_str(&shown).unwrap_or_default();
    shown["events"].as_array().is_some_and(|events| events.iter().any(|event| event["why"]["code"] == source))
}
