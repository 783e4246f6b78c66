//! The set-ups that the README shows: each is read from it, started, and used.

use std::collections::{BTreeMap, BTreeSet};

use evergate::{
    config::{
        Environment,
        document::{self, Node},
    },
    seal::KeyRing,
};
use http::{Method, StatusCode};
use serde_json::json;

use crate::harness::{
    Builder, World, behind_ingress,
    idp::{CLIENT_ID, CLIENT_SECRET, user},
    ingress::{self, block_of},
    postgres,
    visitor::path_of,
};

const README: &str = include_str!("../../README.md");

/// A set-up in its world: the names of the README are those of the test's peers.
struct SetUp {
    variables: BTreeMap<String, String>,
    file: Option<String>,
    folder: tempfile::TempDir,
}

impl SetUp {
    fn new(variables: BTreeMap<String, String>, file: Option<String>) -> Self {
        Self { variables, file, folder: tempfile::tempdir().unwrap() }
    }

    /// Writes a secret where the README has one.
    fn secret(&self, name: &str, value: &str) {
        std::fs::write(self.folder.path().join(name), value).unwrap();
    }

    fn world(&self) -> Builder {
        self.secret("oidc", CLIENT_SECRET);
        let (variables, file) = (self.variables.clone(), self.file.clone());
        let folder = self.folder.path().to_owned();
        World::build().configured(move |issuer, upstream| {
            let here = |text: &str| {
                text.replace("https://idp.example.com", issuer)
                    .replace("https://app.example.com", "https://app.test")
                    .replace("grafana.example.com", "grafana.test")
                    .replace("http://127.0.0.1:8080", upstream)
                    .replace("http://app:8080", upstream)
                    .replace("http://10.0.0.7:80", upstream)
                    .replace("http://10.0.0.8:80", upstream)
                    .replace("http://10.0.0.9:3000", upstream)
                    .replace("/run/secrets", &folder.display().to_string())
            };
            let mut variables: BTreeMap<_, _> = variables.iter().map(|(name, value)| (name.clone(), here(value))).collect();
            variables.insert("CODER_OIDC_CLIENT_ID".to_owned(), CLIENT_ID.to_owned());
            if let Some(text) = &file {
                let path = folder.join("evergate.toml");
                std::fs::write(&path, here(text)).unwrap();
                variables.insert("CODER_CONFIG_PATH".to_owned(), path.display().to_string());
            }
            Environment { variables, ..Environment::default() }
        })
    }
}

