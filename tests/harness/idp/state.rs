//! What the provider knows, and what it was told to do.

use std::collections::{HashMap, HashSet};

use serde_json::{Value, json};

use super::{CLIENT_SECRET, Endpoint, Misbehaviour, Offline, Pack, Rotation, Signer, client_check::ClientCheck, user};

type Edit = Box<dyn Fn(&mut Value) + Send>;

/// What it knows, and how it is to behave.
#[derive(Default)]
pub(super) struct State {
    pub(super) keys: Vec<Signer>,
    pub(super) published: Vec<Value>,
    pub(super) rotation: Rotation,
    pub(super) life: Option<Value>,
    pub(super) user: Value,
    pub(super) secret: String,
    pub(super) client_check: ClientCheck,
    /// The identifiers of the client's assertions.
    pub(super) assertions: HashSet<String>,
    pub(super) last_assertion: String,
    pub(super) client_keys: Vec<Value>,
    /// What a client is told whose secret is wrong.
    pub(super) refuses_clients_with: String,
    /// Whether introspection calls every refresh token inactive, good ones too.
    pub(super) introspects_badly: bool,
    /// What Graph tells of every user's groups.
    pub(super) graph_groups: Value,
    pub(super) last_exchange: HashMap<String, String>,
    pub(super) metadata: Value,
    pub(super) misbehaviour: HashMap<Endpoint, Misbehaviour>,
    pub(super) has_moved: bool,
    pub(super) calls: HashMap<Endpoint, usize>,
    pub(super) edit_id_token: Option<Edit>,
    pub(super) edit_header: Option<Edit>,
    pub(super) edit_answer: Option<Edit>,
    pub(super) edit_userinfo: Option<Edit>,
    pub(super) edit_payload: Option<Box<dyn Fn(String) -> String + Send>>,
    pub(super) signs_userinfo: bool,
    pub(super) pack: Option<Pack>,
    pub(super) codes: HashMap<String, Value>,
    /// Authorization requests by their references, each of which is used once.
    pub(super) pushed: HashMap<String, HashMap<String, String>>,
    pub(super) refresh: HashMap<String, Token>,
    pub(super) revoked_families: HashSet<u64>,
    pub(super) families: u64,
    pub(super) access: HashMap<String, Value>,
    /// What introspection says of access tokens.
    pub(super) opaque: HashMap<String, Value>,
    pub(super) revoked: Vec<String>,
    pub(super) reuses: usize,
    pub(super) presented: usize,
    pub(super) renewed: usize,
    pub(super) issued: Vec<String>,
    pub(super) at_once: usize,
    pub(super) most_at_once: usize,
    pub(super) turned_away: usize,
    /// Subjects whose browser is logged in here.
    pub(super) browsers: HashSet<String>,
    pub(super) wants_consent: bool,
    /// Whether the authorization endpoint asks real browsers nothing.
    pub(super) is_seated: bool,
    pub(super) prompts: usize,
    pub(super) passes: usize,
    pub(super) offline: Offline,
}

pub(super) struct Token {
    pub(super) family: u64,
    pub(super) user: Value,
    pub(super) used_at: Option<i64>,
}

impl State {
    /// That of a provider that behaves, where ann logs in.
    pub(super) fn new() -> Self {
        let key = Signer::generate("ES256", "first");
        Self {
            published: vec![key.jwk()],
            keys: vec![key],
            life: Some(json!(300)),
            user: user("ann"),
            secret: CLIENT_SECRET.to_owned(),
            refuses_clients_with: "invalid_client".to_owned(),
            graph_groups: json!([]),
            metadata: json!({}),
            issued: vec![CLIENT_SECRET.to_owned()],
            ..Self::default()
        }
    }
}
