//! Bearer tokens of issuers at which nobody logs in, as a Kubernetes cluster's service accounts.

use std::{sync::Arc, time::Duration};

use evergate::{
    clock::Clock,
    config::{Environment, Problems, check},
};
use http::{Method, StatusCode};
use serde_json::{Value, json};

use crate::harness::{
    ACCESS, World,
    eventually::eventually,
    faults::FaultProxy,
    idp::{Endpoint, Idp, Misbehaviour, Signer},
    visitor::{Reply, Visitor},
};

const SUBJECT: &str = "system:serviceaccount:ci:deployer";

/// A cluster beside the provider, and a world that takes its service accounts' tokens.
struct Cluster {
    issuer: Arc<Idp>,
    world: World,
    _line: FaultProxy,
}

impl Cluster {
    async fn start() -> Self {
        let (clock, line) = (Clock::manual(), FaultProxy::start().await);
        let issuer = Idp::start(&line.url(), clock.clone()).await;
        line.forward_to(issuer.address);
        let routes = format!(
            r#"
            [[token_issuer]]
            name = "cluster"
            issuer = "{}"
            subjects = ["system:serviceaccount:ci:*", "system:serviceaccount:ops:backup"]

            [[route]]
            path = "/api"
            bearer_tokens = ["cluster", "provider"]

            [[route]]
            path = "/namespace"
            bearer_tokens = ["cluster"]
            claims = {{ "kubernetes.io.namespace" = ["ci"] }}

            [[route]]
            path = "/admins"
            bearer_tokens = ["cluster"]
            groups = ["staff"]

            [[route]]
            path = "/provider"
            bearer_tokens = ["provider"]
            "#,
            issuer.issuer()
        );
        let build = World::build().by(clock).set("oidc_group_field", "groups").set("oidc_email_domain", "example.com");
        let world = build.routes(move |_| routes.clone()).start().await;
        Self { issuer, world, _line: line }
    }

    /// A token of a service account for `path`.
    fn token(&self, path: &str, claims: &Value) -> String {
        let mut all = json!({
            "sub": SUBJECT, "client_id": null, "scope": null, "email": "ann@example.com", "email_verified": true,
            "preferred_username": "ann", "groups": ["staff"], "kubernetes.io": {"namespace": "ci", "serviceaccount": {"name": "deployer"}},
        });
        all.as_object_mut().unwrap().extend(claims.as_object().unwrap().clone());
        self.issuer.signed_access_token(&format!("{ACCESS}{path}"), all, json!({"typ": null}))
    }
}

async fn call(visitor: &Visitor, path: &str, token: &str) -> Reply {
    visitor.send(Method::GET, path, &[("authorization", &format!("Bearer {token}"))], "").await
}

#[tokio::test]
async fn a_service_account_gets_in_under_a_name_that_no_user_has_and_brings_no_address_and_no_groups() {
    let cluster = Cluster::start().await;
    let (world, job) = (&cluster.world, cluster.world.visitor());
    let reply = call(&job, "/api/deploy", &cluster.token("/api", &json!({}))).await;
    assert!(reply.is_upstreams(), "{} {}", reply.status, reply.text());
    let seen = world.upstream.last();
    assert_eq!(seen.header("x-forwarded-user"), Some(format!("cluster:{SUBJECT}").as_str()));
    for name in ["x-forwarded-email", "x-forwarded-groups", "x-forwarded-preferred-username", "authorization"] {
        assert_eq!(seen.header(name), None, "{name}");
    }
    assert!(call(&job, "/namespace", &cluster.token("/namespace", &json!({}))).await.is_upstreams());
    let other = json!({"kubernetes.io": {"namespace": "dev"}});
    assert_eq!(call(&job, "/namespace", &cluster.token("/namespace", &other)).await.status, StatusCode::FORBIDDEN);
    assert_eq!(call(&job, "/admins", &cluster.token("/admins", &json!({}))).await.status, StatusCode::FORBIDDEN);
    assert!(call(&job, "/api", &cluster.token("/api", &json!({"sub": "system:serviceaccount:ops:backup"}))).await.is_upstreams());
    assert_eq!(cluster.issuer.calls(Endpoint::Jwks), 1, "its keys are asked for once");
}