/// The first set-up's environment.
fn environment_alone() -> BTreeMap<String, String> {
    let block = block_of(README, "sh", "export");
    let lines = block.lines().filter_map(|line| line.strip_prefix("export ")?.split_once('='));
    lines.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

/// A user logs in and reaches the app.
async fn works(world: &World) {
    let visitor = world.visitor();
    let landed = visitor.log_in(&world.idp, "/doc?a=1").await;
    assert_eq!(landed.as_str(), "https://app.test/doc?a=1");
    assert!(visitor.get(&path_of(&landed)).await.is_upstreams());
    assert_eq!(world.upstream.last().header("x-forwarded-email"), Some("ann@example.com"));
}

#[tokio::test]
async fn one_app_by_the_environment_alone() {
    works(&SetUp::new(environment_alone(), None).world().start().await).await;
}

#[tokio::test]
async fn several_replicas_with_postgres() {
    let Ok(Node::Map(mut compose)) = document::yaml(&block_of(README, "yaml", "services:")) else { panic!("no compose file") };
    let Some(Node::Map(mut services)) = compose.remove("services") else { panic!("no services") };
    let Some(Node::Map(mut service)) = services.remove("evergate") else { panic!("no service") };
    let Some(Node::Map(environment)) = service.remove("environment") else { panic!("no environment") };
    let Some(Node::Map(secrets)) = compose.remove("secrets") else { panic!("no secrets") };
    let Some(Node::List(mounted)) = service.remove("secrets") else { panic!("no secrets of the service") };
    let text = |node: Node| if let Node::Text(text) = node { text } else { panic!("{node:?}") };
    let mounted: BTreeSet<_> = mounted.into_iter().map(text).collect();
    let block = block_of(README, "yaml", "services:");
    let read = block.split("/run/secrets/").skip(1).filter_map(|rest| rest.split_whitespace().next());
    assert_eq!(mounted, read.map(str::to_owned).collect(), "what is read is there");
    assert!(secrets.keys().eq(&mounted), "{secrets:?}");
    // Two containers cannot have one port of the machine.
    assert!(block.contains("deploy: {replicas: 2}") && block.contains(":3000-3001:3000"), "{block}");
    let set_up = SetUp::new(environment.into_iter().map(|(name, value)| (name, text(value))).collect(), None);
    let (url, _) = postgres::fresh_database().await;
    set_up.secret("postgres", &url);
    set_up.secret("keys", &KeyRing::generate());
    let mut world = set_up.world().start().await;
    works(&world).await;
    world.add_replica().await;
    let visitor = world.signed_in().await;
    let at_other = visitor.at(world.replicas[1].address).get("/doc").await;
    assert!(at_other.is_upstreams(), "the other replica knows the session: {} {}", at_other.status, at_other.text());
}

#[tokio::test]
async fn behind_the_ingress_that_you_have() {
    behind_ingress::everything_works(ingress::Kind::TraefikOfReadme).await;
}

#[tokio::test]
async fn several_apps_by_host_and_path_in_one_file() {
    let mut variables = environment_alone();
    variables.remove("CODER_UPSTREAM_URL");
    variables.insert("CODER_OIDC_GROUP_FIELD".to_owned(), "groups".to_owned());
    let world = SetUp::new(variables, Some(block_of(README, "toml", "route ="))).world().start().await;
    works(&world).await;
    assert!(world.visitor().get("/health").await.is_upstreams(), "without a login");
    let visitor = world.visitor();
    visitor.log_in(&world.idp, "/doc").await;
    assert_eq!(visitor.get("/reports/doc").await.status, StatusCode::FORBIDDEN);
    let mut member = user("eve");
    member["groups"] = json!(["finance"]);
    world.idp.log_in_as(member);
    let member = world.visitor();
    member.log_in(&world.idp, "/doc").await;
    assert!(member.get("/reports/doc").await.is_upstreams());
    assert_eq!(world.upstream.last().target, "/doc", "without the prefix");
    let headers =
        [("accept", "text/html"), ("host", "grafana.test"), ("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "document")];
    let login = world.visitor().send(Method::GET, "/", &headers, "").await.location();
    assert!(login.query().unwrap().contains("grafana.test"), "{login}");
}

#[tokio::test]
async fn an_api_with_tokens() {
    let world = SetUp::new(environment_alone(), Some(block_of(README, "toml", "[[route]]"))).world().start().await;
    works(&world).await;
    let call = async |token: &str| {
        let line = format!("Bearer {token}");
        world.visitor().send(Method::GET, "/api/things", &[("authorization", &line)], "").await
    };
    let token = |client: &str| world.idp.signed_access_token("account", json!({"client_id": client}), json!({}));
    assert!(call(&token("nightly-job")).await.is_upstreams());
    assert_eq!(call(&token("another")).await.status, StatusCode::UNAUTHORIZED);
    let refused = call("not.a.token").await;
    assert_eq!((refused.status, refused.json()["error"].clone()), (StatusCode::UNAUTHORIZED, json!("invalid_token")));
    let preflight = [("origin", "https://app.example.org"), ("access-control-request-method", "POST")];
    let allowed = world.visitor().send(Method::OPTIONS, "/api/things", &preflight, "").await;
    assert_eq!(allowed.header("access-control-allow-origin"), "https://app.example.org");
}
