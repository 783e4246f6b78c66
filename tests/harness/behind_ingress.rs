//! What must work behind every ingress: a login through it, and all that follows.

use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use http::{Method, StatusCode};
use serde_json::json;
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::{Error, Message, client::IntoClientRequest};

use super::{
    ACCESS, World,
    assertion::{ASSERTION, verified},
    eventually::eventually,
    idp::{Endpoint, Misbehaviour},
    ingress::{Ingress, Kind},
    upstream::Upstream,
    visitor::{Reply, Visitor, path_of},
};

const EXPIRED: Duration = Duration::from_secs(301);
const HTML: (&str, &str) = ("accept", "text/html");

/// Runs an ingress between a user and an app, and tries everything.
pub async fn everything_works(kind: Kind) {
    // A world is large.
    Box::pin(everything_works_in_a_world(kind)).await;
}

async fn everything_works_in_a_world(kind: Kind) {
    let routes = "[[route]]\npath = \"/public\"\nrule = \"public\"\n[[route]]\npath = \"/admin\"\ngroups = [\"admins\"]\n";
    let (setting, value) = if kind.asks_over_grpc() { ("ext_authz_address", "127.0.0.1:0") } else { ("forward_auth", "true") };
    let world = World::build()
        .without("upstream_url")
        .set(setting, value)
        .set("proxy_trusted_origins", "127.0.0.1")
        .set("identity_assertion", "true")
        .set("oidc_outage_grace", "0s")
        .routes(move |_| routes.to_owned())
        .start()
        .await;
    let app = Upstream::start().await;
    let ingress = Ingress::start(kind, &world.replicas[0], app.address).await;
    eventually("the ingress has both behind it", async || {
        Visitor::new(ingress.address).get("/public/first").await.is_upstreams()
    })
    .await;
    let behind = Behind { kind, world, app, ingress };
    let visitor = behind.a_user_logs_in().await;
    behind.the_app_can_verify_who_its_user_is(&visitor).await;
    behind.requests_pass_unchanged(&visitor).await;
    behind.nobody_gets_past_the_rules(&visitor).await;
    behind.nobody_poses_as_somebody(&visitor).await;
    behind.a_websocket_passes_from_our_own_pages_alone(&visitor).await;
    behind.tokens_are_renewed_and_an_outage_signs_nobody_out(&visitor).await;
    behind.a_sign_out_ends_it(&visitor).await;
    assert!(!behind.app.everything().contains("evergate_session") || kind.hands_cookies_on(), "the session is no app's to know");
}

impl Kind {
    /// Whether it cannot take a cookie off.
    fn hands_cookies_on(self) -> bool {
        matches!(self, Self::Traefik | Self::TraefikOfReadme | Self::Envoy)
    }
}

struct Behind {
    kind: Kind,
    world: World,
    app: Upstream,
    ingress: Ingress,
}

impl Behind {
    fn stranger(&self) -> Visitor {
        Visitor::new(self.ingress.address)
    }

    async fn a_user_logs_in(&self) -> Visitor {
        let visitor = self.stranger();
        let page = "/doc?a=1&b=%2Fc%20d";
        let script = visitor.fetch(page).await;
        assert_eq!((script.status, script.json()["error"].clone()), (StatusCode::UNAUTHORIZED, json!("sign_in_required")));
        let landed = visitor.log_in(&self.world.idp, page).await;
        assert_eq!(landed.as_str(), format!("https://app.test{page}"));
        let reply = visitor.get(&path_of(&landed)).await;
        assert!(reply.is_upstreams(), "{} {}", reply.status, reply.text());
        let seen = self.app.last();
        assert_eq!((seen.target.as_str(), seen.header("x-forwarded-user")), (page, Some(self.subject(&visitor).await.as_str())));
        assert_eq!(seen.header("x-forwarded-email"), Some("ann@example.com"));
        visitor
    }

