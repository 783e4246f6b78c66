//! Envoy's side of `ext_authz` over gRPC, as far as one is needed that asks what no Envoy would: written without the code under test.

use std::net::SocketAddr;

use bytes::Bytes;
use http::{HeaderMap, Request};
use http_body_util::{BodyExt, Full};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpStream;

use super::protobuf::{field, fields, text};

pub const CHECK: &str = "/envoy.service.auth.v3.Authorization/Check";
pub const HEALTH: &str = "/grpc.health.v1.Health/Check";

/// What came of a call.
#[derive(Debug)]
pub struct Called {
    pub status: u16,
    pub headers: HeaderMap,
    pub message: Bytes,
    /// `grpc-status`, of the head or of the trailers.
    pub grpc: Option<String>,
}

/// Calls a method with this body.
pub async fn call(address: SocketAddr, path: &str, headers: &[(&str, &str)], body: Vec<u8>) -> Called {
    let stream = TcpStream::connect(address).await.unwrap();
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    let mut request = Request::post(format!("http://app.test{path}")).header("te", "trailers");
    if !headers.iter().any(|(name, _)| *name == "content-type") {
        request = request.header("content-type", "application/grpc");
    }
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let (head, body) = sender.send_request(request.body(Full::<Bytes>::from(body)).unwrap()).await.unwrap().into_parts();
    let collected = body.collect().await.unwrap();
    let status = |headers: &HeaderMap| headers.get("grpc-status").map(|status| status.to_str().unwrap().to_owned());
    let grpc = status(&head.headers).or_else(|| collected.trailers().and_then(status));
    Called { status: head.status.as_u16(), headers: head.headers, message: collected.to_bytes(), grpc }
}

/// The frame of a message.
pub fn framed(message: &[u8]) -> Vec<u8> {
    [&[0], &u32::try_from(message.len()).unwrap().to_be_bytes()[..], message].concat()
}

/// What is asked about a request.
#[derive(Clone)]
pub struct Question<'a> {
    /// The address of the other end of Envoy's connection; a path is a unix socket's.
    pub source: &'a str,
    pub method: &'a str,
    pub path: &'a str,
    pub host: &'a str,
    pub lines: Vec<(&'a str, Vec<u8>)>,
    /// The lines come as they are (`encode_raw_headers`).
    pub is_raw: bool,
    pub context: Vec<(&'a str, &'a str)>,
}

impl<'a> Question<'a> {
    pub fn get(path: &'a str) -> Self {
        Self { source: "192.0.2.7", method: "GET", path, host: "app.test", lines: Vec::new(), is_raw: false, context: Vec::new() }
    }

    pub fn line(mut self, name: &'a str, value: impl AsRef<[u8]>) -> Self {
        self.lines.push((name, value.as_ref().to_vec()));
        self
    }

    pub fn message(&self) -> Vec<u8> {
        let address = match self.source {
            path if path.starts_with('/') => field(2, &field(1, path.as_bytes())),
            address => field(1, &field(2, address.as_bytes())),
        };
        let source = field(1, &address);
        let mut http = [(2, self.method), (4, self.path), (5, self.host), (6, "https"), (10, "HTTP/1.1")]
            .map(|(number, text)| field(number, text.as_bytes()))
            .concat();
        let pair = |name: &str, number, value: &[u8]| [field(1, name.as_bytes()), field(number, value)].concat();
        let lines = self.lines.iter().map(|(name, value)| (name, value));
        if self.is_raw {
            let map: Vec<u8> = lines.flat_map(|(name, value)| field(1, &pair(name, 3, value))).collect();
            http.extend(field(13, &map));
        } else {
            http.extend(lines.flat_map(|(name, value)| field(3, &pair(name, 2, value))));
        }
        let mut attributes = [field(1, &source), field(4, &field(2, &http))].concat();
        attributes.extend(self.context.iter().flat_map(|(name, value)| field(10, &pair(name, 2, value.as_bytes()))));
        field(1, &attributes)
    }

    pub async fn ask(&self, address: SocketAddr) -> Verdict {
        let called = call(address, CHECK, &[], framed(&self.message())).await;
        assert_eq!((called.status, called.grpc.as_deref()), (200, Some("0")), "{called:?}");
        assert_eq!(called.headers["content-type"], "application/grpc");
        Verdict::read(&called.message[5..])
    }
}

/// What an ingress is told.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    /// The status of a refusal.
    pub denied: Option<u64>,
    /// The lines that the request, or the refusal, gets.
    pub lines: Vec<(String, String)>,
    pub removed: Vec<String>,
    pub body: String,
}

impl Verdict {
    pub fn line(&self, name: &str) -> Option<&str> {
        self.lines.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str())
    }

    pub fn removes(&self, name: &str) -> bool {
        self.removed.iter().any(|removed| removed == name)
    }

    pub fn read(message: &[u8]) -> Self {
        let mut verdict = Self::default();
        for (number, bytes) in fields(message) {
            let is_denial = match number {
                2 => true,
                3 => false,
                _ => continue,
            };
            for (number, inner) in fields(bytes) {
                match (is_denial, number) {
                    (true, 1) => {
                        verdict.denied =
                            Some(fields(inner)[0].1.iter().rev().fold(0, |sum, byte| sum << 7 | u64::from(byte & 127)))
                    }
                    (true, 3) => verdict.body = text(inner),
                    (_, 2) => {
                        let line = fields(fields(inner)[0].1);
                        verdict.lines.push((text(line[0].1), text(line[1].1)));
                    }
                    (false, 5) => verdict.removed.push(text(inner)),
                    _ => {}
                }
            }
        }
        verdict
    }
}