#[tokio::test]
async fn tokens_of_other_subjects_audiences_issuers_and_routes_are_refused() {
    let cluster = Cluster::start().await;
    let job = cluster.world.visitor();
    let now = cluster.world.clock.now().seconds();
    for (what, path, claims) in [
        ("another subject", "/api", json!({"sub": "system:serviceaccount:dev:deployer"})),
        ("a subject that begins alike", "/api", json!({"sub": "system:serviceaccount:ops:backup2"})),
        ("for another audience", "/api", json!({"aud": "https://kubernetes.default.svc"})),
        ("expired", "/api", json!({"exp": now})),
        ("without an end", "/api", json!({"exp": null})),
        ("on a route that takes none of its", "/provider", json!({})),
        ("of an issuer that nobody named", "/api", json!({"iss": "https://other.example"})),
        ("the provider's by name alone", "/api", json!({"iss": cluster.world.idp.issuer()})),
    ] {
        let reply = call(&job, path, &cluster.token(path, &claims)).await;
        assert_eq!(reply.status, StatusCode::UNAUTHORIZED, "{what}");
    }
    let by_provider =
        |path: &str, claims: Value| cluster.world.idp.signed_access_token(&format!("{ACCESS}{path}"), claims, json!({}));
    assert!(call(&job, "/api", &by_provider("/api", json!({}))).await.is_upstreams());
    assert_eq!(call(&job, "/namespace", &by_provider("/namespace", json!({}))).await.status, StatusCode::UNAUTHORIZED);
    let forged = by_provider("/api", json!({"iss": cluster.issuer.issuer(), "sub": SUBJECT}));
    let reply = call(&job, "/api", &forged).await;
    assert!(!reply.is_upstreams(), "the provider signs for nobody else: {}", reply.status);
}

#[tokio::test]
async fn while_its_keys_cannot_be_had_a_token_is_told_to_come_again_and_known_ones_pass() {
    let cluster = Cluster::start().await;
    let (world, job) = (&cluster.world, cluster.world.visitor());
    cluster.issuer.misbehave(Endpoint::Jwks, Misbehaviour::Answer(503, String::new(), vec![]));
    let token = cluster.token("/api", &json!({"exp": world.clock.now().seconds() + 3600}));
    assert_eq!(call(&job, "/api", &token).await.status, StatusCode::SERVICE_UNAVAILABLE);
    cluster.issuer.behave(Endpoint::Jwks);
    world.clock.advance(Duration::from_secs(11));
    assert!(call(&job, "/api", &token).await.is_upstreams());
    cluster.issuer.misbehave(Endpoint::Jwks, Misbehaviour::Answer(503, String::new(), vec![]));
    world.clock.advance(Duration::from_secs(120));
    assert!(call(&job, "/api", &token).await.is_upstreams(), "by the keys that are known");
    cluster.issuer.rotate_keys(true);
    cluster.issuer.behave(Endpoint::Jwks);
    let newer = cluster.token("/api", &json!({}));
    assert!(call(&job, "/api", &newer).await.is_upstreams(), "a new key is fetched for it");
}

