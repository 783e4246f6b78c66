//! A collector of OpenTelemetry, as far as one is needed that tells what it was sent, and can be slow or away.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use axum::{
    Router,
    body::Bytes,
    extract::State,
    http::{HeaderMap, StatusCode},
    routing::post,
};
use tokio::net::TcpListener;

use super::protobuf::{fields, text};

pub struct Collector {
    pub address: SocketAddr,
    state: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    spans: Mutex<Vec<Span>>,
    headers: Mutex<Vec<HeaderMap>>,
    behaviour: Mutex<Behaviour>,
}

/// What it does with an export.
#[derive(Clone, Copy, Default)]
pub enum Behaviour {
    #[default]
    Takes,
    /// It answers with this status.
    Refuses(u16),
    /// It says that it takes none of the spans of an export, with status 200.
    Rejects,
    /// It never answers.
    Holds,
}

/// A span as it was sent.
#[derive(Clone, Debug, Default)]
pub struct Span {
    pub trace_id: String,
    pub span_id: String,
    pub parent_id: String,
    pub state: String,
    pub name: String,
    pub kind: u64,
    pub started_at: u64,
    pub ended_at: u64,
    pub attributes: BTreeMap<String, String>,
    pub is_failed: bool,
    pub resource: BTreeMap<String, String>,
}

impl Collector {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (address, state) = (listener.local_addr().unwrap(), Arc::<Shared>::default());
        let pages = Router::new().route("/v1/traces", post(export)).with_state(Arc::clone(&state));
        tokio::spawn(async move { axum::serve(listener, pages).await });
        Self { address, state }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub fn behave(&self, behaviour: Behaviour) {
        *self.state.behaviour.lock().unwrap() = behaviour;
    }

    pub fn spans(&self) -> Vec<Span> {
        self.state.spans.lock().unwrap().clone()
    }

    /// The headers of every export, also of those that were not taken.
    pub fn exports(&self) -> Vec<HeaderMap> {
        self.state.headers.lock().unwrap().clone()
    }

    /// The spans of one trace.
    pub fn trace(&self, trace_id: &str) -> Vec<Span> {
        self.spans().into_iter().filter(|span| span.trace_id == trace_id).collect()
    }
}

async fn export(State(state): State<Arc<Shared>>, headers: HeaderMap, body: Bytes) -> (StatusCode, Vec<u8>) {
    assert_eq!(headers["content-type"], "application/x-protobuf");
    state.headers.lock().unwrap().push(headers);
    let behaviour = *state.behaviour.lock().unwrap();
    match behaviour {
        Behaviour::Takes => {
            state.spans.lock().unwrap().extend(read(&body));
            (StatusCode::OK, Vec::new())
        }
        Behaviour::Refuses(status) => (StatusCode::from_u16(status).unwrap(), Vec::new()),
        // `partial_success` with `rejected_spans` and `error_message`.
        Behaviour::Rejects => (StatusCode::OK, b"\x0a\x0b\x08\x01\x12\x07no room".to_vec()),
        Behaviour::Holds => std::future::pending().await,
    }
}

fn read(request: &[u8]) -> Vec<Span> {
    let mut spans = Vec::new();
    for (_, resource_spans) in fields(request) {
        let mut resource = BTreeMap::new();
        for (number, bytes) in fields(resource_spans) {
            match number {
                1 => resource = fields(bytes).into_iter().map(|(_, pair)| attribute(pair)).collect(),
                2 => {
                    let own = fields(bytes).into_iter().filter(|(number, _)| *number == 2);
                    spans.extend(own.map(|(_, span)| Span { resource: resource.clone(), ..read_span(span) }));
                }
                _ => {}
            }
        }
    }
    spans
}

fn read_span(bytes: &[u8]) -> Span {
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let time = |bytes: &[u8]| u64::from_le_bytes(bytes.try_into().unwrap());
    let mut span = Span::default();
    for (number, held) in fields(bytes) {
        match number {
            1 => span.trace_id = hex(held),
            2 => span.span_id = hex(held),
            3 => span.state = text(held),
            4 => span.parent_id = hex(held),
            5 => span.name = text(held),
            6 => span.kind = held[0].into(),
            7 => span.started_at = time(held),
            8 => span.ended_at = time(held),
            9 => span.attributes.extend([attribute(held)]),
            15 => span.is_failed = fields(held).iter().any(|(number, code)| *number == 3 && code[0] == 2),
            _ => {}
        }
    }
    span
}

/// Name and value; a number as its digits.
fn attribute(pair: &[u8]) -> (String, String) {
    let pair = fields(pair);
    let value = fields(pair[1].1);
    let written = match value[0] {
        (1, bytes) => text(bytes),
        (_, number) => number.iter().rev().fold(0_u64, |sum, byte| sum << 7 | u64::from(byte & 127)).to_string(),
    };
    (text(pair[0].1), written)
}