    async fn subject(&self, visitor: &Visitor) -> String {
        visitor.fetch("/oauth2/userinfo").await.json()["user"].as_str().unwrap().to_owned()
    }

    async fn the_app_can_verify_who_its_user_is(&self, visitor: &Visitor) {
        let keys = visitor.fetch("/oauth2/jwks").await.json();
        assert!(visitor.get("/doc").await.is_upstreams());
        let token = self.app.last().header(ASSERTION).unwrap_or_default().to_owned();
        // The README's few lines do not copy it.
        if self.kind == Kind::TraefikOfReadme {
            return assert_eq!(token, "");
        }
        let claims = verified(&token, &keys).unwrap_or_else(|| panic!("the assertion is not good: {token:?}"));
        let subject = self.subject(visitor).await;
        assert_eq!((&claims["aud"], &claims["sub"]), (&json!(ACCESS), &json!(subject)));
        self.world.clock.advance(Duration::from_secs(31));
        assert!(visitor.get("/doc").await.is_upstreams());
        assert_ne!(self.app.last().header(ASSERTION), Some(token.as_str()), "another one, long before the first has expired");
    }

    async fn requests_pass_unchanged(&self, visitor: &Visitor) {
        visitor.set_cookie("theirs", "kept");
        let sent = visitor.send(Method::POST, "/form", &[HTML, ("origin", "https://app.test")], "a=1&b=2").await;
        assert!(sent.is_upstreams(), "{} {}", sent.status, sent.text());
        let seen = self.app.last();
        assert_eq!((seen.method.as_str(), &seen.body[..]), ("POST", &b"a=1&b=2"[..]));
        assert!(seen.header("cookie").unwrap().contains("theirs=kept"));
        assert_eq!(visitor.send(Method::HEAD, "/doc", &[HTML], "").await.status, StatusCode::OK);
        let form = self.stranger().send(Method::POST, "/form", &[HTML], "a=1").await;
        assert_eq!(form.status, StatusCode::UNAUTHORIZED, "what a form carries is not lost in a redirect");
    }

    async fn nobody_gets_past_the_rules(&self, visitor: &Visitor) {
        let denied = visitor.get("/admin/users").await;
        assert_eq!(denied.status, StatusCode::FORBIDDEN);
        assert!(denied.text().contains("in none of the groups"), "{}", denied.text());
        let before = self.app.requests().len();
        for path in ["/public/..%2fadmin", "/public/%2e%2e/admin", "/public%2f..%2fadmin", "//admin", "/public;x/../admin"] {
            let reply = visitor.get(path).await;
            assert!(!reply.is_upstreams() && !reply.status.is_success(), "{path}: {}", reply.status);
        }
        // Pages that the ingress alone asks for.
        for path in ["/oauth2/auth", "/oauth2/forward_auth", "/oauth2/auth/page"] {
            let reply = visitor.send(Method::GET, path, &[("x-forwarded-uri", "/doc"), ("x-forwarded-method", "GET")], "").await;
            assert_eq!(reply.status, StatusCode::NOT_FOUND, "{path}");
            assert!(!reply.headers.keys().any(|name| name.as_str().ends_with("-user")), "{path}");
        }
        for (name, value) in [("origin", "https://evil.app.test"), ("sec-fetch-site", "cross-site")] {
            assert_eq!(visitor.send(Method::POST, "/form", &[(name, value)], "").await.status, StatusCode::FORBIDDEN, "{name}");
        }
        // What a client says of its own request, the ingress says better.
        let forged = [
            ("x-forwarded-uri", "/public/page"),
            ("x-forwarded-method", "OPTIONS"),
            ("x-original-url", "https://app.test/public/page"),
            ("x-original-uri", "/public/page"),
            ("x-forwarded-host", "other.test"),
        ];
        for header in forged {
            let reply = self.stranger().send(Method::GET, "/doc", &[header], "").await;
            assert!(!reply.is_upstreams() && !reply.status.is_success(), "{header:?}: {}", reply.status);
        }
        assert_eq!(self.app.requests().len(), before, "nothing of it reached the app");
    }