#[tokio::test]
async fn a_key_set_without_keys_takes_none_away() {
    let cluster = Cluster::start().await;
    let job = cluster.world.visitor();
    assert!(call(&job, "/api", &cluster.token("/api", &json!({}))).await.is_upstreams());
    cluster.issuer.misbehave(Endpoint::Jwks, Misbehaviour::Answer(200, r#"{"keys":[]}"#.to_owned(), vec![]));
    let (known, good) = (cluster.issuer.published(), cluster.token("/api", &json!({"jti": "another"})));
    cluster.issuer.sign_with(Signer::generate("ES256", "unknown"), &known);
    assert_eq!(call(&job, "/api", &cluster.token("/api", &json!({}))).await.status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(call(&job, "/api", &good).await.is_upstreams(), "by the keys that are known");
    cluster.world.clock.advance(Duration::from_secs(11));
    cluster.issuer.behave(Endpoint::Jwks);
    assert_eq!(call(&job, "/api", &cluster.token("/api", &json!({"jti": "b"}))).await.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn a_forgery_by_a_known_key_s_name_is_refused_however_often_it_comes() {
    let cluster = Cluster::start().await;
    let job = cluster.world.visitor();
    assert!(call(&job, "/api", &cluster.token("/api", &json!({}))).await.is_upstreams());
    for name in ["a", "b", "c"] {
        let forged = Signer::forged(&cluster.token("/api", &json!({"jti": name})));
        assert_eq!(call(&job, "/api", &forged).await.status, StatusCode::UNAUTHORIZED, "nobody is to send it again");
    }
}

#[tokio::test]
async fn a_key_that_the_issuer_withdraws_verifies_nothing_after_a_while_though_no_newer_one_is_seen() {
    let cluster = Cluster::start().await;
    let (world, job) = (&cluster.world, cluster.world.visitor());
    let token = cluster.token("/api", &json!({"exp": world.clock.now().seconds() + 1_000_000_000}));
    assert!(call(&job, "/api", &token).await.is_upstreams());
    cluster.issuer.rotate_keys(true);
    world.clock.advance(Duration::from_secs(61));
    assert!(call(&job, "/api", &token).await.is_upstreams(), "its keys are looked at once an hour");
    world.clock.advance(Duration::from_secs(3600));
    eventually("it is refused", async || {
        world.clock.advance(Duration::from_secs(61));
        call(&job, "/api", &token).await.status == StatusCode::UNAUTHORIZED
    })
    .await;
}

#[test]
fn what_is_wrong_with_a_table_of_an_issuer_is_told() {
    let directory = tempfile::tempdir().unwrap();
    let told = |tables: &str| {
        let path = directory.path().join("evergate.toml");
        let text = format!(
            "access_url = \"https://app.example\"\nupstream_url = \"http://127.0.0.1:1\"\noidc_issuer_url = \"https://idp.example\"\n\
             oidc_client_id = \"c\"\ndata_dir = \"{}\"\n{tables}",
            directory.path().display()
        );
        std::fs::write(&path, text).unwrap();
        let environment = Environment { config_path: Some(path.display().to_string()), ..Environment::default() };
        let mut problems = Problems::default();
        let raw = environment.read(&mut problems);
        check(&raw, problems).map_or_else(|problems| problems.to_string(), |_| String::new())
    };
    let good = "[[token_issuer]]\nname = \"k\"\nissuer = \"https://k.example\"\nsubjects = [\"*\"]\n";
    assert_eq!(told(good), "");
    for (tables, expected) in [
        ("[[token_issuer]]\nname = \"k\"\nissuer = \"https://k.example\"\n".to_owned(), "token_issuer[1].subjects: is required"),
        ("[[token_issuer]]\nname = \"provider\"\n".to_owned(), "token_issuer[1].name: is a name that has a meaning already"),
        ("[[token_issuer]]\nname = \"client\"\n".to_owned(), "token_issuer[1].name: is a name that has a meaning already"),
        (format!("{good}{good}"), "token_issuer[2].name: is another issuer's too"),
        (good.replace("https://k.example", "https://idp.example"), "token_issuer[1].issuer: is a provider's"),
        (good.replace("https://", "http://"), "token_issuer[1].issuer: must begin with https://"),
        (
            format!("{good}subject = \"x\"\n"),
            "token_issuer[1].subject: there is no such setting of a token_issuer; did you mean subjects?",
        ),
        ("[[route]]\npath = \"/a\"\nbearer_tokens = [\"k\"]\n".to_owned(), "route[1].bearer_tokens: must be a list of provider"),
        ("token_issuer = 5\n".to_owned(), "token_issuer: must be tables, each under [[token_issuer]]"),
    ] {
        let told = told(&tables);
        assert!(told.contains(expected), "{tables}: {told}");
    }
}
