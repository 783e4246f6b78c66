//! An identity provider that signs for real, rotates as told, detects reuse, and misbehaves on request.

mod access_tokens;
mod authorization;
pub mod client_check;
mod endpoints;
mod signing;
mod state;
mod token_exchange;
mod unfinished;

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use evergate::{clock::Clock, secret::random_text};
use serde_json::{Value, json};
use tokio::{net::TcpListener, sync::Notify};

use state::{State, Token};

pub use signing::{Pack, Signer};

pub const CLIENT_ID: &str = "gateway";
pub const CLIENT_SECRET: &str = "s3cr%t:with+odd&characters";

pub struct Idp {
    pub address: SocketAddr,
    issuer: String,
    clock: Clock,
    state: Mutex<State>,
    /// An endpoint is told how to behave.
    told: Notify,
}

/// How refresh tokens are treated once used (classes A to D).
#[derive(Default, Clone, Copy, PartialEq, Eq, Debug)]
pub enum Rotation {
    /// The same token for ever.
    Reusable,
    /// A new one each time, the one before good for this long.
    Grace(Duration),
    /// A new one each time; the one before revokes the family.
    #[default]
    Strict,
    /// A new one each time; the one before is refused, and nothing else comes of it (Dex).
    Unpunished,
    /// One token ever, which is never replaced.
    Single,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Endpoint {
    Discovery,
    Jwks,
    /// The token endpoint, for codes.
    Code,
    /// The token endpoint, for refresh tokens.
    Refresh,
    /// The same, with a refresh token that is nobody's; misbehaves as that does.
    Probe,
    /// The same, for token exchanges.
    Exchange,
    Userinfo,
    Revocation,
    Introspection,
    /// Where authorization requests are pushed.
    Par,
    /// Microsoft Graph, which it stands in for.
    Graph,
}

/// What an endpoint does instead of its work, or besides.
#[derive(Clone, Debug)]
pub enum Misbehaviour {
    /// Answers this without doing anything.
    Answer(u16, String, Vec<(&'static str, &'static str)>),
    /// Does its work after a while.
    Slow(Duration),
    /// Does its work once it behaves again.
    Held,
    /// Does its work at once, and answers once it behaves again.
    HeldAnswer,
    /// Does its work at once, and answers after a while.
    SlowToAnswer(Duration),
    /// Does its work, and answers this instead of what came of it.
    WorkThenAnswer(u16, String),
    /// Does its work after a while for so many at once, and answers 429 to more.
    AtMost(usize, Duration),
    /// Answers without end.
    Endless,
    /// Answers with this status without doing anything, and the connection breaks within the body.
    CutOff(u16),
    /// The same, and the rest of the body does not come.
    Unfinished(u16),
}

/// When a login brings a refresh token.
#[derive(Default, Clone, Copy, PartialEq, Eq, Debug)]
pub enum Offline {
    /// With `offline_access`, each login its own.
    #[default]
    Scope,
    /// With `access_type=offline`, at the first login of a user, and whenever `prompt=consent` is asked (Google).
    Consent,
    /// With `offline_access`, and the user's older ones die (Dex).
    Newest,
    /// Never.
    Never,
}

impl Idp {
    /// Reached at `url`. Its issuer has a path of its own, because ports come round again within one run and the
    /// log is searched by issuer.
    pub async fn start(url: &str, clock: Clock) -> Arc<Self> {
        let path = format!("/{}", random_text::<6>());
        let issuer = format!("{url}{path}");
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let idp = Arc::new(Self {
            address: listener.local_addr().unwrap(),
            issuer,
            clock,
            state: Mutex::new(State::new()),
            told: Notify::new(),
        });
        let pages = axum::Router::new().nest(&path, endpoints::router(Arc::clone(&idp)));
        tokio::spawn(async move { axum::serve(listener, pages).await });
        idp
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    pub fn rotate_as(&self, rotation: Rotation) {
        self.state().rotation = rotation;
    }

    /// What `expires_in` says; `None` leaves it out.
    pub fn access_tokens_live(&self, life: Option<Value>) {
        self.state().life = life;
    }

    pub fn log_in_as(&self, user: Value) {
        self.state().user = user;
    }

    pub fn give_refresh_tokens(&self, offline: Offline) {
        self.state().offline = offline;
    }

    /// Ends the provider's own sessions, so that the next login needs a person.
    pub fn forget_browsers(&self) {
        self.state().browsers.clear();
    }

    /// Whether a person must agree to the next login.
    pub fn want_consent(&self, wants: bool) {
        self.state().wants_consent = wants;
    }

    /// How often a person had to do something at the authorization endpoint.
    pub fn prompts(&self) -> usize {
        self.state().prompts
    }

    /// How often a browser came to the authorization endpoint.
    pub fn passes(&self) -> usize {
        self.state().passes
    }

    pub fn change_secret(&self, secret: &str) {
        self.state().secret = secret.to_owned();
    }

    /// The code for a client whose secret is wrong.
    pub fn refuse_clients_with(&self, code: &str) {
        self.state().refuses_clients_with = code.to_owned();
    }

    /// Has an introspection endpoint in its metadata, which tells the truth, or calls every refresh token inactive.
    pub fn introspect(&self, truthfully: bool) {
        let mut state = self.state();
        state.introspects_badly = !truthfully;
        state.metadata["introspection_endpoint"] = json!(format!("{}/introspect", self.issuer));
    }

    /// Has an endpoint for pushed authorization requests in its metadata, and takes no others if they are `required`.
    pub fn take_pushed_requests(&self, required: bool) {
        let mut state = self.state();
        state.metadata["pushed_authorization_request_endpoint"] = json!(format!("{}/par", self.issuer));
        state.metadata["require_pushed_authorization_requests"] = json!(required);
    }

    /// Leaves groups out of ID tokens, with these claims instead; Graph has these.
    pub fn leave_groups_to_graph(&self, said: Value, groups: &[&str]) {
        self.state().graph_groups = json!(groups);
        self.edit_id_token(move |claims| {
            let claims = claims.as_object_mut().unwrap();
            claims.remove("groups");
            claims.extend(said.as_object().unwrap().clone());
        });
    }

    /// Takes the other one of these.
    pub fn rotate_secret(&self, secrets: &[&str; 2]) {
        let mut state = self.state();
        let other = if state.secret == secrets[0] { secrets[1] } else { secrets[0] };
        state.secret = other.to_owned();
    }

    /// Members that replace those of the discovery document; `null` removes one.
    pub fn set_metadata(&self, members: Value) {
        self.state().metadata = members;
    }

    /// The token endpoint has another address, which the metadata do not name yet.
    pub fn move_token_endpoint(&self) {
        self.state().has_moved = true;
    }

    /// They do now.
    pub fn tell_where_it_moved(&self) {
        self.set_metadata(json!({"token_endpoint": format!("{}/moved/token", self.issuer())}));
    }

    pub fn misbehave(&self, endpoint: Endpoint, misbehaviour: Misbehaviour) {
        self.state().misbehaviour.insert(endpoint, misbehaviour);
        self.told.notify_waiters();
    }

    pub fn behave(&self, endpoint: Endpoint) {
        self.state().misbehaviour.remove(&endpoint);
        self.told.notify_waiters();
    }

    /// Has calls behave that come from now on. Those that are held stay so until an endpoint is told something.
    pub fn behave_from_now_on(&self, endpoint: Endpoint) {
        self.state().misbehaviour.remove(&endpoint);
    }

    /// Waits until calls are held no longer.
    async fn until_let_go(&self, endpoint: Endpoint) {
        loop {
            let told = self.told.notified();
            let behaves_as = self.state().misbehaviour.get(&endpoint).cloned();
            if !matches!(behaves_as, Some(Misbehaviour::Held | Misbehaviour::HeldAnswer)) {
                return;
            }
            told.await;
        }
    }

    /// How often it was called. Whoever moves the clock by more than an hour has the metadata and the keys read again in the background, at
    /// the next signature that is verified: those are to be counted before that.
    pub fn calls(&self, endpoint: Endpoint) -> usize {
        self.state().calls.get(&endpoint).copied().unwrap_or_default()
    }

    pub fn most_at_once(&self) -> usize {
        self.state().most_at_once
    }

    /// How often it answered 429 because of [`Misbehaviour::AtMost`].
    pub fn turned_away(&self) -> usize {
        self.state().turned_away
    }

    /// Calls under way.
    pub fn at_once(&self) -> usize {
        self.state().at_once
    }

    pub fn start_counting_at_once(&self) {
        self.state().most_at_once = 0;
    }

    pub fn edit_id_token(&self, edit: impl Fn(&mut Value) + Send + 'static) {
        self.state().edit_id_token = Some(Box::new(edit));
    }

    pub fn edit_header(&self, edit: impl Fn(&mut Value) + Send + 'static) {
        self.state().edit_header = Some(Box::new(edit));
    }

    /// Edits answers of the token endpoint.
    pub fn edit_answer(&self, edit: impl Fn(&mut Value) + Send + 'static) {
        self.state().edit_answer = Some(Box::new(edit));
    }

    pub fn edit_userinfo(&self, edit: impl Fn(&mut Value) + Send + 'static) {
        self.state().edit_userinfo = Some(Box::new(edit));
    }

    /// Refuses every refresh token that was issued so far.
    pub fn kill_grants(&self) {
        let mut state = self.state();
        state.revoked_families = state.refresh.values().map(|token| token.family).collect();
    }

    /// How often a used refresh token was presented where that means theft.
    pub fn reuses(&self) -> usize {
        self.state().reuses
    }

    /// How many refresh tokens of its own it was shown by its client, and for how many of them it gave new tokens.
    pub fn presented_and_renewed(&self) -> (usize, usize) {
        let state = self.state();
        (state.presented, state.renewed)
    }

    /// Refresh tokens that were revoked by their client.
    pub fn revoked(&self) -> Vec<String> {
        self.state().revoked.clone()
    }

    /// Whether any refresh token would still be accepted.
    pub fn has_live_refresh_token(&self) -> bool {
        let state = self.state();
        state.refresh.iter().any(|(token, entry)| {
            entry.used_at.is_none() && !state.revoked_families.contains(&entry.family) && !state.revoked.contains(token)
        })
    }

    /// Everything that no log and no table may hold.
    pub fn secrets(&self) -> Vec<String> {
        self.state().issued.clone()
    }

    /// Has the present user sit before real browsers, and known to the provider: the authorization endpoint asks nothing.
    pub fn seat(&self) {
        self.state().is_seated = true;
    }
}

/// Somebody's claims.
pub fn user(name: &str) -> Value {
    json!({
        "sub": format!("sub-{name}"), "preferred_username": name, "email": format!("{name}@example.com"), "email_verified": true,
        "groups": ["staff"],
    })
}