    async fn nobody_poses_as_somebody(&self, visitor: &Visitor) {
        for name in [
            "x-forwarded-user",
            "x-forwarded-groups",
            "x_forwarded_user",
            "x-auth-request-user",
            "x-auth-request-foo",
            "x-forwarded-access-token",
            "remote-user",
            "x_remote_user",
            ASSERTION,
            "x_evergate_assertion",
        ] {
            for (who, page) in [(visitor, "/doc"), (&self.stranger(), "/public/page")] {
                who.send(Method::GET, page, &[(name, "intruder")], "").await;
            }
        }
        assert!(!self.app.everything().contains("intruder"), "the app was told so: {}", self.app.everything());
        assert!(self.stranger().get("/public/page").await.is_upstreams());
        for name in ["x-forwarded-user", ASSERTION] {
            assert_eq!(self.app.last().header(name).unwrap_or_default(), "", "{name}");
        }
    }

    async fn a_websocket_passes_from_our_own_pages_alone(&self, visitor: &Visitor) {
        let open = async |origin: &str| {
            let mut request = "ws://app.test/websocket".into_client_request().unwrap();
            request.headers_mut().insert("cookie", visitor.cookie_header().parse().unwrap());
            request.headers_mut().insert("origin", origin.parse().unwrap());
            let stream = TcpStream::connect(self.ingress.address).await.unwrap();
            tokio_tungstenite::client_async(request, stream).await
        };
        let (mut socket, _) = open("https://app.test").await.expect("our own page's socket opens");
        socket.send(Message::text("hello")).await.unwrap();
        assert_eq!(socket.next().await.unwrap().unwrap(), Message::text("hello"));
        let Err(Error::Http(refused)) = open("https://evil.app.test").await else {
            panic!("another site's page opened a socket")
        };
        assert_eq!(refused.status(), StatusCode::FORBIDDEN);
    }

    async fn tokens_are_renewed_and_an_outage_signs_nobody_out(&self, visitor: &Visitor) {
        let renewals = self.world.idp.calls(Endpoint::Refresh);
        self.world.clock.advance(EXPIRED);
        let replies = visitor.fetch_at_once(8, "/doc").await;
        assert!(replies.iter().all(Reply::is_upstreams), "{replies:?}");
        assert_eq!(self.world.idp.calls(Endpoint::Refresh), renewals + 1, "one token call for all of them");
        self.world.idp.misbehave(Endpoint::Refresh, Misbehaviour::Answer(503, "away".to_owned(), vec![]));
        self.world.clock.advance(EXPIRED);
        let away = visitor.get("/doc").await;
        assert_eq!(away.status, StatusCode::SERVICE_UNAVAILABLE, "{}", away.text());
        assert!(visitor.session().is_some(), "the cookie is left alone");
        // Envoy says it by itself.
        if self.kind != Kind::Envoy {
            assert_eq!(away.header("evergate-response"), "renewal_unavailable");
            assert!(away.headers.contains_key("retry-after"));
        }
        self.world.idp.behave(Endpoint::Refresh);
        eventually("the session goes on when the provider is back", async || {
            self.world.clock.advance(Duration::from_secs(60));
            visitor.get("/doc").await.is_upstreams()
        })
        .await;
    }

    async fn a_sign_out_ends_it(&self, visitor: &Visitor) {
        let copy = visitor.copy();
        visitor.send(Method::POST, "/oauth2/sign_out", &[("sec-fetch-site", "same-origin")], "").await.location();
        assert!(visitor.session().is_none(), "the ingress hands the cookies of Evergate's responses on");
        assert_eq!(copy.fetch("/doc").await.status, StatusCode::UNAUTHORIZED);
    }
}
