//! An app's job, as far as these tests need one: a program that asks for tokens.

use std::{net::SocketAddr, path::PathBuf};

use bytes::Bytes;
use http::{Method, Request};
use http_body_util::{BodyExt, Empty};
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpStream, UnixStream},
};

use crate::harness::{
    World,
    visitor::{Reply, Visitor},
};

pub const SECRET: &str = "a-secret-of-an-app-with-32-chars-or-more";

/// Where a job asks.
#[derive(Clone)]
pub enum Job {
    Unix(PathBuf),
    Loopback(SocketAddr),
}

impl Job {
    /// Asks on loopback, at the replica of this number.
    pub fn of(world: &World, replica: usize) -> Self {
        Self::Loopback(world.replicas[replica].app_token_address.expect("jobs may ask"))
    }

    /// The headers that a job sends each time.
    pub fn usual_headers(&self) -> Vec<(&'static str, String)> {
        match self {
            Self::Unix(_) => vec![("host", "localhost".into())],
            Self::Loopback(address) => {
                vec![("host", address.to_string()), ("authorization", format!("Bearer {SECRET}"))]
            }
        }
    }

    /// Asks for the token of the session that an assertion names; `query` begins with a question mark if it is not empty.
    pub async fn by_session(&self, assertion: &str, query: &str) -> Reply {
        let mut headers = self.usual_headers();
        headers.push(("x-evergate-assertion", assertion.to_owned()));
        self.send(Method::GET, &format!("/oauth2/token{query}"), &headers).await
    }

    /// Asks for the token of a user.
    pub async fn by_user(&self, subject: &str) -> Reply {
        self.send(Method::GET, &format!("/oauth2/token?subject={subject}"), &self.usual_headers()).await
    }

    pub async fn send(&self, method: Method, target: &str, headers: &[(&str, String)]) -> Reply {
        match self {
            Self::Unix(path) => exchange(UnixStream::connect(path).await.unwrap(), method, target, headers).await,
            Self::Loopback(address) => exchange(TcpStream::connect(address).await.unwrap(), method, target, headers).await,
        }
    }
}

async fn exchange(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    method: Method,
    target: &str,
    headers: &[(&str, String)],
) -> Reply {
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    let request = Request::builder().method(method).uri(target);
    let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, value));
    let (head, body) = sender.send_request(request.body(Empty::<Bytes>::new()).unwrap()).await.unwrap().into_parts();
    Reply { status: head.status, headers: head.headers, body: body.collect().await.unwrap().to_bytes() }
}

/// The assertion that the app at `path` gets with a request of this browser, and the access token that came with it.
pub async fn request_of(world: &World, visitor: &Visitor, path: &str) -> (String, String) {
    let reply = visitor.fetch(path).await;
    assert!(reply.is_upstreams(), "{path}: {} {}", reply.status, reply.text());
    let seen = world.upstream.last();
    let header = |name: &str| seen.header(name).unwrap_or_default().to_owned();
    (header("x-evergate-assertion"), header("x-forwarded-access-token"))
}

/// The token of an answer that has one.
pub fn token(reply: &Reply) -> String {
    assert_eq!(reply.status, 200, "{}", reply.text());
    reply.json()["access_token"].as_str().unwrap().to_owned()
}

/// The status and the name of an answer that is an error.
pub fn error(reply: &Reply) -> (u16, String) {
    assert_eq!(reply.header("cache-control"), "no-store");
    (reply.status.as_u16(), reply.json()["error"].as_str().unwrap_or_default().to_owned())
}
